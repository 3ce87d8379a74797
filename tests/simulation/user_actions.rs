//! What users, other controllers and the portal do.

use fic_simulator::portal::Action as PortalAction;
use serde_json::{Value, json};

use crate::plan_fields::{CONTRACT_FINALIZER, FOREIGN_FINALIZER, OWNER_UID};
use crate::script::Action;
use crate::sim_world::SimWorld;
use crate::store::{Kind, ObjectRef, ObjectWrite, finalizers, is_deleting};

pub fn perform(world: &mut SimWorld, action: Action) {
    world.trace(|| format!("user: {action:?}"));
    let wall_clock = world.wall_clock();
    let (id, write) = match action {
        Action::Apply(id, spec, held) => {
            let write = create_plan(world, &id, &spec, held);
            (id, write)
        }
        Action::Set(id, field, value) => {
            let write = world.store.edit(&id, |plan| set_field(plan, field, value));
            (id, write)
        }
        Action::Relabel(id, shard) => {
            let write = world.store.edit(&id, |plan| plan["metadata"]["labels"] = json!({ "shard": shard }));
            if let Some(plan) = write.as_ref().and_then(|write| write.after.as_ref()) {
                world.oracle.plan_moved(plan);
            }
            (id, write)
        }
        Action::RequestReconcile(id, number) => {
            let write = world.store.edit(&id, |plan| {
                plan["metadata"]["annotations"]["fic.ntt.com/reconcile-requested-at"] = json!(number.to_string());
            });
            (id, write)
        }
        Action::Copy(from, to) => {
            let write = copy_plan(world, &from, &to);
            (to, write)
        }
        Action::RemoveMarks { plan, both } => {
            let write = world.store.edit(&plan, |plan| remove_marks(plan, both));
            (plan, write)
        }
        Action::AddMarks { plan, both } => {
            let write = world.store.edit(&plan, |plan| add_marks(plan, both));
            (plan, write)
        }
        Action::WipeStatus(plan) => {
            let write = world.store.edit(&plan, |plan| plan["status"] = json!({ "observedGeneration": -1 }));
            (plan, write)
        }
        Action::Delete(id) => {
            let write = world.store.delete(&id, &wall_clock);
            (id, write)
        }
        Action::Secret(id, kind) => {
            let write = put_secret(world, &id, kind);
            (id, write)
        }
        Action::Portal(tenant, action) => return act_in_portal(world, &tenant, &action),
        Action::LockOut(out) => {
            world.fic.lock().set_account("key", if out { Some("another") } else { Some("secret") });
            return;
        }
        Action::RevokeTokens => {
            world.fic.lock().revoke_tokens(None);
            return;
        }
        Action::DeleteNamespace(namespace) => return delete_namespace(world, &namespace),
        Action::Uninstall => return uninstall(world),
        Action::Kill(_) | Action::Stop(_) | Action::Freeze(..) | Action::Unfreeze(_) => return,
    };
    if let Some(write) = write {
        world.object_written(&id, &write, None);
    }
}

/// The API server refuses new plans while the CRD or the namespace is being deleted.
fn create_plan(world: &mut SimWorld, id: &ObjectRef, spec: &Value, held: bool) -> Option<ObjectWrite> {
    let is_uninstalled = world.store.get(&ObjectRef::crd()).is_some_and(is_deleting);
    if is_uninstalled || world.terminating_namespaces.contains(&id.namespace) {
        return None;
    }
    let plan = json!({
        "apiVersion": "fic.ntt.com/v1beta1", "kind": "PremiumSupportPlan", "spec": spec,
        "metadata": { "finalizers": if held { vec![FOREIGN_FINALIZER] } else { vec![] }, "labels": { "shard": 'a' } },
    });
    let wall_clock = world.wall_clock();
    world.store.create(id, plan, &wall_clock).ok()
}

fn copy_plan(world: &mut SimWorld, from: &ObjectRef, to: &ObjectRef) -> Option<ObjectWrite> {
    if world.store.get(&ObjectRef::crd()).is_some_and(is_deleting) {
        return None;
    }
    let original = world.store.get(from)?;
    let metadata = &original["metadata"];
    let copy = json!({
        "apiVersion": "fic.ntt.com/v1beta1", "kind": "PremiumSupportPlan", "spec": original["spec"],
        "metadata": { "finalizers": finalizers(original), "annotations": metadata["annotations"] },
    });
    let wall_clock = world.wall_clock();
    world.store.create(to, copy, &wall_clock).ok()
}

fn remove_marks(plan: &mut Value, both: bool) {
    if let Some(annotations) = plan["metadata"]["annotations"].as_object_mut() {
        annotations.remove(OWNER_UID);
    }
    if let Some(finalizers) = plan["metadata"]["finalizers"].as_array_mut().filter(|_| both) {
        finalizers.retain(|name| name != CONTRACT_FINALIZER);
    }
}

fn add_marks(plan: &mut Value, both: bool) {
    if is_deleting(plan) {
        return;
    }
    let others = finalizers(plan).into_iter().filter(|name| *name != CONTRACT_FINALIZER).collect::<Vec<_>>();
    plan["metadata"]["finalizers"] = json!([others, vec![CONTRACT_FINALIZER]].concat());
    if both {
        plan["metadata"]["annotations"][OWNER_UID] = plan["metadata"]["uid"].clone();
    }
}

fn set_field(plan: &mut Value, field: &str, value: Value) {
    plan["spec"][field] = value;
    if plan["spec"]["managementPolicy"] == "Observe" && plan["spec"]["adoptionPolicy"] == "IfPresent" {
        // The schema of the CRD refuses this combination.
        plan["spec"]["adoptionPolicy"] = json!("Never");
    }
}

fn put_secret(world: &mut SimWorld, id: &ObjectRef, kind: &str) -> Option<ObjectWrite> {
    if world.terminating_namespaces.contains(&id.namespace) {
        return None;
    }
    // "good" is "key" and "secret". "rotated" is another valid pair, "key2" and "secret2".
    let data = match kind {
        "good" => json!({ "apiKey": "a2V5", "apiSecret": "c2VjcmV0" }),
        "rotated" => json!({ "apiKey": "a2V5Mg==", "apiSecret": "c2VjcmV0Mg==" }),
        _ => json!({ "apiKey": "a2V5", "apiSecret": "" }),
    };
    if world.store.get(id).is_some() {
        return world.store.edit(id, |secret| secret["data"] = data);
    }
    let secret = json!({ "metadata": {}, "type": "fic.ntt.com/credentials", "data": data });
    let wall_clock = world.wall_clock();
    world.store.create(id, secret, &wall_clock).ok()
}

fn act_in_portal(world: &mut SimWorld, tenant: &str, action: &PortalAction) {
    let before = world.fic.lock().contract(tenant);
    let is_possible = match action {
        PortalAction::Create => before.is_none(),
        PortalAction::Abolish | PortalAction::Replace | PortalAction::SetMenu(_) | PortalAction::SetStatus(_) => {
            before.is_some()
        }
        PortalAction::CreateBeforeNextCreate | PortalAction::FailNextOperation(_) => true,
    };
    if !is_possible {
        return;
    }
    world.fic.lock().portal(tenant, action);
    if let (Some(before), PortalAction::Abolish | PortalAction::Replace) = (before, action) {
        world.oracle.contract_lost_in_portal(tenant, &before.id);
    }
}

fn delete_namespace(world: &mut SimWorld, namespace: &str) {
    world.terminating_namespaces.insert(namespace.to_owned());
    let ids = [Kind::Plan, Kind::Secret].into_iter().flat_map(|kind| {
        world.store.all(kind).map(|(id, _)| id.clone()).filter(|id| id.namespace == namespace).collect::<Vec<_>>()
    });
    delete_all(world, ids.collect());
}

/// The API server marks the CRD first, and then deletes each of its objects.
fn uninstall(world: &mut SimWorld) {
    let now = world.now();
    world.oracle.uninstalled_at = Some(now);
    let plans = world.store.all(Kind::Plan).map(|(id, _)| id.clone());
    let ids = std::iter::once(ObjectRef::crd()).chain(plans).collect();
    delete_all(world, ids);
}

fn delete_all(world: &mut SimWorld, ids: Vec<ObjectRef>) {
    let wall_clock = world.wall_clock();
    for id in ids {
        if let Some(write) = world.store.delete(&id, &wall_clock) {
            world.object_written(&id, &write, None);
        }
    }
}
