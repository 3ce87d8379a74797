//! Every row of the decision, by the decision function itself.
//!
//! Each test puts a [`World`] together, which starts from the plainest one (a plan just applied, its Secret there, nothing known
//! yet), and says what the next step must be.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    clippy::unchecked_time_subtraction,
    clippy::duration_suboptimal_units,
    clippy::maybe_infinite_iter,
    reason = "a test names what it expects and may panic on everything else"
)]

use std::time::Duration;

use super::*;
use crate::condition::Reason;
use crate::contract::OperationStatus;
use crate::facts::Reported;
use crate::memory::{Delete, LOOKS_TO_BELIEVE};
use crate::pass::News;
use crate::plan::{AdoptionPolicy, Menu, RecreationPolicy};
use crate::situation::Abolishing;
use crate::trouble::Sent;

const NOW: Duration = Duration::from_secs(100_000);

#[derive(Clone)]
struct World {
    settings: Settings,
    plan: PlanFacts,
    credentials: Credentials,
    claim: Claim,
    memory: Memory,
    pass: Pass,
}

fn id(text: &str) -> ContractId {
    ContractId::parse(text).expect("well formed")
}

fn ours() -> ContractId {
    id("F000000000001")
}

fn other() -> ContractId {
    id("F000000000002")
}

fn contract(id: ContractId, status: OperationStatus) -> Contract {
    Contract { id, status, current_menu: Some("PremiumPlan".into()), menus: vec![] }
}

fn unavailable() -> Trouble {
    Trouble::Unavailable { what: "HTTP 503".into(), retry_after: None }
}

/// A plan just applied.
pub(crate) fn plan() -> PlanFacts {
    PlanFacts {
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
    }
}

impl World {
    /// A plan just applied.
    fn new() -> Self {
        let plan = plan();
        Self {
            settings: Settings {
                poll_interval: Duration::from_secs(3),
                resync_interval: Duration::from_secs(600),
                operation_timeout: Duration::from_secs(600),
            },
            memory: Memory::fresh(&plan, NOW),
            plan,
            credentials: Credentials::Seen { defect: None, protected: false, deleting: false },
            claim: Claim::Ours,
            pass: Pass::default(),
        }
    }

    /// A plan whose create may have been sent, by this process or another.
    fn open() -> Self {
        let mut world = Self::new();
        world.plan.finalizer = true;
        world.credentials = Credentials::Seen { defect: None, protected: true, deleting: false };
        world.memory = Memory::fresh(&world.plan, NOW);
        world
    }

    /// A plan that was Ready.
    fn ready() -> Self {
        let mut world = Self::open();
        world.plan.id = Some(ours());
        world.plan.reported = Some(Reported { ready: Ready::True, reason: Some(Reason::Contracted) });
        world
    }

    fn deleting(mut self) -> Self {
        self.plan.deleting = true;
        self
    }

    fn protected(mut self) -> Self {
        self.credentials = Credentials::Seen { defect: None, protected: true, deleting: false };
        self
    }

    fn plan(mut self, change: impl FnOnce(&mut PlanFacts)) -> Self {
        change(&mut self.plan);
        self
    }

    fn memory(mut self, change: impl FnOnce(&mut Memory)) -> Self {
        change(&mut self.memory);
        self
    }

    /// Learns as the loop does.
    fn news(mut self, news: News) -> Self {
        match &news {
            News::FinalizerAdded => self.plan.finalizer = true,
            News::FinalizerRemoved => self.plan.finalizer = false,
            _ => {}
        }
        // Each look comes as long after the one before as the loop would have it.
        self.memory.looks_count_from = NOW;
        self.memory.learn(&news, &self.plan, &self.settings, NOW);
        self.pass.learn(&news);
        self
    }

    fn listed(self, contracts: Vec<Contract>) -> Self {
        self.news(News::Listed(Ok(contracts)))
    }

    fn shown(self, contract: Option<Contract>) -> Self {
        self.news(News::Shown(Ok(contract)))
    }

    /// Neither Show nor List has shown the contract for as many looks as it takes.
    fn long_absent(self) -> Self {
        self.memory(|memory| memory.absences = LOOKS_TO_BELIEVE)
    }

    fn holding(self) -> Self {
        self.news(News::Holder(Claim::Ours))
    }

    fn step(&self) -> Step {
        decide(&Facts {
            now: NOW,
            settings: &self.settings,
            plan: &self.plan,
            credentials: &self.credentials,
            claim: &self.claim,
            memory: &self.memory,
            pass: &self.pass,
        })
    }

    /// What the plan rests with.
    fn rests(&self) -> (Option<Situation>, IdChange, Wait) {
        match self.step() {
            Step::Rest { verdict: Some(verdict), wait } => (Some(verdict.situation), verdict.id, wait),
            Step::Rest { verdict: None, wait } => (None, IdChange::Keep, wait),
            step => panic!("expected to rest, not {step:?}"),
        }
    }

    fn verdict(&self) -> Verdict {
        match self.step() {
            Step::Rest { verdict: Some(verdict), .. } | Step::Report(verdict) => verdict,
            step => panic!("expected a verdict, not {step:?}"),
        }
    }
}

/// The steps from apply to the create, and what each waits for.
#[test]
fn a_purchase_goes_list_secret_finalizer_holder_create() {
    let world = World::new();
    assert_eq!(world.step(), Step::Look(Look::List));
    let mut world = world.listed(vec![]);
    assert_eq!(world.step(), Step::Act(Act::ProtectSecret));
    world = world.protected();
    assert_eq!(world.step(), Step::Act(Act::AddFinalizer));
    world = world.news(News::FinalizerAdded);
    assert_eq!(world.step(), Step::Look(Look::Holder));
    world = world.holding();
    assert_eq!(world.step(), Step::Act(Act::Create));
}

#[test]
fn an_accepted_create_is_recorded_before_anything_else() {
    let bought = contract(ours(), OperationStatus::Processing);
    let world = World::open().news(News::FinalizerAdded).listed(vec![]).holding();
    let world = world.news(News::Created(Sent::Accepted(bought)));
    let verdict = world.verdict();
    assert_eq!(verdict.situation, Situation::Processing { id: ours() });
    assert_eq!(verdict.id, IdChange::Set(ours()));
    assert_eq!(verdict.occasion, Some(Occasion::Purchased(ours())));
    // Whatever else is in the way.
    for change in [
        |world: &mut World| world.credentials = Credentials::NotSeen,
        |world: &mut World| world.claim = Claim::HeldBy("a/b".into()),
        |world: &mut World| world.plan.deleting = true,
        |world: &mut World| world.plan.management = ManagementPolicy::Observe,
    ] {
        let mut hindered =
            World::open().news(News::Created(Sent::Accepted(contract(ours(), OperationStatus::Processing))));
        change(&mut hindered);
        assert_eq!(hindered.verdict().id, IdChange::Set(ours()));
    }
}

#[test]
fn a_create_of_unknown_outcome_is_looked_up_and_not_sent_again_at_once() {
    let world = World::open().news(News::FinalizerAdded).listed(vec![]).holding();
    let world = world.news(News::Created(Sent::Unknown(unavailable())));
    assert_eq!(world.step(), Step::Look(Look::List));
    let (situation, _, wait) = world.listed(vec![]).rests();
    assert_eq!((situation, wait), (Some(Situation::Purchasing { cause: Some(unavailable()) }), Wait::Poll));
}

#[test]
fn a_contract_found_after_an_open_create_is_ours() {
    let world = World::open().listed(vec![contract(ours(), OperationStatus::Completed)]);
    assert_eq!(world.step(), Step::Look(Look::Holder));
    let verdict = world.holding().verdict();
    assert_eq!(verdict.situation, Situation::Contracted { id: ours(), observed: false });
    assert_eq!((verdict.id, verdict.occasion), (IdChange::Set(ours()), Some(Occasion::Purchased(ours()))));
}

#[test]
fn an_open_create_is_sent_again_only_after_several_empty_looks() {
    let mut world = World::open();
    for _ in 0..LOOKS_TO_BELIEVE - 1 {
        world.pass = Pass::default();
        world = world.listed(vec![]);
        assert_eq!(world.rests(), (Some(Situation::Purchasing { cause: None }), IdChange::Keep, Wait::Poll));
    }
    world.pass = Pass::default();
    assert_eq!(world.listed(vec![]).holding().step(), Step::Act(Act::Create));
}

#[test]
fn each_further_create_takes_twice_as_many_empty_looks() {
    let believed_after = |resent| {
        (0..)
            .find(|&empty_looks| Create::Open { empty_looks, resent }.is_believed_void())
            .expect("some number of looks")
    };
    assert_eq!([0, 1, 2].map(believed_after), [3, 6, 12]);
}

#[test]
fn a_refused_create_gives_the_finalizer_back_and_what_is_there_then_is_not_ours() {
    let refusals = [
        Trouble::Conflict { words: "exists".into() },
        Trouble::Rejected { words: "no".into() },
        Trouble::PermissionDenied { words: "no".into() },
    ];
    for refusal in refusals {
        let world = World::open().news(News::FinalizerAdded).listed(vec![]).holding();
        let world = world.news(News::Created(Sent::Refused(refusal.clone())));
        assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(Farewell::NothingBought)), "{refusal:?}");
        let world = world.news(News::FinalizerRemoved);
        let found = contract(other(), OperationStatus::Completed);
        let (situation, id, _) = world.listed(vec![found]).rests();
        assert_eq!(situation, Some(Situation::AlreadyContracted { id: Some(other()), replaced: None }));
        assert_eq!(id, IdChange::Clear);
    }
}

#[test]
fn a_conflict_on_a_create_that_list_does_not_show_yet_is_not_tried_at_once() {
    let world = World::open().news(News::FinalizerAdded).listed(vec![]).holding();
    let world = world.news(News::Created(Sent::Refused(Trouble::Conflict { words: "exists".into() })));
    let world = world.news(News::FinalizerRemoved);
    assert_eq!(world.step(), Step::Look(Look::List));
    let (situation, _, wait) = world.listed(vec![]).rests();
    assert_eq!(situation, Some(Situation::AlreadyContracted { id: None, replaced: None }));
    assert_eq!(wait, Wait::Backoff);
}

#[test]
fn a_refusal_while_an_earlier_create_is_open_keeps_the_finalizer() {
    let conflict = Trouble::Conflict { words: "exists".into() };
    let world = World::open().news(News::Created(Sent::Refused(conflict.clone())));
    let (situation, _, _) = world.listed(vec![]).rests();
    assert_eq!(situation, Some(Situation::Purchasing { cause: Some(conflict) }));
    let world = World::open().news(News::Created(Sent::Refused(Trouble::Conflict { words: "exists".into() })));
    let found = world.listed(vec![contract(ours(), OperationStatus::Completed)]).holding();
    assert_eq!(found.verdict().id, IdChange::Set(ours()));
}

#[test]
fn a_contract_bought_elsewhere_before_any_create_of_ours_is_not_taken() {
    // The finalizer went on, and before the create the portal was faster.
    let world = World::new().protected().news(News::FinalizerAdded);
    let world = world.listed(vec![contract(other(), OperationStatus::Completed)]);
    assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(Farewell::NothingBought)));
}

#[test]
fn a_contract_that_was_there_is_left_alone_or_taken_over_by_policy() {
    let there = || vec![contract(other(), OperationStatus::Completed)];
    let (situation, _, wait) = World::new().listed(there()).rests();
    assert_eq!(situation, Some(Situation::AlreadyContracted { id: Some(other()), replaced: None }));
    assert_eq!(wait, Wait::Resync);

    let world = World::new().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).listed(there());
    assert_eq!(world.step(), Step::Act(Act::ProtectSecret));
    let world = world.protected();
    assert_eq!(world.step(), Step::Act(Act::AddFinalizer));
    let world = world.news(News::FinalizerAdded).holding();
    let verdict = world.verdict();
    assert_eq!((verdict.id, verdict.occasion), (IdChange::Set(other()), Some(Occasion::Adopted(other()))));
}

#[test]
fn a_contract_on_another_menu_is_never_taken_over() {
    let mut there = contract(other(), OperationStatus::Completed);
    there.current_menu = Some("GoldPlan".into());
    let world = World::new().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).listed(vec![there]);
    let (situation, id, _) = world.rests();
    assert_eq!(situation, Some(Situation::MenuMismatch { id: other(), menu: "GoldPlan".into() }));
    assert_eq!(id, IdChange::Keep);
}

#[test]
fn an_id_that_was_only_watched_never_becomes_a_claim() {
    let world = World::new().protected().plan(|plan| plan.id = Some(other())).listed(vec![]);
    match world.step() {
        Step::Report(verdict) => assert_eq!(verdict.id, IdChange::Clear),
        step => panic!("the old id must go before the finalizer is put on, not {step:?}"),
    }
}

#[test]
fn a_secret_that_is_being_deleted_buys_nothing_new() {
    let mut world = World::new();
    world.credentials = Credentials::Seen { defect: None, protected: true, deleting: true };
    let (situation, _, _) = world.listed(vec![]).rests();
    assert_eq!(situation, Some(Situation::CredentialsLeaving));
}

#[test]
fn a_secret_in_use_is_protected_again_if_it_lost_its_finalizer() {
    let mut world = World::ready();
    world.credentials = Credentials::Seen { defect: None, protected: false, deleting: false };
    assert_eq!(world.step(), Step::Act(Act::ProtectSecret));
}

#[test]
fn a_standing_contract_is_reported_as_what_it_is() {
    let shown = |status, menu: Option<&str>| {
        let mut shown = contract(ours(), status);
        shown.current_menu = menu.map(Into::into);
        World::ready().shown(Some(shown))
    };
    let premium = Some("PremiumPlan");
    let of = |world: World| {
        let (situation, _, wait) = world.rests();
        (situation.expect("something to say"), wait)
    };
    assert_eq!(
        of(shown(OperationStatus::Completed, premium)),
        (Situation::Contracted { id: ours(), observed: false }, Wait::Resync)
    );
    assert_eq!(
        of(shown(OperationStatus::Completed, Some("GoldPlan"))),
        (Situation::MenuMismatch { id: ours(), menu: "GoldPlan".into() }, Wait::Resync)
    );
    for status in [OperationStatus::Processing, OperationStatus::Other("Migrating".into())] {
        assert_eq!(of(shown(status, premium)), (Situation::Processing { id: ours() }, Wait::Poll));
    }
    assert_eq!(of(shown(OperationStatus::Completed, None)), (Situation::Processing { id: ours() }, Wait::Poll));
}

#[test]
fn a_failed_operation_is_explained_before_it_is_reported() {
    let world = World::ready().shown(Some(contract(ours(), OperationStatus::Error)));
    assert_eq!(world.step(), Step::Look(Look::Explain(ours())));
    let (situation, _, _) = world.news(News::Explained(Some("no capacity".into()))).rests();
    assert_eq!(situation, Some(Situation::OperationFailed { id: ours(), why: Some("no capacity".into()) }));
}

#[test]
fn what_is_shown_of_a_contract_goes_with_its_id() {
    let there = contract(other(), OperationStatus::Completed);
    let refused = World::new().listed(vec![there.clone()]).verdict();
    assert_eq!((refused.id, refused.shown), (IdChange::Clear, Shown::Nothing));
    let found = World::open().listed(vec![there.clone()]).holding().verdict();
    assert_eq!((found.id, found.shown), (IdChange::Set(other()), Shown::Contract(there)));
}

#[test]
fn what_is_in_the_way_is_waited_out_ever_more_slowly() {
    let hindered = [Wait::Backoff, Wait::Until(NOW), Wait::Poll, Wait::Resync, Wait::Change].map(Wait::is_hindered);
    assert_eq!(hindered, [true, true, false, false, false]);
}

#[test]
fn an_operation_that_takes_too_long_stalls_and_recovers() {
    let since = NOW - Duration::from_secs(600);
    let world = World::ready().memory(|memory| memory.in_progress_since = Some(since));
    let (situation, _, wait) = world.shown(Some(contract(ours(), OperationStatus::Processing))).rests();
    assert_eq!(situation, Some(Situation::OperationTimedOut { id: ours(), after: Duration::from_secs(600) }));
    assert_eq!(wait, Wait::Resync);
    // A process that has just begun goes by what was reported before it.
    for reason in [Reason::Processing, Reason::OperationTimedOut] {
        let reported = Reported { ready: Ready::False, reason: Some(reason) };
        let world = World::ready().plan(|plan| plan.reported = Some(reported));
        let (situation, _, _) = world.shown(Some(contract(ours(), OperationStatus::Processing))).rests();
        assert_eq!(situation.expect("something to say").reason(), reason);
    }
}

#[test]
fn a_lost_contract_needs_two_witnesses_and_several_looks() {
    let mut world = World::ready().shown(None);
    assert_eq!(world.step(), Step::Look(Look::List), "the second witness");
    for look in 1..=LOOKS_TO_BELIEVE {
        world.pass = Pass::default();
        world = world.shown(None).listed(vec![]);
        if look < LOOKS_TO_BELIEVE {
            assert_eq!(world.rests(), (None, IdChange::Keep, Wait::Poll));
        }
    }
    match world.step() {
        Step::Report(verdict) => {
            assert_eq!((verdict.id, verdict.occasion), (IdChange::Clear, Some(Occasion::Lost(ours()))));
        }
        step => panic!("the id must go before anything is bought, not {step:?}"),
    }
    let world = world.plan(|plan| plan.recreation = RecreationPolicy::Never);
    assert_eq!(world.rests(), (Some(Situation::ContractLost { id: ours() }), IdChange::Keep, Wait::Resync));
}

#[test]
fn one_witness_alone_is_not_believed() {
    let world = World::ready().shown(None).listed(vec![contract(ours(), OperationStatus::Completed)]);
    assert_eq!(world.rests().0, Some(Situation::Contracted { id: ours(), observed: false }));
}

#[test]
fn a_lost_contract_that_turns_up_again_is_still_ours() {
    let world = World::open().news(News::IdForgotten(Some(ours())));
    let world = world.listed(vec![contract(ours(), OperationStatus::Completed)]).holding();
    assert_eq!(world.verdict().id, IdChange::Set(ours()));
}

#[test]
fn a_contract_of_another_menu_that_turns_up_before_the_create_is_not_taken_over() {
    let world = World::new().protected().news(News::FinalizerAdded);
    let world = world.plan(|plan| plan.adoption = AdoptionPolicy::IfPresent);
    let found = |menu: &str| {
        let there = Contract { current_menu: Some(menu.into()), ..contract(other(), OperationStatus::Completed) };
        World { memory: world.memory.clone(), plan: world.plan.clone(), ..World::new().protected() }
            .listed(vec![there])
            .holding()
    };
    assert_eq!(found("GoldPlan").step(), Step::Act(Act::RemoveFinalizer(Farewell::NothingBought)));
    assert_eq!(found("PremiumPlan").verdict().id, IdChange::Set(other()));
}

#[test]
fn a_contract_replaced_outside_is_left_alone_or_taken_over_by_policy() {
    let world = || World::ready().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]).long_absent();
    let (situation, id, _) = world().rests();
    assert_eq!(situation, Some(Situation::AlreadyContracted { id: Some(other()), replaced: Some(ours()) }));
    assert_eq!(id, IdChange::Keep, "what was ours stays on record");
    let world = world().plan(|plan| plan.adoption = AdoptionPolicy::IfPresent).holding();
    assert_eq!(world.verdict().id, IdChange::Set(other()));
}

#[test]
fn a_contract_is_not_given_up_for_another_at_once() {
    let world = World::ready().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]);
    assert_eq!(world.rests(), (None, IdChange::Keep, Wait::Poll));
}

#[test]
fn a_plan_that_does_not_hold_its_tenant_makes_no_calls() {
    let mut world = World::new();
    world.claim = Claim::HeldBy("team/other".into());
    let (situation, id, _) = world.rests();
    assert_eq!((situation, id), (Some(Situation::TenantClaimed { holder: "team/other".into() }), IdChange::Clear));
}

#[test]
fn an_id_that_was_only_watched_does_not_hold_a_tenant() {
    let mut world = World::new().plan(|plan| plan.id = Some(other()));
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.rests().0, Some(Situation::TenantClaimed { holder: "team/other".into() }));
}

#[test]
fn a_plan_with_the_finalizer_yields_only_on_the_api_servers_word() {
    let mut world = World::open();
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.step(), Step::Look(Look::Holder));
    let world = world.news(News::Holder(Claim::HeldBy("team/other".into())));
    assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(Farewell::Yielded)));
    assert_eq!(
        World { plan: PlanFacts { deleting: true, ..world.plan.clone() }, ..world }.step(),
        Step::Act(Act::RemoveFinalizer(Farewell::Yielded))
    );
}

#[test]
fn a_plan_with_a_contract_never_yields() {
    let mut world = World::ready();
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.step(), Step::Look(Look::Show(ours())));
}

#[test]
fn a_deleted_plan_with_a_contract_never_yields() {
    let mut world = World::ready().deleting();
    world.claim = Claim::HeldBy("team/other".into());
    assert_eq!(world.step(), Step::Look(Look::Show(ours())));
}

#[test]
fn a_refused_create_takes_back_the_finalizer_and_never_the_record_of_a_contract() {
    let refused = |world: World| world.memory(|memory| memory.create = Create::Refused);
    let give_up = Step::Act(Act::RemoveFinalizer(Farewell::NothingBought));
    assert_eq!(refused(World::open()).step(), give_up);
    assert_eq!(refused(World::open()).deleting().step(), give_up);
    assert_eq!(refused(World::new()).step(), Step::Look(Look::List));
    assert_eq!(refused(World::ready()).step(), Step::Look(Look::Show(ours())));
    assert_eq!(refused(World::ready()).deleting().step(), Step::Look(Look::Show(ours())));
}

#[test]
fn a_deleted_plan_keeps_its_secret_unless_that_is_too_late() {
    let with = |protected, deleting| {
        World { credentials: Credentials::Seen { defect: None, protected, deleting }, ..World::ready().deleting() }
            .step()
    };
    assert_eq!(with(false, false), Step::Act(Act::ProtectSecret));
    for (protected, deleting) in [(false, true), (true, false), (true, true)] {
        assert_eq!(with(protected, deleting), Step::Look(Look::Show(ours())));
    }
}

#[test]
fn credentials_are_told_apart() {
    let with = |credentials| World { credentials, ..World::new() };
    assert_eq!(with(Credentials::NotSeen).step(), Step::Look(Look::Secret));
    assert_eq!(
        with(Credentials::NotSeen).news(News::Secret(Unseen::Absent)).rests().0,
        Some(Situation::CredentialsMissing)
    );
    assert_eq!(
        with(Credentials::NotSeen).news(News::Secret(Unseen::WrongType)).rests().0,
        Some(Situation::CredentialsInvalid(Defect::WrongType))
    );
    let defect = Defect::KeyMissing("apiKey");
    let invalid = |protected, deleting| Credentials::Seen { defect: Some(defect.clone()), protected, deleting };
    assert_eq!(with(invalid(false, false)).rests().0, Some(Situation::CredentialsInvalid(defect.clone())));
}

/// In a namespace that is going away a Secret can be mended, and none be created.
#[test]
fn a_secret_that_cannot_be_used_is_kept_too_by_whoever_may_need_it() {
    let defect = Defect::KeyMissing("apiKey");
    let invalid = |protected, deleting| Credentials::Seen { defect: Some(defect.clone()), protected, deleting };
    for world in [World::ready(), World::ready().deleting(), World::open()] {
        let with = |credentials| World { credentials, ..world.clone() };
        assert_eq!(with(invalid(false, false)).step(), Step::Act(Act::ProtectSecret));
        for (protected, deleting) in [(false, true), (true, false), (true, true)] {
            assert_ne!(with(invalid(protected, deleting)).step(), Step::Act(Act::ProtectSecret));
        }
    }
}

#[test]
fn every_trouble_of_a_look_has_its_reason() {
    let words = || Box::<str>::from("words");
    for (trouble, reason, wait) in [
        (unavailable(), Reason::ServiceUnavailable, Wait::Backoff),
        (Trouble::RateLimited { retry_after: None }, Reason::RateLimited, Wait::Backoff),
        (Trouble::Conflict { words: words() }, Reason::ServiceUnavailable, Wait::Backoff),
        (Trouble::AuthenticationFailed { words: words() }, Reason::AuthenticationFailed, Wait::Resync),
        (Trouble::PermissionDenied { words: words() }, Reason::PermissionDenied, Wait::Resync),
        (Trouble::Rejected { words: words() }, Reason::RequestRejected, Wait::Resync),
        (Trouble::Unexpected { what: words() }, Reason::UnexpectedAnswer, Wait::Resync),
    ] {
        let (situation, _, waits) = World::new().news(News::Listed(Err(trouble.clone()))).rests();
        assert_eq!((situation.expect("something to say").reason(), waits), (reason, wait), "{trouble:?}");
    }
}

#[test]
fn several_contracts_for_one_tenant_are_not_acted_on() {
    let several = vec![contract(ours(), OperationStatus::Completed), contract(other(), OperationStatus::Completed)];
    assert_eq!(World::new().listed(several).rests().0.expect("something to say").reason(), Reason::UnexpectedAnswer);
}

#[test]
fn retry_after_is_kept_to_whoever_asks() {
    let until = NOW + Duration::from_secs(30);
    let world = World::new().memory(|memory| memory.hold_until = Some(until));
    let (situation, _, wait) = world.rests();
    assert_eq!(situation.expect("something to say").reason(), Reason::RateLimited);
    assert_eq!(wait, Wait::Until(until));
    let letting_go = World::ready().deleting().plan(|plan| plan.deletion = DeletionPolicy::Retain);
    let letting_go = letting_go.memory(|memory| memory.hold_until = Some(until));
    assert!(matches!(letting_go.step(), Step::Act(Act::RemoveFinalizer(_))), "what takes no call need not wait");
}

#[test]
fn a_retry_after_that_is_over_holds_nothing_up() {
    for over in [NOW, NOW - Duration::from_secs(1)] {
        let world = World::new().memory(|memory| memory.hold_until = Some(over));
        assert_eq!(world.step(), Step::Look(Look::List));
        let (_, _, wait) = world.news(News::Listed(Err(unavailable()))).rests();
        assert_eq!(wait, Wait::Backoff);
    }
}

#[test]
fn an_accepted_create_says_nothing_any_more_once_an_id_is_recorded() {
    let bought = contract(other(), OperationStatus::Processing);
    let world = World::ready().memory(|memory| memory.create = Create::Accepted(bought));
    assert_eq!(world.step(), Step::Look(Look::Show(ours())));
    assert_eq!(world.deleting().step(), Step::Look(Look::Show(ours())));
}

#[test]
fn a_ready_plan_stays_ready_through_three_silent_resyncs_and_is_then_unknown() {
    let world = |seen: u64| {
        let world = World::ready().news(News::Shown(Err(unavailable())));
        world.memory(|memory| memory.last_seen = NOW - Duration::from_secs(seen))
    };
    assert_eq!(world(1799).rests(), (None, IdChange::Keep, Wait::Backoff));
    let (situation, _, _) = world(1800).rests();
    let situation = situation.expect("something to say");
    assert_eq!((situation.reason(), situation.ready()), (Reason::ServiceUnavailable, Ready::Unknown));
}

#[test]
fn trouble_while_a_create_is_open_is_still_a_purchase() {
    let (situation, _, _) = World::open().news(News::Listed(Err(unavailable()))).rests();
    assert_eq!(situation, Some(Situation::Purchasing { cause: Some(unavailable()) }));
}

#[test]
fn suspended_means_hands_off() {
    for world in [World::new(), World::open(), World::ready(), World::ready().deleting()] {
        let world = world.plan(|plan| plan.suspend = true);
        match world.plan.reported {
            None => assert_eq!(world.rests(), (Some(Situation::Suspended), IdChange::Keep, Wait::Change)),
            Some(_) => assert_eq!(world.rests(), (None, IdChange::Keep, Wait::Change)),
        }
    }
}

#[test]
fn observing_reports_and_changes_nothing() {
    let observe = |world: World| world.plan(|plan| plan.management = ManagementPolicy::Observe);
    let there = contract(other(), OperationStatus::Completed);
    let (situation, id, _) = observe(World::new()).listed(vec![there.clone()]).rests();
    assert_eq!(situation, Some(Situation::Contracted { id: other(), observed: true }));
    assert_eq!(id, IdChange::Set(other()));
    let (situation, id, _) = observe(World::new()).listed(vec![]).rests();
    assert_eq!((situation, id), (Some(Situation::NotContracted), IdChange::Clear));
    // An owner that was switched to Observe keeps its record of what is its own.
    let (situation, id, _) = observe(World::ready()).shown(None).listed(vec![there]).rests();
    assert_eq!((situation, id), (Some(Situation::Contracted { id: other(), observed: true }), IdChange::Keep));
    let (_, id, _) = observe(World::ready()).shown(None).listed(vec![]).rests();
    assert_eq!(id, IdChange::Keep);
}

#[test]
fn an_owner_that_only_watches_for_now_keeps_its_secret_all_the_same() {
    let observe = |world: World| {
        World { credentials: World::new().credentials, ..world }
            .plan(|plan| plan.management = ManagementPolicy::Observe)
    };
    assert_eq!(observe(World::ready()).step(), Step::Act(Act::ProtectSecret));
    assert_eq!(observe(World::new()).step(), Step::Look(Look::List), "what is not its own it leaves as it is");
}

#[test]
fn observing_a_failed_contract_comes_to_rest() {
    let world = World::new().plan(|plan| plan.management = ManagementPolicy::Observe);
    let world = world.listed(vec![contract(other(), OperationStatus::Error)]);
    assert!(matches!(world.step(), Step::Report(_)));
    let world = world.plan(|plan| plan.id = Some(other())).news(News::IdRecorded);
    assert_eq!(world.step(), Step::Look(Look::Explain(other())));
    assert_eq!(
        world.news(News::Explained(None)).rests().0.expect("something to say").reason(),
        Reason::OperationFailed
    );
}

#[test]
fn a_plan_without_the_finalizer_goes_without_a_call() {
    let mut world = World::new().deleting();
    world.credentials = Credentials::NotSeen;
    assert_eq!(world.rests(), (None, IdChange::Keep, Wait::Change));
}

#[test]
fn retain_and_observe_let_go_at_once_without_credentials() {
    for change in [
        |plan: &mut PlanFacts| plan.deletion = DeletionPolicy::Retain,
        |plan: &mut PlanFacts| plan.management = ManagementPolicy::Observe,
    ] {
        let mut world = World::ready().deleting().plan(change);
        world.credentials = Credentials::NotSeen;
        let farewell = Farewell::Retained { id: Some(ours()), uninstall: false };
        assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(farewell)));
    }
}

#[test]
fn an_abolition_goes_show_holder_definition_delete_then_two_witnesses() {
    let world = World::ready().deleting();
    assert_eq!(world.step(), Step::Look(Look::Show(ours())));
    let world = world.shown(Some(contract(ours(), OperationStatus::Completed)));
    assert_eq!(world.step(), Step::Look(Look::Holder), "the plan as it is now: it may say Retain");
    let world = world.holding();
    assert_eq!(world.step(), Step::Look(Look::Definition));
    let world = world.news(News::Definition(Definition::Stands));
    assert_eq!(world.step(), Step::Act(Act::Delete(ours())));
    let mut world = world.news(News::Deleted(Sent::Accepted(())));
    assert_eq!(world.rests().0, Some(Situation::Abolishing(Abolishing::UnderWay(ours()))));
    for look in 1..=LOOKS_TO_BELIEVE {
        world.pass = Pass::default();
        world = world.shown(None);
        assert_eq!(world.step(), Step::Look(Look::List));
        world = world.listed(vec![]);
        if look < LOOKS_TO_BELIEVE {
            assert_eq!(world.rests().0, Some(Situation::Abolishing(Abolishing::UnderWay(ours()))));
        }
    }
    assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(Farewell::Abolished { id: ours(), other: None })));
}

#[test]
fn a_delete_waits_until_fic_has_finished() {
    let world = World::ready().deleting().shown(Some(contract(ours(), OperationStatus::Processing)));
    let world = world.news(News::Definition(Definition::Stands));
    assert_eq!(world.rests().0, Some(Situation::Abolishing(Abolishing::WaitingForOperation(ours()))));
}

#[test]
fn an_operation_that_takes_too_long_holds_up_the_delete_and_says_so() {
    let since = NOW - Duration::from_secs(600);
    let world = World::ready().deleting().memory(|memory| memory.in_progress_since = Some(since));
    let world = world.shown(Some(contract(ours(), OperationStatus::Processing)));
    let (situation, _, wait) = world.news(News::Definition(Definition::Stands)).rests();
    assert_eq!(situation, Some(Situation::OperationTimedOut { id: ours(), after: Duration::from_secs(600) }));
    assert_eq!(wait, Wait::Resync);
}

#[test]
fn a_delete_is_sent_once() {
    let sent = |accepted, unchanged_looks| {
        let delete = Delete { sent_at: NOW, accepted, unchanged_looks, failed: false };
        let world = World::ready().deleting().memory(|memory| memory.delete = Some(delete));
        world
            .shown(Some(contract(ours(), OperationStatus::Completed)))
            .holding()
            .news(News::Definition(Definition::Stands))
    };
    assert_eq!(sent(true, 50).rests().0, Some(Situation::Abolishing(Abolishing::UnderWay(ours()))));
    assert_eq!(sent(false, 0).rests().0, Some(Situation::Abolishing(Abolishing::UnderWay(ours()))));
    assert_eq!(sent(false, LOOKS_TO_BELIEVE).step(), Step::Act(Act::Delete(ours())), "evidently never arrived");
}

#[test]
fn a_failed_delete_is_told_and_tried_again_slowly() {
    let failed = |sent_at| {
        let delete = Delete { sent_at, accepted: true, unchanged_looks: 0, failed: true };
        let world = World::ready().deleting().memory(|memory| memory.delete = Some(delete));
        world.shown(Some(contract(ours(), OperationStatus::Error))).news(News::Definition(Definition::Stands)).holding()
    };
    assert_eq!(failed(NOW).step(), Step::Look(Look::Explain(ours())));
    let situation = failed(NOW).news(News::Explained(None)).rests().0.expect("something to say");
    assert_eq!(situation.reason(), Reason::OperationFailed);
    assert_eq!(failed(NOW - Duration::from_secs(600)).step(), Step::Act(Act::Delete(ours())));
}

#[test]
fn a_contract_that_failed_before_is_abolished_all_the_same() {
    let world = World::ready().deleting().shown(Some(contract(ours(), OperationStatus::Error)));
    let world = world.holding().news(News::Definition(Definition::Stands));
    assert_eq!(world.step(), Step::Act(Act::Delete(ours())));
}

#[test]
fn a_refused_delete_is_told() {
    let refused = |trouble| {
        let world = World::ready().deleting().shown(Some(contract(ours(), OperationStatus::Completed))).holding();
        let world = world.news(News::Definition(Definition::Stands)).news(News::Deleted(Sent::Refused(trouble)));
        if world.pass.shown.is_none() { world.shown(Some(contract(ours(), OperationStatus::Completed))) } else { world }
    };
    let of = |world: World| world.rests().0.expect("something to say").reason();
    assert_eq!(of(refused(Trouble::Conflict { words: "busy".into() })), Reason::Abolishing);
    assert_eq!(of(refused(Trouble::Rejected { words: "no".into() })), Reason::RequestRejected);
    assert_eq!(of(refused(Trouble::PermissionDenied { words: "no".into() })), Reason::PermissionDenied);
}

#[test]
fn another_contract_of_the_tenant_is_left_when_ours_is_gone() {
    let world = World::ready().deleting().shown(None).listed(vec![contract(other(), OperationStatus::Completed)]);
    let world = world.long_absent();
    let farewell = Farewell::Abolished { id: ours(), other: Some(other()) };
    assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(farewell)));
}

#[test]
fn a_contract_that_vanished_without_a_delete_is_looked_for_again_before_it_is_let_go() {
    let mut world = World::ready().deleting();
    for look in 1..=LOOKS_TO_BELIEVE {
        world.pass = Pass::default();
        world = world.shown(None).listed(vec![]).news(News::Definition(Definition::Stands));
        if look < LOOKS_TO_BELIEVE {
            assert_eq!(world.rests().0, Some(Situation::Abolishing(Abolishing::MakingSure(ours()))));
        }
    }
    assert!(matches!(world.step(), Step::Act(Act::RemoveFinalizer(Farewell::Abolished { .. }))));
}

#[test]
fn a_deleted_plan_with_an_open_create_looks_for_it_before_it_goes() {
    let mut world = World::open().deleting();
    for look in 1..=LOOKS_TO_BELIEVE {
        world.pass = Pass::default();
        world = world.listed(vec![]).news(News::Definition(Definition::Stands));
        if look < LOOKS_TO_BELIEVE {
            assert_eq!(world.rests().0, Some(Situation::Abolishing(Abolishing::LookingForCreate)));
        }
    }
    assert_eq!(world.step(), Step::Act(Act::RemoveFinalizer(Farewell::NothingBought)));

    let found = World::open().deleting().listed(vec![contract(ours(), OperationStatus::Completed)]).holding();
    assert_eq!(found.verdict().id, IdChange::Set(ours()), "recorded first, abolished then");
}

#[test]
fn the_definition_being_deleted_retains_also_what_could_not_be_abolished() {
    let leaving = |world: World| world.news(News::Definition(Definition::Leaving)).step();
    let retained = |id| Step::Act(Act::RemoveFinalizer(Farewell::Retained { id, uninstall: true }));
    let world = World::ready().deleting().shown(Some(contract(ours(), OperationStatus::Completed))).holding();
    assert_eq!(leaving(world), retained(Some(ours())));
    let stuck =
        World { credentials: Credentials::NotSeen, ..World::ready().deleting() }.news(News::Secret(Unseen::Absent));
    assert_eq!(stuck.step(), Step::Look(Look::Definition));
    assert_eq!(leaving(stuck), retained(Some(ours())));
    let unreachable = World::ready().deleting().news(News::Shown(Err(unavailable())));
    assert_eq!(leaving(unreachable), retained(Some(ours())));
}

#[test]
fn a_deleted_plan_that_was_ready_tells_of_trouble_at_once() {
    let world =
        World::ready().deleting().news(News::Shown(Err(unavailable()))).news(News::Definition(Definition::Stands));
    assert_eq!(world.rests().0, Some(Situation::Troubled(unavailable())));
}
