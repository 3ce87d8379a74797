//! What an API server keeps: objects with their versions, generations and finalizers, and every change in order.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Plan,
    Secret,
    Lease,
    Definition,
    Event,
}

/// The address of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl Id {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Why a write was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound,
    Conflict,
    Exists,
    Invalid,
}

impl Refusal {
    pub fn code(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Conflict | Self::Exists => 409,
            Self::Invalid => 422,
        }
    }
}

/// A change, as a watch tells of it.
pub struct Change {
    pub version: u64,
    pub what: &'static str,
    pub id: Id,
    pub object: Value,
}

/// An object before and after a write.
pub struct Written {
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// What the answer shows.
    pub shown: Value,
}

#[derive(Default)]
pub struct Store {
    pub version: u64,
    objects: BTreeMap<Id, Value>,
    pub changes: Vec<Change>,
}

impl Store {
    pub fn get(&self, id: &Id) -> Option<&Value> {
        self.objects.get(id)
    }

    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&Id, &Value)> {
        self.objects.iter().filter(move |(id, _)| id.kind == kind)
    }

    pub fn create(&mut self, id: &Id, mut object: Value, wall: &str) -> Result<Written, Refusal> {
        if self.objects.contains_key(id) {
            return Err(Refusal::Exists);
        }
        // In no order: of two plans made in the same second the first may come first, or last.
        let uid = format!("uid-{:04}", (self.version + 1) * 7919 % 9973);
        let metadata = object["metadata"].as_object_mut().ok_or(Refusal::Invalid)?;
        metadata.insert("name".into(), json!(id.name));
        if !id.namespace.is_empty() {
            metadata.insert("namespace".into(), json!(id.namespace));
        }
        metadata.insert("uid".into(), json!(uid));
        metadata.insert("generation".into(), json!(1));
        metadata.insert("creationTimestamp".into(), json!(wall));
        if id.kind == Kind::Plan {
            object["status"] = json!({ "observedGeneration": -1 });
        }
        Ok(self.put(id, None, object))
    }

    /// A merge patch of the object, or of its status.
    pub fn patch(&mut self, id: &Id, patch: &Value, status: bool) -> Result<Written, Refusal> {
        let before = self.objects.get(id).cloned().ok_or(Refusal::NotFound)?;
        let mut after = before.clone();
        let wanted = &patch["metadata"];
        for field in ["uid", "resourceVersion"] {
            if wanted[field].is_string() && wanted[field] != before["metadata"][field] {
                return Err(Refusal::Conflict);
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

    /// A whole object, at the version that it carries.
    pub fn update(&mut self, id: &Id, object: Value) -> Result<Written, Refusal> {
        let before = self.objects.get(id).cloned().ok_or(Refusal::NotFound)?;
        if object["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"] {
            return Err(Refusal::Conflict);
        }
        self.replace(id, before, object)
    }

    /// What a user changes, at whatever version.
    pub fn edit(&mut self, id: &Id, change: impl FnOnce(&mut Value)) -> Option<Written> {
        let before = self.objects.get(id)?.clone();
        let mut after = before.clone();
        change(&mut after);
        self.replace(id, before, after).ok()
    }

    pub fn delete(&mut self, id: &Id, wall: &str) -> Option<Written> {
        let before = self.objects.get(id)?.clone();
        if is_deleting(&before) {
            return None;
        }
        if finalizers(&before).is_empty() {
            return Some(self.remove(id, before));
        }
        let mut after = before.clone();
        after["metadata"]["deletionTimestamp"] = json!(wall);
        bump_generation(&mut after);
        Some(self.put(id, Some(before), after))
    }

    fn replace(&mut self, id: &Id, before: Value, mut after: Value) -> Result<Written, Refusal> {
        if after == before {
            return Ok(Written { before: Some(before.clone()), after: Some(before.clone()), shown: before });
        }
        if is_deleting(&before) {
            let old = finalizers(&before);
            if finalizers(&after).iter().any(|name| !old.contains(name)) {
                return Err(Refusal::Invalid);
            }
            if finalizers(&after).is_empty() {
                let mut written = self.remove(id, before);
                written.shown["metadata"]["finalizers"] = Value::Null;
                return Ok(written);
            }
        }
        if after["spec"] != before["spec"] {
            bump_generation(&mut after);
        }
        Ok(self.put(id, Some(before), after))
    }

    fn put(&mut self, id: &Id, before: Option<Value>, mut after: Value) -> Written {
        self.version += 1;
        after["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(id.clone(), after.clone());
        let what = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(what, id, &after);
        Written { before, after: Some(after.clone()), shown: after }
    }

    fn remove(&mut self, id: &Id, before: Value) -> Written {
        self.version += 1;
        self.objects.remove(id);
        let mut shown = before.clone();
        shown["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.tell("DELETED", id, &shown);
        Written { before: Some(before), after: None, shown }
    }

    fn tell(&mut self, what: &'static str, id: &Id, object: &Value) {
        if matches!(id.kind, Kind::Plan | Kind::Secret) {
            self.changes.push(Change { version: self.version, what, id: id.clone(), object: object.clone() });
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

/// RFC 7396.
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

/// An API server keeps no empty list of finalizers.
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
