//! The oracle: it sees what no process can see, the objects and FIC at every moment, and knows the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fic_simulator::log::Call;
use fic_simulator::world::{Contract, World as Fic};
use serde_json::Value;

use crate::events::Ledger;
use crate::store::{Id, Kind, Store, Written, has_finalizer, is_deleting};
use crate::world::Life;

pub const CONTRACT: &str = "fic.ntt.com/contract";
pub const IN_USE: &str = "fic.ntt.com/in-use";
/// Of somebody else who has something to do before the plan goes.
pub const ANOTHERS: &str = "example.com/hold";

/// For so long a delete that was accepted is not sent again: an operation may not take longer.
const UNDER_WAY: Duration = Duration::from_secs(20);
/// How long a process leads for certain after it has renewed its lease, and a moment for what is counted in whole milliseconds.
const LEADS: Duration = Duration::from_millis(10_050);

/// How long after a change of mind something may still be done that was decided on before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slack {
    /// A create or a delete: the API server has just been asked whether it is still wanted.
    pub effects: Duration,
    /// A look: the watch may be late.
    pub looks: Duration,
}

/// A request to FIC.
pub struct Asking {
    pub life: Life,
    pub call: Call,
    pub tenant: Option<String>,
    pub id: String,
    pub before: Option<Contract>,
}

/// What FIC has accepted. Its sender knows once the answer has reached it: not if it was frozen until it gave up.
#[derive(Debug)]
pub enum Accepted {
    Create { tenant: String, contract: String },
    Delete { contract: String },
}

/// What is true of a plan.
#[derive(Default)]
struct Truth {
    id: Option<Id>,
    tenant: String,
    /// A contract that is found may be taken for the outcome of a create: no process can tell any more.
    ambiguous: bool,
    bought: u32,
    lost: u32,
    /// The last moment at which the plan asked for this.
    wanted_abolished: Option<Duration>,
    wanted_kept: Option<Duration>,
    wanted_calls: Option<Duration>,
    /// The Secret that it named before, and until when.
    former_secret: Option<(Id, Duration)>,
    gone: bool,
}

/// What is true of a contract.
#[derive(Default)]
struct Origin {
    /// Bought by the operator.
    bought: bool,
    /// The plan whose it is.
    owner: Option<String>,
}

#[derive(Default)]
pub struct Oracle {
    truths: BTreeMap<String, Truth>,
    contracts: BTreeMap<String, Origin>,
    pub uninstalled_at: Option<Duration>,
    pub slack: Slack,
    /// By process, when it last renewed its lease.
    renewed: BTreeMap<String, Duration>,
    /// By process and tenant, until when FIC asked it to be left alone.
    hold_until: BTreeMap<(Life, String), Duration>,
    /// A process goes on after it was frozen: it may take a look before it hears of what has happened meanwhile.
    pub thawed_at: Option<Duration>,
    /// By tenant, a contract whose create was accepted, and the process that has heard of it.
    accepted: BTreeMap<String, (String, Life)>,
    /// By contract, the process that has heard that its delete was accepted, and when.
    deleted: BTreeMap<String, (Life, Duration)>,
    /// Contracts that a delete was sent for.
    abolished: BTreeSet<String>,
    /// What a look has shown may be over.
    pub reads_lag: bool,
    broken: Option<String>,
    pub creates: u32,
    pub deletes: u32,
    pub ledger: Ledger,
}

pub fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

fn text<'a>(object: &'a Value, field: &str, default: &'a str) -> &'a str {
    object["spec"][field].as_str().unwrap_or(default)
}

pub fn recorded(object: &Value) -> Option<&str> {
    object["status"]["id"].as_str()
}

fn is_observed(object: &Value) -> bool {
    text(object, "managementPolicy", "Manage") == "Observe"
}

fn is_suspended(object: &Value) -> bool {
    object["spec"]["suspend"] == true
}

fn is_retained(object: &Value) -> bool {
    is_observed(object) || text(object, "deletionPolicy", "Delete") == "Retain"
}

/// The Secret that a plan names.
pub fn secret_of(id: &Id, plan: &Value) -> Id {
    let name = plan["spec"]["credentialsSecretRef"]["name"].as_str().unwrap_or_default();
    Id::new(Kind::Secret, &id.namespace, name)
}

impl Oracle {
    pub fn verdict(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    pub fn breaks(&mut self, rule: &str) {
        self.broken.get_or_insert_with(|| rule.to_owned());
    }

    /// The plan whose a contract is.
    pub fn owner(&self, contract: &str) -> Option<&str> {
        self.contracts.get(contract)?.owner.as_deref()
    }

    pub fn is_bought(&self, contract: &str) -> bool {
        self.contracts.get(contract).is_some_and(|origin| origin.bought)
    }

    /// A process has renewed its lease.
    pub fn lease_renewed(&mut self, holder: &str, now: Duration) {
        self.renewed.insert(holder.to_owned(), now);
    }

    /// A request leaves its process. One that changes something must not, where the process may lead no longer.
    pub fn leaves(&mut self, now: Duration, asking: &Asking, elects: bool) {
        let Asking { life, call, tenant, .. } = asking;
        let name = format!("{}{}", life.0, life.1);
        let renewed = self.renewed.get(&name);
        let changes = matches!(call, Call::Create | Call::Delete);
        if elects && changes && renewed.is_none_or(|at| now.saturating_sub(*at) > LEADS) {
            self.breaks(&format!("rule 9: {name} sends a {call:?} and cannot be sure to lead"));
        }
        let Some(tenant) = tenant.as_deref().filter(|tenant| self.has_one_plan(tenant)) else { return };
        // What only explains is not waited for, and its answer says nothing.
        let explains = matches!(call, Call::ListOperations);
        if !explains && self.hold_until.get(&(*life, tenant.to_owned())).is_some_and(|until| now < *until) {
            self.breaks(&format!("Retry-After: {call:?} for a tenant that FIC asked to leave alone for longer"));
        }
    }

    /// FIC asked to be left alone.
    pub fn asked_to_wait(&mut self, life: Life, asking: &Asking, until: Duration) {
        if let Some(tenant) = asking.tenant.clone().filter(|_| !matches!(asking.call, Call::ListOperations)) {
            self.hold_until.insert((life, tenant), until);
        }
    }

    fn has_one_plan(&self, tenant: &str) -> bool {
        self.truths.values().filter(|truth| truth.tenant == tenant).count() == 1
    }

    /// No answer has come to a write of a plan: "finalizer and no id" says that something may be bought.
    pub fn answer_lost(&mut self, plan: &Value) {
        if has_finalizer(plan, CONTRACT) && recorded(plan).is_none() {
            self.truths.entry(uid(plan).to_owned()).or_default().ambiguous = true;
        }
        self.accepted.remove(plan["spec"]["tenantID"].as_str().unwrap_or_default());
    }

    /// No process remembers what it was at: whatever may have been bought, may have been.
    pub fn memory_lost(&mut self, store: &Store) {
        self.accepted.clear();
        self.deleted.clear();
        self.hold_until.clear();
        for (_, plan) in store.all(Kind::Plan) {
            if has_finalizer(plan, CONTRACT) && recorded(plan).is_none() {
                self.truths.entry(uid(plan).to_owned()).or_default().ambiguous = true;
            }
        }
    }

    /// An object was written: by a process of the operator (alive or dead since), or by somebody else.
    pub fn object_written(
        &mut self,
        now: Duration,
        store: &Store,
        fic: &Fic,
        id: &Id,
        written: &Written,
        by: Option<bool>,
    ) {
        match id.kind {
            Kind::Plan => self.plan_written(now, store, fic, id, written, by),
            Kind::Secret => self.secret_written(now, store, id, written, by.is_some()),
            Kind::Lease | Kind::Definition | Kind::Event => {}
        }
    }

    fn plan_written(&mut self, now: Duration, store: &Store, fic: &Fic, id: &Id, written: &Written, by: Option<bool>) {
        let before = written.before.as_ref();
        let plan = written.after.as_ref().or(before).unwrap();
        let uid = uid(plan).to_owned();
        let truth = self.truths.entry(uid.clone()).or_default();
        truth.id = Some(id.clone());
        text(plan, "tenantID", "").clone_into(&mut truth.tenant);
        truth.gone = written.after.is_none();
        if let Some(before) = before.filter(|before| secret_of(id, before) != secret_of(id, plan)) {
            truth.former_secret = Some((secret_of(id, before), now));
        }
        // Both what held until now and what holds from now on.
        for plan in before.into_iter().chain(written.after.as_ref()) {
            truth.look(plan, now);
        }
        let had = before.is_some_and(|before| has_finalizer(before, CONTRACT));
        let has = written.after.as_ref().is_some_and(|after| has_finalizer(after, CONTRACT));
        if has && !had && by == Some(false) {
            truth.ambiguous = true;
        }
        if let (Some(after), true) = (&written.after, by.is_some())
            && recorded(after) != before.and_then(recorded)
            && has
            && let Some(contract) = recorded(after)
        {
            self.contract_claimed(store, &uid, after, contract);
        }
        if by.is_some()
            && let (Some(before), Some(after)) = (before, &written.after)
        {
            self.record_given_up(before, after);
        }
        if by.is_some() {
            self.ledger.written(written);
        }
        if had && !has && by.is_some() {
            self.let_go(now, store, fic, &uid, before.unwrap());
        }
    }

    /// The id of a contract was recorded under the finalizer: it counts as the plan's from now on. Is it?
    fn contract_claimed(&mut self, store: &Store, uid: &str, plan: &Value, contract: &str) {
        let adopts = text(plan, "adoptionPolicy", "Never") == "IfPresent";
        let truth = self.truths.entry(uid.to_owned()).or_default();
        let origin = self.contracts.entry(contract.to_owned()).or_default();
        let owned_by_another = origin.owner.as_deref().is_some_and(|owner| owner != uid);
        let mut others = store.all(Kind::Plan).filter(|(_, other)| self::uid(other) != uid);
        let held_by_another =
            others.any(|(_, other)| has_finalizer(other, CONTRACT) && recorded(other) == Some(contract));
        if held_by_another || (owned_by_another && !adopts) {
            let owner = origin.owner.clone().unwrap_or_default();
            self.breaks(&format!("rule 7: contract {contract} belongs to {owner} and was taken by {uid}"));
            return;
        }
        if !(origin.bought || adopts || truth.ambiguous) {
            self.breaks(&format!("rule 3: contract {contract} was bought in the portal and taken for ours"));
            return;
        }
        origin.owner = Some(uid.to_owned());
        truth.ambiguous = false;
    }

    /// The operator wrote a plan: it may give up the record of its contract to buy another, and nothing of others'.
    fn record_given_up(&mut self, before: &Value, after: &Value) {
        let lost = has_finalizer(after, CONTRACT) && recorded(before).is_some() && recorded(after).is_none();
        if lost && text(after, "recreationPolicy", "IfLost") == "Never" {
            self.breaks("rule 6: a lost contract is to be bought again though recreationPolicy is Never");
        }
        if has_finalizer(before, ANOTHERS) && !has_finalizer(after, ANOTHERS) {
            self.breaks("rule: the finalizer of somebody else was taken off");
        }
    }

    /// The operator took its finalizer off.
    fn let_go(&mut self, now: Duration, store: &Store, fic: &Fic, uid: &str, plan: &Value) {
        let truth = self.truths.entry(uid.to_owned()).or_default();
        truth.ambiguous = false;
        self.accepted.remove(&truth.tenant);
        let deleting = is_deleting(plan);
        if deleting && (is_retained(plan) || self.uninstalled_at.is_some()) {
            // What it may have bought stays, as its own.
            let left = fic.contract(&truth.tenant).and_then(|contract| self.contracts.get_mut(&contract.id));
            if let Some(left) = left.filter(|left| left.bought) {
                left.owner.get_or_insert_with(|| uid.to_owned());
            }
            return;
        }
        if is_suspended(plan) {
            self.breaks("rule: suspended, and its finalizer was taken off");
            return;
        }
        let tenant = truth.tenant.clone();
        let at = if deleting { "abolishing" } else { "living" };
        let Some(contract) = fic.contract(&tenant) else { return };
        let Some(origin) = self.contracts.get(&contract.id) else { return };
        let others = store.all(Kind::Plan).any(|(_, other)| {
            text(other, "tenantID", "") == tenant
                && self::uid(other) != uid
                && has_finalizer(other, CONTRACT)
                && recorded(other).is_none_or(|id| id == contract.id)
        });
        let ours = origin.owner.as_deref() == Some(uid) || (origin.bought && origin.owner.is_none() && !others);
        if ours {
            let id = contract.id;
            self.breaks(&format!("rule 1: contract {id} is ours and was left behind ({at}, at {now:?})"));
        }
    }

    fn secret_written(&mut self, now: Duration, store: &Store, id: &Id, written: &Written, by_operator: bool) {
        let had = written.before.as_ref().is_some_and(|before| has_finalizer(before, IN_USE));
        let has = written.after.as_ref().is_some_and(|after| has_finalizer(after, IN_USE));
        if !by_operator || !had || has {
            return;
        }
        // Of a plan that has just come to name it nobody may have heard yet.
        let is_known = |plan: &Value| {
            let former = self.truths.get(uid(plan)).and_then(|truth| truth.former_secret.as_ref());
            former.is_none_or(|(_, until)| now.saturating_sub(*until) > self.slack.looks)
        };
        let user = store.all(Kind::Plan).find(|(plan_id, plan)| {
            plan_id.namespace == id.namespace
                && has_finalizer(plan, CONTRACT)
                && secret_of(plan_id, plan) == *id
                && is_known(plan)
        });
        if let Some((user, _)) = user {
            let rule = format!("rule 8: {id} was let go although {user} carries the finalizer");
            self.breaks(&rule);
        }
    }

    /// A request has reached FIC, and has done what it does. What a create has made, if it has; whether its answer is none to go by.
    pub fn fic_asked(
        &mut self,
        now: Duration,
        store: &Store,
        asking: &Asking,
        made: Option<&Contract>,
        unclear: bool,
    ) -> Option<Accepted> {
        let tenant = asking.tenant.as_deref()?;
        self.look(now, store);
        let wanted = self.truths.values().filter(|truth| truth.tenant == tenant);
        let last = wanted.filter_map(|truth| truth.wanted_calls).max();
        let just_thawed = self.thawed_at.is_some_and(|at| now.saturating_sub(at) < Duration::from_secs(5));
        let looks = !matches!(asking.call, Call::Create | Call::Delete);
        let late = if looks { self.slack.looks } else { self.slack.effects };
        if last.is_none_or(|last| now.saturating_sub(last) > late) && !(just_thawed && looks) {
            self.breaks("rule: a call for a tenant none of whose plans wants one");
        }
        if let Some((contract, life)) = self.accepted.get(tenant)
            && *life == asking.life
        {
            // Another plan of the tenant may look for itself.
            if self.has_one_plan(tenant) && self.owner(contract).is_none() {
                let rule = format!("rule 4: {contract} was bought, and FIC is called before its id is recorded");
                self.breaks(&rule);
            }
            self.accepted.remove(tenant);
        }
        match asking.call {
            Call::Create => self.create_sent(now, store, tenant, asking, made, unclear),
            Call::Delete => self.delete_sent(now, asking),
            _ => {}
        }
        let made = made.filter(|_| !unclear)?;
        match asking.call {
            Call::Create => Some(Accepted::Create { tenant: tenant.to_owned(), contract: made.id.clone() }),
            Call::Delete => Some(Accepted::Delete { contract: asking.id.clone() }),
            _ => None,
        }
    }

    /// The answer has reached its sender.
    pub fn heard(&mut self, now: Duration, life: Life, accepted: Accepted) {
        match accepted {
            Accepted::Create { tenant, contract } => {
                self.accepted.insert(tenant, (contract, life));
            }
            Accepted::Delete { contract } => {
                self.deleted.insert(contract, (life, now));
            }
        }
    }

    fn create_sent(
        &mut self,
        now: Duration,
        store: &Store,
        tenant: &str,
        asking: &Asking,
        made: Option<&Contract>,
        unclear: bool,
    ) {
        self.creates += 1;
        let buyers = store
            .all(Kind::Plan)
            .filter(|(_, plan)| text(plan, "tenantID", "") == tenant && has_finalizer(plan, CONTRACT))
            .filter(|(_, plan)| recorded(plan).is_none());
        let buyers = buyers.collect::<Vec<_>>();
        if unclear {
            for (_, plan) in &buyers {
                self.truths.entry(uid(plan).to_owned()).or_default().ambiguous = true;
            }
        }
        if let Some(before) = &asking.before
            && self.is_bought(&before.id)
            && self.owner(&before.id).is_none()
        {
            self.breaks(&format!("rule 3: sent again although {} was bought and is not recorded yet", before.id));
        }
        let Some(contract) = made else { return };
        self.contracts.insert(contract.id.clone(), Origin { bought: true, owner: None });
        let Some((id, plan)) = buyers.first() else {
            self.breaks(&format!("rule 2: {} was bought, and no plan has the finalizer and no id", contract.id));
            return;
        };
        // A plan that has just come to name another Secret was decided on when it named the one before.
        let former = self.truths.get(uid(plan)).and_then(|truth| truth.former_secret.clone());
        let former = former.filter(|(_, until)| now.saturating_sub(*until) <= self.slack.effects);
        let mut secrets = former.into_iter().map(|(secret, _)| secret).chain([secret_of(id, plan)]);
        let kept = |secret: Id| store.get(&secret).is_none_or(|secret| has_finalizer(secret, IN_USE));
        if !secrets.any(kept) {
            self.breaks(&format!("rule 8: {} was bought with a Secret that nothing keeps", contract.id));
        }
        let Some(truth) = self.truths.get_mut(uid(plan)) else { return };
        truth.bought += 1;
        let (bought, lost) = (truth.bought, truth.lost);
        let late = truth.wanted_kept.is_none_or(|last| now.saturating_sub(last) > self.slack.effects);
        if bought > 1 + lost {
            self.breaks(&format!("rule 1: bought {bought} times for {id}, which has lost {lost}"));
        }
        if late {
            self.breaks(&format!("rule: {} was bought for {id}, which does not want it", contract.id));
        }
    }

    fn delete_sent(&mut self, now: Duration, asking: &Asking) {
        self.deletes += 1;
        let contract = &asking.id;
        let failed = asking.before.as_ref().is_some_and(|before| before.operation_status == "Error");
        let before = self.deleted.get(contract);
        if !failed && before.is_some_and(|(life, at)| *life == asking.life && now.saturating_sub(*at) < UNDER_WAY) {
            self.breaks(&format!("rule 5: {contract} was abolished again, though the delete before was accepted"));
        }
        let processing = asking.before.as_ref().is_some_and(|before| before.operation_status == "Processing");
        if processing && !self.abolished.contains(contract) && !self.reads_lag {
            self.breaks(&format!("rule 5: {contract} was to be abolished while FIC was still working on it"));
        }
        self.abolished.insert(contract.clone());
        let Some(owner) = self.owner(contract).map(str::to_owned) else {
            self.breaks(&format!("rule 1: {contract} is not ours and was to be abolished"));
            return;
        };
        if self.uninstalled_at.is_some_and(|at| now.saturating_sub(at) > self.slack.effects) {
            self.breaks(&format!("rule 12: {contract} was to be abolished although the definition is being deleted"));
        }
        let wanted = self.truths.get(&owner).and_then(|truth| truth.wanted_abolished);
        if wanted.is_none_or(|last| now.saturating_sub(last) > self.slack.effects) {
            self.breaks(&format!("rule 5: {contract} was to be abolished, and its plan {owner} does not want that"));
        }
    }

    /// The contract of a tenant is gone or replaced by another, by somebody else's hand, or its operation failed.
    pub fn lost_in_portal(&mut self, tenant: &str, contract: &str) {
        let Some(origin) = self.contracts.get(contract) else { return };
        match origin.owner.as_ref().and_then(|owner| self.truths.get_mut(owner)) {
            Some(truth) => truth.lost += 1,
            // Not recorded yet: any plan of the tenant may have to buy again.
            None => {
                for truth in self.truths.values_mut().filter(|truth| truth.tenant == tenant) {
                    truth.lost += 1;
                }
            }
        }
    }

    /// Time goes on: what is wanted is wanted until now.
    fn look(&mut self, now: Duration, store: &Store) {
        for (_, plan) in store.all(Kind::Plan) {
            self.truths.entry(uid(plan).to_owned()).or_default().look(plan, now);
        }
    }
}

impl Truth {
    fn look(&mut self, plan: &Value, now: Duration) {
        let over = is_deleting(plan) && !has_finalizer(plan, CONTRACT);
        if is_suspended(plan) || over {
            return;
        }
        if is_deleting(plan) && is_retained(plan) {
            return;
        }
        self.wanted_calls = Some(now);
        if is_deleting(plan) {
            self.wanted_abolished = Some(now);
        } else if !is_observed(plan) {
            self.wanted_kept = Some(now);
        }
    }
}
