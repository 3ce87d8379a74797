//! The world: a plan, an operator, a FIC, a portal, a user; what can happen next, and what must never.

use std::time::Duration;

use fic_support_operator::condition::{Progress, Ready, Reason};
use fic_support_operator::contract::{Contract, ContractId, OperationStatus};
use fic_support_operator::decide::{Act, Facts, Farewell, IdChange, Look, Occasion, Step, Verdict, decide};
use fic_support_operator::facts::{Claim, Credentials, PlanFacts, Reported, Settings};
use fic_support_operator::memory::{Create, Memory};
use fic_support_operator::pass::{Definition, News, Pass, Unseen};
use fic_support_operator::plan::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, Menu, RecreationPolicy};
use fic_support_operator::trouble::{Sent, Trouble};

/// How much may go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub crashes: u8,
    pub losses: u8,
    pub lags: u8,
    pub portal: u8,
    pub failures: u8,
    pub refusals: u8,
    pub edits: u8,
    /// The user deletes the Secret, or makes it anew.
    pub secrets: u8,
    /// The definition is deleted.
    pub uninstalls: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    budget: Budget,
    secret: Secret,
    /// The definition is being deleted.
    leaving: bool,
    /// The plan at the API server; none once it is gone.
    plan: Option<PlanFacts>,
    version: u8,
    operator: Option<Operator>,
    memory: Option<Memory>,
    /// The contract at FIC, and what a lagging read still shows.
    contract: Option<Held>,
    before: Option<Held>,
    next_id: u8,
    /// The truth that the operator cannot see: contracts that are the plan's own.
    own: Vec<ContractId>,
    /// A create may be open as far as any process can know: what is found then may be taken for ours, as the promises have it.
    ambiguous: bool,
}

/// A pass under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Operator {
    plan: PlanFacts,
    version: u8,
    credentials: Credentials,
    pass: Pass,
}

/// The credentials Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Secret {
    there: bool,
    protected: bool,
    deleting: bool,
}

/// A contract at FIC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    id: ContractId,
    status: OperationStatus,
    going: bool,
}

/// How a step of the operator goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Luck {
    Well,
    LostBefore,
    LostAfter,
    Lagging,
    Refused,
}

impl Budget {
    /// One more of everything that may happen at all.
    pub fn wider(self) -> Self {
        let more = |count: u8| count + u8::from(count > 0);
        Self {
            crashes: more(self.crashes),
            losses: more(self.losses),
            // More lagging looks than it takes to believe them break the promise that the rules rest on.
            lags: self.lags,
            portal: more(self.portal),
            failures: more(self.failures),
            refusals: more(self.refusals),
            edits: more(self.edits),
            secrets: more(self.secrets),
            uninstalls: self.uninstalls,
        }
    }
}

type Outcome = Result<World, String>;

const SETTINGS: Settings = Settings {
    poll_interval: Duration::from_secs(1),
    resync_interval: Duration::from_secs(1),
    operation_timeout: Duration::MAX,
};

fn unavailable() -> Trouble {
    Trouble::Unavailable { what: "".into(), retry_after: None }
}

impl Secret {
    fn facts(self) -> Credentials {
        if self.there {
            Credentials::Usable { protected: self.protected, deleting: self.deleting }
        } else {
            Credentials::NotSeen
        }
    }
}

impl Held {
    fn shown(&self) -> Contract {
        Contract {
            id: self.id.clone(),
            status: self.status.clone(),
            current_menu: Some("PremiumPlan".into()),
            menus: vec![],
        }
    }
}

impl World {
    pub fn start(budget: Budget) -> Self {
        let plan = PlanFacts {
            menu: Menu::PremiumPlan,
            management: ManagementPolicy::Manage,
            adoption: AdoptionPolicy::Never,
            recreation: RecreationPolicy::IfLost,
            deletion: DeletionPolicy::Delete,
            suspend: false,
            deleting: false,
            finalizer: false,
            id: None,
            reported: None,
        };
        Self {
            budget,
            secret: Secret { there: true, protected: budget.secrets == 0, deleting: false },
            leaving: false,
            plan: Some(plan),
            version: 0,
            operator: None,
            memory: None,
            contract: None,
            before: None,
            next_id: 1,
            own: vec![],
            ambiguous: false,
        }
    }

    /// Everything that can happen next.
    pub fn events(&self) -> Vec<(String, Outcome)> {
        let mut events = Vec::new();
        self.operator_events(&mut events);
        self.fic_events(&mut events);
        self.portal_events(&mut events);
        self.user_events(&mut events);
        self.secret_events(&mut events);
        events
    }

    fn after(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    fn operator_events(&self, events: &mut Vec<(String, Outcome)>) {
        let Some(operator) = &self.operator else {
            if self.plan.is_some() {
                events.push((
                    "a pass begins".into(),
                    Ok(self.after(|next| {
                        // It was due: what was looked for before may be looked for again.
                        if let Some(memory) = &mut next.memory {
                            memory.looks_count_from = Duration::ZERO;
                        }
                        next.begin();
                    })),
                ));
                if self.budget.edits > 0
                    && self.memory.as_ref().is_some_and(|memory| memory.looks_count_from > Duration::ZERO)
                {
                    events.push((
                        "the user: asks for a look, and a pass begins".into(),
                        Ok(self.after(|next| {
                            next.budget.edits -= 1;
                            next.begin();
                        })),
                    ));
                }
            }
            return;
        };
        let step = self.decision(operator);
        let name = format!("{step:?}");
        events.push((name.clone(), self.take(&step, Luck::Well)));
        let calls = matches!(&step, Step::Look(Look::List | Look::Show(_)) | Step::Act(Act::Create | Act::Delete(_)));
        let effects = matches!(&step, Step::Act(Act::Create | Act::Delete(_)));
        let reads = matches!(&step, Step::Look(Look::List | Look::Show(_)));
        let mut maybe = |possible: bool, luck: Luck, spend: fn(&mut Budget) -> &mut u8| {
            let mut poorer = self.clone();
            let left = spend(&mut poorer.budget);
            if possible && *left > 0 {
                *left -= 1;
                events.push((format!("{luck:?}: {name}"), poorer.take(&step, luck)));
            }
        };
        maybe(calls, Luck::LostBefore, |budget| &mut budget.losses);
        maybe(effects, Luck::LostAfter, |budget| &mut budget.losses);
        maybe(reads && self.before != self.contract, Luck::Lagging, |budget| &mut budget.lags);
        maybe(effects, Luck::Refused, |budget| &mut budget.refusals);
        if self.budget.crashes > 0 {
            for after in [false, true] {
                // Killed before the step, or right after its effect, before anything was learnt of it.
                let mut next = if after { self.take(&step, Luck::Well) } else { Ok(self.clone()) };
                if let Ok(next) = &mut next {
                    next.budget.crashes -= 1;
                    next.crash();
                }
                events.push((format!("killed {} {name}", if after { "right after" } else { "before" }), next));
            }
        }
    }

    fn begin(&mut self) {
        let Some(plan) = &self.plan else { return };
        self.memory.get_or_insert_with(|| Memory::fresh(plan, Duration::ZERO));
        self.operator = Some(Operator {
            plan: plan.clone(),
            version: self.version,
            credentials: self.secret.facts(),
            pass: Pass::default(),
        });
    }

    fn crash(&mut self) {
        self.operator = None;
        self.memory = None;
        self.note_ambiguity();
    }

    /// From here on no process can tell whether a create of ours took effect.
    fn note_ambiguity(&mut self) {
        if self.plan.as_ref().is_some_and(|plan| plan.finalizer && plan.id.is_none()) {
            self.ambiguous = true;
        }
    }

    fn add_own(&mut self, id: &ContractId) {
        if !self.own.contains(id) {
            self.own.push(id.clone());
        }
    }

    fn decision(&self, operator: &Operator) -> Step {
        decide(&Facts {
            now: Duration::ZERO,
            settings: &SETTINGS,
            plan: &operator.plan,
            credentials: &operator.credentials,
            claim: &Claim::Ours,
            memory: self.memory.as_ref().unwrap(),
            pass: &operator.pass,
        })
    }

    fn take(&self, step: &Step, luck: Luck) -> Outcome {
        let mut next = self.clone();
        let suspended = next.operator.as_ref().unwrap().plan.suspend;
        if suspended && matches!(step, Step::Look(_) | Step::Act(_)) {
            return Err("a suspended plan was touched".into());
        }
        match step {
            Step::Look(look) => next.look(look, luck),
            Step::Act(act) => next.act(act, luck)?,
            Step::Report(verdict) => next.report(verdict)?,
            Step::Rest { verdict, .. } => {
                if let Some(verdict) = verdict {
                    next.report(verdict)?;
                }
                next.operator = None;
            }
        }
        Ok(next)
    }

    fn learn(&mut self, news: &News) {
        let (Some(operator), Some(memory)) = (&mut self.operator, &mut self.memory) else { return };
        memory.learn(news, &operator.plan, &SETTINGS, Duration::ZERO);
        operator.pass.learn(news);
        // What only counts up is cut off where counting on makes no difference, or there would be no end of states.
        memory.failures = 0;
        memory.absences = memory.absences.min(3);
        memory.in_progress_since = None;
        if let Create::Open { empty_looks, resent } = &mut memory.create {
            *resent = (*resent).min(1);
            *empty_looks = (*empty_looks).min(6);
        }
        if let Some(delete) = &mut memory.delete {
            delete.unchanged_looks = delete.unchanged_looks.min(3);
        }
    }

    fn look(&mut self, look: &Look, luck: Luck) {
        let seen = if luck == Luck::Lagging { self.before.clone() } else { self.contract.clone() };
        let lost = luck == Luck::LostBefore;
        let news = match look {
            Look::List if lost => News::Listed(Err(unavailable())),
            Look::Show(_) if lost => News::Shown(Err(unavailable())),
            Look::List => News::Listed(Ok(seen.iter().map(Held::shown).collect())),
            Look::Show(id) => News::Shown(Ok(seen.filter(|held| held.id == *id).map(|held| held.shown()))),
            Look::Explain(_) => News::Explained(None),
            Look::Definition if self.leaving => News::Definition(Definition::Leaving),
            Look::Definition => News::Definition(Definition::Stands),
            Look::Holder => {
                let (Some(operator), Some(plan)) = (&mut self.operator, &self.plan) else {
                    self.operator = None;
                    return;
                };
                operator.plan = plan.clone();
                operator.version = self.version;
                News::Holder(Claim::Ours)
            }
            Look::Secret => News::Secret(Unseen::Absent),
        };
        self.learn(&news);
    }

    fn act(&mut self, act: &Act, luck: Luck) -> Result<(), String> {
        match act {
            Act::ProtectSecret => self.protect_secret(),
            Act::AddFinalizer => {
                if self.write(|plan| plan.finalizer = true) {
                    self.learn(&News::FinalizerAdded);
                }
            }
            Act::RemoveFinalizer(farewell) => self.let_go(farewell)?,
            Act::Create => self.create(luck)?,
            Act::Delete(id) => self.delete(id, luck)?,
        }
        Ok(())
    }

    /// A write that carries the version it was decided on. False: it was refused, and the pass is over.
    fn write(&mut self, change: impl FnOnce(&mut PlanFacts)) -> bool {
        let (Some(operator), Some(plan)) = (&mut self.operator, &mut self.plan) else {
            self.operator = None;
            return false;
        };
        if operator.version != self.version {
            self.operator = None;
            return false;
        }
        change(plan);
        operator.plan = plan.clone();
        true
    }

    fn let_go(&mut self, farewell: &Farewell) -> Result<(), String> {
        let abolishing = !matches!(farewell, Farewell::Retained { .. });
        if !self.write(|plan| plan.finalizer = false) {
            return Ok(());
        }
        if let (true, Some(held)) = (abolishing, &self.contract)
            && self.own.contains(&held.id)
        {
            return Err(format!("contract {} is ours and was left behind", held.id));
        }
        self.ambiguous = false;
        self.learn(&News::FinalizerRemoved);
        if self.plan.as_ref().is_some_and(|plan| plan.deleting) {
            self.plan = None;
            self.operator = None;
            self.memory = None;
        }
        Ok(())
    }

    fn protect_secret(&mut self) {
        // What has changed since, or is going, takes no finalizer.
        let unchanged = self.operator.as_ref().is_some_and(|operator| operator.credentials == self.secret.facts());
        if !unchanged || self.secret.deleting {
            self.operator = None;
            return;
        }
        self.secret.protected = true;
        if let Some(operator) = &mut self.operator {
            operator.credentials = self.secret.facts();
        }
        self.learn(&News::SecretProtected);
    }

    fn create(&mut self, luck: Luck) -> Result<(), String> {
        if self.operator.as_ref().is_some_and(|operator| !operator.plan.finalizer) {
            return Err("rule 2: bought without the finalizer".into());
        }
        if self.secret.there && !self.secret.protected {
            return Err("rule 8: bought with a Secret that nothing keeps".into());
        }
        if let Some(Credentials::Usable { deleting: true, .. }) =
            self.operator.as_ref().map(|operator| &operator.credentials)
        {
            return Err("rule 8: bought with a Secret that is being deleted".into());
        }
        if luck == Luck::Refused {
            self.learn(&News::Created(Sent::Refused(Trouble::Rejected { words: "".into() })));
            return Ok(());
        }
        let outcome = match (&self.contract, luck) {
            (_, Luck::LostBefore) | (Some(_), Luck::LostAfter) => Sent::Unknown(unavailable()),
            (Some(_), _) => Sent::Refused(Trouble::Conflict { words: "".into() }),
            (None, _) => {
                let held = self.new_contract(OperationStatus::Processing);
                self.add_own(&held.id);
                self.set_contract(Some(held.clone()));
                if luck == Luck::LostAfter { Sent::Unknown(unavailable()) } else { Sent::Accepted(held.shown()) }
            }
        };
        if matches!(outcome, Sent::Unknown(_)) {
            self.note_ambiguity();
        }
        self.learn(&News::Created(outcome));
        Ok(())
    }

    fn delete(&mut self, id: &ContractId, luck: Luck) -> Result<(), String> {
        if !self.own.contains(id) {
            return Err(format!("contract {id} is not ours and was to be abolished"));
        }
        let definition = self.operator.as_ref().and_then(|operator| operator.pass.definition);
        if self.leaving && definition != Some(Definition::Stands) {
            return Err(format!("rule 12: contract {id} was to be abolished although the definition is being deleted"));
        }
        if luck == Luck::Refused {
            self.learn(&News::Deleted(Sent::Refused(Trouble::Rejected { words: "".into() })));
            return Ok(());
        }
        if luck != Luck::LostBefore
            && let Some(held) = self.contract.clone().filter(|held| held.id == *id && !held.going)
        {
            self.set_contract(Some(Held { status: OperationStatus::Processing, going: true, ..held }));
        }
        let lost = matches!(luck, Luck::LostBefore | Luck::LostAfter);
        self.learn(&News::Deleted(if lost { Sent::Unknown(unavailable()) } else { Sent::Accepted(()) }));
        Ok(())
    }

    fn report(&mut self, verdict: &Verdict) -> Result<(), String> {
        let purchased = matches!(verdict.occasion, Some(Occasion::Purchased(_)));
        if let (Some(operator), true) = (&mut self.operator, purchased && verdict.id != IdChange::Keep) {
            // The id of what was bought is written whatever else has changed.
            operator.version = self.version;
        }
        let situation = verdict.situation.clone();
        let id = verdict.id.clone();
        let written = self.write(|plan| {
            plan.reported = Some(Reported {
                ready: situation.ready(),
                reason: Some(situation.reason()),
                unsettled_for: Duration::ZERO,
            });
            match id {
                IdChange::Keep => {}
                IdChange::Set(id) => plan.id = Some(id),
                IdChange::Clear => plan.id = None,
            }
        });
        if !written {
            return Ok(());
        }
        match &verdict.occasion {
            Some(Occasion::Adopted(id)) => self.add_own(id),
            Some(Occasion::Purchased(id)) if self.ambiguous => self.add_own(id),
            Some(Occasion::Purchased(id)) if !self.own.contains(id) => {
                return Err(format!("contract {id} was bought in the portal and taken for ours"));
            }
            Some(Occasion::Purchased(_) | Occasion::Lost(_)) | None => {}
        }
        match (&verdict.id, &verdict.occasion) {
            (IdChange::Set(_), _) => {
                self.ambiguous = false;
                self.learn(&News::IdRecorded);
            }
            (IdChange::Clear, Some(Occasion::Lost(id))) => self.learn(&News::IdForgotten(Some(id.clone()))),
            (IdChange::Clear, _) => self.learn(&News::IdForgotten(None)),
            (IdChange::Keep, _) => {}
        }
        Ok(())
    }

    fn new_contract(&mut self, status: OperationStatus) -> Held {
        let id = ContractId::parse(&format!("F{:012}", self.next_id)).unwrap();
        self.next_id += 1;
        Held { id, status, going: false }
    }

    fn set_contract(&mut self, contract: Option<Held>) {
        self.before = std::mem::replace(&mut self.contract, contract);
    }

    fn fic_events(&self, events: &mut Vec<(String, Outcome)>) {
        let Some(held) = self.contract.clone().filter(|held| held.status == OperationStatus::Processing) else {
            return;
        };
        let done = (!held.going).then(|| Held { status: OperationStatus::Completed, ..held.clone() });
        events.push(("FIC finishes".into(), Ok(self.after(|next| next.set_contract(done)))));
        if self.budget.failures > 0 {
            let failed = Held { status: OperationStatus::Error, going: false, ..held };
            events.push((
                "FIC fails".into(),
                Ok(self.after(|next| {
                    next.budget.failures -= 1;
                    next.set_contract(Some(failed));
                })),
            ));
        }
    }

    fn portal_events(&self, events: &mut Vec<(String, Outcome)>) {
        if self.budget.portal == 0 {
            return;
        }
        let mut happens = |name: &str, change: &dyn Fn(&mut Self)| {
            events.push((
                format!("in the portal: {name}"),
                Ok(self.after(|next| {
                    next.budget.portal -= 1;
                    change(next);
                })),
            ));
        };
        let buy = |world: &mut Self| {
            let held = world.new_contract(OperationStatus::Completed);
            world.set_contract(Some(held));
        };
        if self.contract.is_none() {
            happens("a contract is bought", &buy);
        } else {
            happens("the contract is abolished", &|world| world.set_contract(None));
            happens("the contract is replaced", &buy);
        }
    }

    fn user_events(&self, events: &mut Vec<(String, Outcome)>) {
        let Some(plan) = &self.plan else { return };
        let edit = |name: &str, spend: u8, change: &dyn Fn(&mut PlanFacts)| {
            let next = self.after(|next| {
                next.budget.edits -= spend;
                next.version += 1;
                change(next.plan.as_mut().unwrap());
                if next.plan.as_ref().is_some_and(|plan| plan.deleting && !plan.finalizer) {
                    next.plan = None;
                    next.operator = None;
                    next.memory = None;
                }
            });
            (format!("the user: {name}"), Ok(next))
        };
        if !plan.deleting {
            events.push(edit("deletes the plan", 0, &|plan| plan.deleting = true));
        }
        if self.budget.uninstalls > 0 {
            let (name, next) = edit("uninstalls", 0, &|plan| plan.deleting = true);
            let next: Outcome = next;
            events.push((
                name,
                next.map(|mut next| {
                    next.budget.uninstalls -= 1;
                    next.leaving = true;
                    next
                }),
            ));
        }
        if self.budget.edits == 0 {
            return;
        }
        events.push(edit("suspend", 1, &|plan| plan.suspend = !plan.suspend));
        events.push(edit("Observe or Manage", 1, &|plan| {
            plan.management = match plan.management {
                ManagementPolicy::Manage => ManagementPolicy::Observe,
                ManagementPolicy::Observe => ManagementPolicy::Manage,
            };
        }));
        events.push(edit("IfPresent", 1, &|plan| plan.adoption = AdoptionPolicy::IfPresent));
        events.push(edit("recreation Never", 1, &|plan| plan.recreation = RecreationPolicy::Never));
        events.push(edit("Retain", 1, &|plan| plan.deletion = DeletionPolicy::Retain));
    }

    fn secret_events(&self, events: &mut Vec<(String, Outcome)>) {
        let holds = self.plan.as_ref().is_some_and(|plan| plan.finalizer);
        if self.secret.there && self.secret.protected && !holds && self.operator.is_none() && self.budget.secrets > 0 {
            let let_go = self.after(|next| {
                next.secret.protected = false;
                next.secret.there = !next.secret.deleting;
            });
            events.push(("the guard lets the Secret go".into(), Ok(let_go)));
        }
        if self.budget.secrets == 0 {
            return;
        }
        let change = |name: &str, secret: Secret| {
            let next = self.after(|next| {
                next.budget.secrets -= 1;
                next.secret = secret;
            });
            (format!("the user {name} the Secret"), Ok(next))
        };
        if !self.secret.there {
            events.push(change("makes", Secret { there: true, protected: false, deleting: false }));
        } else if !self.secret.deleting {
            let protected = self.secret.protected;
            events.push(change("deletes", Secret { there: protected, protected, deleting: protected }));
        }
    }

    /// Once nothing goes wrong any more, the plan comes to rest: Ready, Stalled, waiting for the user, or gone.
    pub fn recovers(&self) -> Result<(), String> {
        let mut world = self.after(|next| next.budget = Budget::default());
        for _ in 0..400 {
            let Some((_, next)) = world.events().into_iter().find(|(name, _)| !name.starts_with("the user")) else {
                break;
            };
            let finished = world.operator.is_none();
            world = match world.fic_finishes().filter(|_| finished) {
                Some(world) => world,
                None => next?,
            };
            if finished && world.is_settled() {
                return Ok(());
            }
        }
        if world.is_settled() { Ok(()) } else { Err(format!("it never comes to rest: {:?}", world.plan)) }
    }

    fn fic_finishes(&self) -> Option<Self> {
        let mut events = Vec::new();
        self.fic_events(&mut events);
        events.into_iter().next().and_then(|(_, next)| next.ok())
    }

    fn is_settled(&self) -> bool {
        let Some(plan) = &self.plan else { return true };
        let Some(reported) = &plan.reported else { return false };
        let stalled = reported.reason.is_some_and(|reason| reason.progress() == Progress::Stalled);
        let watching = plan.management == ManagementPolicy::Observe && !plan.deleting;
        let without =
            reported.reason == Some(Reason::CredentialsMissing) && (!self.secret.there || self.secret.deleting);
        plan.suspend || stalled || without || (reported.ready == Ready::True && !plan.deleting) || watching
    }
}
