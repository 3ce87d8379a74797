//! The storage of the simulated API server: objects with their versions, generations and finalizers, and every watch
//! event.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

/// After so many versions the UIDs of new objects begin a new round, with higher numbers.
const UIDS_IN_A_ROUND: u64 = 9973;

/// The resource of an object. The order of the variants is an input of the seeded randomness: keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Plan,
    Secret,
    Lease,
    Crd,
    Event,
}

/// A reference to an object. The order of the fields is an input of the seeded randomness: keep it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl ObjectRef {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// The `CustomResourceDefinition` of the plans.
    pub fn crd() -> Self {
        Self::new(Kind::Crd, "", fic_support_operator::api::crd::NAME)
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Why the API server refused a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    NotFound,
    Conflict,
    AlreadyExists,
    Invalid,
}

impl WriteError {
    pub fn code(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Conflict | Self::AlreadyExists => 409,
            Self::Invalid => 422,
        }
    }
}

pub struct WatchEvent {
    pub version: u64,
    pub event_type: &'static str,
    pub id: ObjectRef,
    pub object: Value,
    /// The labels before the change.
    pub former_labels: Value,
    /// The place of the event of this object before it.
    former: Option<usize>,
}

/// An object before and after a write.
pub struct ObjectWrite {
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// The object in the response.
    pub response: Value,
}

#[derive(Default)]
pub struct Store {
    pub version: u64,
    objects: BTreeMap<ObjectRef, Value>,
    pub events: Vec<WatchEvent>,
    /// The place of the last event of each object.
    last_events: HashMap<ObjectRef, usize>,
}

impl Store {
    pub fn get(&self, id: &ObjectRef) -> Option<&Value> {
        self.objects.get(id)
    }

    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&ObjectRef, &Value)> {
        self.objects.iter().filter(move |(id, _)| id.kind == kind)
    }

    /// The same as they were at a version.
    pub fn all_at(&self, kind: Kind, version: u64) -> Vec<(&ObjectRef, &Value)> {
        if version == self.version {
            return self.all(kind).collect();
        }
        // Few events are later than that version, so they are undone, the last one first.
        let mut objects = self.all(kind).collect::<BTreeMap<_, _>>();
        let later = self.events.partition_point(|event| event.version <= version);
        for event in self.events[later..].iter().rev().filter(|event| event.id.kind == kind) {
            let former = event.former.map(|place| &self.events[place]);
            match former.filter(|former| former.event_type != "DELETED") {
                Some(former) => objects.insert(&event.id, &former.object),
                None => objects.remove(&event.id),
            };
        }
        objects.into_iter().collect()
    }

    pub fn create(&mut self, id: &ObjectRef, mut object: Value, wall_clock: &str) -> Result<ObjectWrite, WriteError> {
        if self.objects.contains_key(id) {
            return Err(WriteError::AlreadyExists);
        }
        // UIDs do not ascend: of two plans created in the same second either one may have the lower UID.
        // Both factors are primes: within each round of so many versions every number comes once.
        let (round, version) = ((self.version + 1) / UIDS_IN_A_ROUND, self.version + 1);
        let uid = format!("uid-{:04}", round * UIDS_IN_A_ROUND + version * 7919 % UIDS_IN_A_ROUND);
        let metadata = object["metadata"].as_object_mut().ok_or(WriteError::Invalid)?;
        metadata.insert("name".into(), json!(id.name));
        if !id.namespace.is_empty() {
            metadata.insert("namespace".into(), json!(id.namespace));
        }
        metadata.insert("uid".into(), json!(uid));
        metadata.insert("generation".into(), json!(1));
        metadata.insert("creationTimestamp".into(), json!(wall_clock));
        if id.kind == Kind::Plan {
            object["status"] = json!({ "observedGeneration": -1 });
        }
        Ok(self.put(id, None, object))
    }

    /// Applies a merge patch to the object, or to its status subresource.
    pub fn patch(&mut self, id: &ObjectRef, patch: &Value, status: bool) -> Result<ObjectWrite, WriteError> {
        let before = self.objects.get(id).cloned().ok_or(WriteError::NotFound)?;
        let mut after = before.clone();
        let preconditions = &patch["metadata"];
        for field in ["uid", "resourceVersion"] {
            if preconditions[field].is_string() && preconditions[field] != before["metadata"][field] {
                return Err(WriteError::Conflict);
            }
        }
        if status {
            merge(&mut after["status"], &patch["status"]);
        } else {
            let kept = after["status"].take();
            merge(&mut after, patch);
            after["status"] = kept;
            prune(&mut after);
        }
        self.replace(id, before, after)
    }

    /// Replaces the whole object, if it still has the resource version that the new object carries.
    pub fn update(&mut self, id: &ObjectRef, object: Value) -> Result<ObjectWrite, WriteError> {
        let before = self.objects.get(id).cloned().ok_or(WriteError::NotFound)?;
        if object["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"] {
            return Err(WriteError::Conflict);
        }
        self.replace(id, before, object)
    }

    /// Changes an object as a user does, without a resource version.
    pub fn edit(&mut self, id: &ObjectRef, change: impl FnOnce(&mut Value)) -> Option<ObjectWrite> {
        let before = self.objects.get(id)?.clone();
        let mut after = before.clone();
        change(&mut after);
        self.replace(id, before, after).ok()
    }

    pub fn delete(&mut self, id: &ObjectRef, wall_clock: &str) -> Option<ObjectWrite> {
        let before = self.objects.get(id)?.clone();
        if is_deleting(&before) {
            return None;
        }
        if finalizers(&before).is_empty() {
            return Some(self.remove(id, before));
        }
        let mut after = before.clone();
        after["metadata"]["deletionTimestamp"] = json!(wall_clock);
        bump_generation(&mut after);
        Some(self.put(id, Some(before), after))
    }

    fn replace(&mut self, id: &ObjectRef, before: Value, mut after: Value) -> Result<ObjectWrite, WriteError> {
        if after == before {
            return Ok(ObjectWrite { before: Some(before.clone()), after: Some(before.clone()), response: before });
        }
        if is_deleting(&before) {
            let old = finalizers(&before);
            if finalizers(&after).iter().any(|name| !old.contains(name)) {
                return Err(WriteError::Invalid);
            }
            if finalizers(&after).is_empty() {
                let mut write = self.remove(id, before);
                write.response["metadata"]["finalizers"] = Value::Null;
                return Ok(write);
            }
        }
        if after["spec"] != before["spec"] {
            bump_generation(&mut after);
        }
        Ok(self.put(id, Some(before), after))
    }

    fn put(&mut self, id: &ObjectRef, before: Option<Value>, mut after: Value) -> ObjectWrite {
        self.version += 1;
        after["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(id.clone(), after.clone());
        let event_type = if before.is_some() { "MODIFIED" } else { "ADDED" };
        let former_labels = before.as_ref().map(|before| before["metadata"]["labels"].clone()).unwrap_or_default();
        self.add_event(event_type, id, &after, former_labels);
        ObjectWrite { before, after: Some(after.clone()), response: after }
    }

    fn remove(&mut self, id: &ObjectRef, before: Value) -> ObjectWrite {
        self.version += 1;
        self.objects.remove(id);
        let mut response = before.clone();
        response["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let former_labels = before["metadata"]["labels"].clone();
        self.add_event("DELETED", id, &response, former_labels);
        ObjectWrite { before: Some(before), after: None, response }
    }

    /// The operator watches plans and Secrets only.
    fn add_event(&mut self, event_type: &'static str, id: &ObjectRef, object: &Value, former_labels: Value) {
        if matches!(id.kind, Kind::Plan | Kind::Secret) {
            let former = self.last_events.insert(id.clone(), self.events.len());
            let (id, object) = (id.clone(), object.clone());
            self.events.push(WatchEvent { version: self.version, event_type, id, object, former_labels, former });
        }
    }
}

pub fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

pub fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

pub fn has_finalizer(object: &Value, name: &str) -> bool {
    finalizers(object).contains(&name)
}

fn bump_generation(object: &mut Value) {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
    object["metadata"]["generation"] = json!(generation);
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// An API server drops an empty list of finalizers.
fn prune(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut()
        && metadata.get("finalizers").is_some_and(|list| list.as_array().is_none_or(Vec::is_empty))
    {
        metadata.remove("finalizers");
    }
    if object["status"].is_null()
        && let Some(object) = object.as_object_mut()
    {
        object.remove("status");
    }
}

#[test]
fn every_object_has_a_uid_of_its_own() {
    let mut store = Store::default();
    let mut uids = BTreeSet::new();
    for number in 0..30_000 {
        let id = ObjectRef::new(Kind::Lease, "alpha", &number.to_string());
        let write = store.create(&id, json!({ "metadata": {} }), "").unwrap();
        assert!(
            uids.insert(write.response["metadata"]["uid"].to_string()),
            "object {number} has the UID of another one"
        );
    }
}

#[test]
fn a_list_of_a_former_version_shows_the_objects_of_that_time() {
    let mut store = Store::default();
    let ids = ["a", "b", "c"].map(|name| ObjectRef::new(Kind::Plan, "alpha", name));
    let copy = |objects: Vec<(&ObjectRef, &Value)>| {
        objects.into_iter().map(|(id, object)| (id.clone(), object.clone())).collect::<Vec<_>>()
    };
    let mut versions = vec![];
    for round in 0..6 {
        for (number, id) in ids.iter().enumerate() {
            match (round + number) % 3 {
                0 => drop(store.create(id, json!({ "metadata": {} }), "")),
                1 => drop(store.edit(id, |plan| plan["spec"] = json!(round))),
                _ => drop(store.delete(id, "")),
            }
            versions.push((store.version, copy(store.all(Kind::Plan).collect())));
        }
    }
    for (version, objects) in versions {
        assert_eq!(copy(store.all_at(Kind::Plan, version)), objects, "version {version}");
    }
}
