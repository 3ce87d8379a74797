//! What a history is about: who does what when, drawn from its seed.

use std::time::Duration;

use fastrand::Rng;
use fic_simulator::faults::Kind as Mishap;
use fic_simulator::portal::Action as Portal;
use serde_json::{Value, json};

use crate::oracle::Slack;
use crate::store::{Id, Kind};
use crate::world::{Death, Perils};

/// Something that somebody does.
#[derive(Clone, Debug)]
pub enum Action {
    Apply(Id, Value, bool),
    Set(Id, &'static str, Value),
    Touch(Id, u32),
    Delete(Id),
    Secret(Id, &'static str),
    Portal(String, Portal),
    LockOut(bool),
    RevokeTokens,
    Kill(char),
    Stop(char),
    Freeze(char, Duration),
    Thaw(char),
    DeleteNamespace(String),
    Uninstall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Theme {
    Calm,
    Crashes,
    LostAnswers,
    ApiServer,
    Lags,
    Portal,
    Edits,
    Tenants,
    Secrets,
    Leaders,
    Uninstall,
    Namespace,
    BadTenant,
    Everything,
}

impl Theme {
    pub const ALL: [Self; 14] = [
        Self::Calm,
        Self::Crashes,
        Self::LostAnswers,
        Self::ApiServer,
        Self::Lags,
        Self::Portal,
        Self::Edits,
        Self::Tenants,
        Self::Secrets,
        Self::Leaders,
        Self::Uninstall,
        Self::Namespace,
        Self::BadTenant,
        Self::Everything,
    ];

    pub fn of(seed: u64) -> Self {
        let index = usize::try_from(seed % Self::ALL.len() as u64).unwrap();
        Self::ALL[index]
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Crashes => "crashes",
            Self::LostAnswers => "lost answers",
            Self::ApiServer => "API server trouble",
            Self::Lags => "lagging reads",
            Self::Portal => "the portal",
            Self::Edits => "edits",
            Self::Tenants => "tenants wanted twice",
            Self::Secrets => "Secrets",
            Self::Leaders => "leaders",
            Self::Uninstall => "uninstall",
            Self::Namespace => "a namespace deleted",
            Self::BadTenant => "a bad tenant",
            Self::Everything => "everything",
        }
    }
}

pub struct Script {
    pub theme: Theme,
    pub processing: Duration,
    pub perils: Perils,
    pub deaths: Vec<Death>,
    pub replicas: &'static [char],
    pub elects: bool,
    /// In the order of time.
    pub actions: Vec<(Duration, Action)>,
    /// How long things go wrong.
    pub length: Duration,
    pub plans: Vec<Id>,
}

pub fn tenant(number: usize) -> String {
    format!("{number:x}").repeat(32)
}

fn spec(tenant: &str) -> Value {
    json!({
        "tenantID": tenant, "credentialsSecretRef": { "name": "credentials" }, "menu": "PremiumPlan",
        "managementPolicy": "Manage", "adoptionPolicy": "Never", "recreationPolicy": "IfLost",
        "deletionPolicy": "Delete", "suspend": false,
    })
}

struct Writer {
    rng: Rng,
    length: u64,
    actions: Vec<(Duration, Action)>,
    plans: Vec<(Id, String)>,
}

impl Script {
    pub fn of(seed: u64) -> Self {
        let theme = Theme::of(seed);
        let mut rng = Rng::with_seed(seed);
        let length = rng.u64(10_000..40_000);
        let processing = Duration::from_millis(*rng.choice(&[0, 300, 2000, 4000]).unwrap());
        let mut writer = Writer { rng, length, actions: vec![], plans: vec![] };
        let mut perils = Perils::default();
        let mut deaths = vec![];
        writer.cast(theme);
        writer.perform(theme, &mut perils, &mut deaths);
        writer.actions.sort_by_key(|(at, _)| *at);
        let two = matches!(theme, Theme::Leaders) || (theme == Theme::Everything && writer.rng.u8(0..4) == 0);
        Self {
            theme,
            processing,
            perils,
            deaths,
            replicas: if two { &['a', 'b'] } else { &['a'] },
            elects: two,
            actions: writer.actions,
            length: Duration::from_millis(length),
            plans: writer.plans.into_iter().map(|(id, _)| id).collect(),
        }
    }
}

impl Script {
    /// A plan that only holds its tenant by its age goes, and another of the tenant comes at about the same moment.
    pub fn succession(seed: u64) -> Self {
        let plans = ["plan-0", "plan-1"].map(|name| Id::new(Kind::Plan, "alpha", name));
        let comes = Rng::with_seed(seed).u64(5850..6050);
        let [first, second] = plans.clone();
        let mut suspended = spec(&tenant(1));
        suspended["suspend"] = json!(true);
        let actions = [
            (0, Action::Secret(Id::new(Kind::Secret, "alpha", "credentials"), "good")),
            (4000, Action::Apply(first.clone(), suspended, false)),
            (comes, Action::Apply(second, spec(&tenant(1)), false)),
            (6000, Action::Delete(first)),
        ];
        Self {
            theme: Theme::Calm,
            processing: Duration::ZERO,
            perils: Perils::default(),
            deaths: vec![],
            replicas: &['a'],
            elects: false,
            actions: actions.map(|(at, action)| (Duration::from_millis(at), action)).into(),
            length: Duration::from_millis(comes + 8000),
            plans: plans.into(),
        }
    }

    /// How long what was decided on may take to be done: requests are slow, hang until they are given up, or wait in a frozen process; and
    /// watches are late. A broken one is begun again after half a minute at the most, and may break again.
    pub fn slack(&self) -> Slack {
        let Perils { fic, api, watch, .. } = self.perils;
        let given_up = Duration::from_secs(if fic > 0 || self.perils.bad_tenant.is_some() { 11 } else { 0 });
        let frozen = Duration::from_secs(if self.elects { 11 } else { 0 });
        let untold = if api + watch > 0 { Duration::from_mins(1) } else { Duration::from_secs(2) };
        let effects = Duration::from_millis(1500) + given_up + frozen;
        Slack { effects, looks: effects + untold }
    }

    /// Whether an Event may get lost: with the process that was about to write it, or on its way.
    pub fn may_lose_events(&self) -> bool {
        let ends = |(_, action): &(Duration, Action)| {
            matches!(
                action,
                Action::Kill(_) | Action::Stop(_) | Action::Freeze(..) | Action::DeleteNamespace(_) | Action::Uninstall
            )
        };
        self.perils.api > 0 || self.elects || !self.deaths.is_empty() || self.actions.iter().any(ends)
    }
}

impl Writer {
    fn at(&mut self, from: u64, to: u64, action: Action) {
        let at = Duration::from_millis(self.rng.u64(from..to.max(from + 1)));
        self.actions.push((at, action));
    }

    fn some_time(&mut self, action: Action) {
        self.at(50, self.length, action);
    }

    /// The plans and their Secrets.
    fn cast(&mut self, theme: Theme) {
        let rivals =
            theme == Theme::Tenants || (matches!(theme, Theme::Everything | Theme::Secrets) && self.rng.bool());
        let count = match theme {
            Theme::Calm => 1,
            Theme::Tenants | Theme::Secrets => self.rng.usize(2..4),
            Theme::BadTenant => 2,
            _ => self.rng.usize(1..3),
        };
        for number in 0..count {
            let namespace = if self.rng.u8(0..3) == 0 { "beta" } else { "alpha" };
            let id = Id::new(Kind::Plan, namespace, &format!("plan-{number}"));
            let tenant = tenant(if rivals && self.rng.u8(0..4) != 0 { 1 } else { number + 1 });
            let mut spec = spec(&tenant);
            if !matches!(theme, Theme::Calm | Theme::BadTenant) {
                self.vary(&mut spec);
            }
            // Where nothing is to go wrong, the Secret is there first, and known.
            let from = if theme == Theme::Calm { 4000 } else { 0 };
            // Somebody else may have a finalizer on it, and a plan that goes stays for a while after ours is off.
            let held = !matches!(theme, Theme::Calm | Theme::BadTenant) && self.rng.u8(0..6) == 0;
            self.at(from, from + 300, Action::Apply(id.clone(), spec.clone(), held));
            // One of the same name may be made again once it is gone: it is another one.
            if held || (!matches!(theme, Theme::Calm | Theme::BadTenant) && self.rng.u8(0..3) == 0) {
                self.at(1000, self.length, Action::Apply(id.clone(), spec, false));
            }
            self.plans.push((id, tenant));
        }
        for namespace in ["alpha", "beta"] {
            let latest = if theme == Theme::Secrets { 5000 } else { 200 };
            let kind = if theme == Theme::Secrets && self.rng.u8(0..4) == 0 { "empty" } else { "good" };
            self.at(0, latest, Action::Secret(Id::new(Kind::Secret, namespace, "credentials"), kind));
        }
    }

    fn vary(&mut self, spec: &mut Value) {
        let mut one_in = |chance: u8| self.rng.u8(0..chance) == 0;
        if one_in(8) {
            spec["managementPolicy"] = json!("Observe");
        } else if one_in(4) {
            spec["adoptionPolicy"] = json!("IfPresent");
        }
        if one_in(4) {
            spec["recreationPolicy"] = json!("Never");
        }
        if one_in(6) {
            spec["deletionPolicy"] = json!("Retain");
        }
        if one_in(12) {
            spec["suspend"] = json!(true);
        }
    }

    fn perform(&mut self, theme: Theme, perils: &mut Perils, deaths: &mut Vec<Death>) {
        match theme {
            // Its user thinks better of it, perhaps while it is being bought.
            Theme::Calm if self.rng.bool() => {
                let (id, _) = self.plans[0].clone();
                self.at(4300, 5300, Action::Delete(id));
            }
            Theme::Calm => {}
            Theme::Crashes => {
                self.die(deaths);
                self.kill();
            }
            Theme::LostAnswers => perils.fic = self.rng.u32(50..500),
            Theme::ApiServer => {
                perils.api = self.rng.u32(20..250);
                perils.watch = self.rng.u32(0..300);
            }
            Theme::Lags => {
                perils.lag = self.rng.u32(100..900);
                perils.replies = self.rng.u32(0..900);
                self.hurry();
            }
            Theme::Portal => self.portal(),
            Theme::Edits => self.edits(),
            Theme::Tenants => {
                if self.rng.bool() {
                    self.edits();
                }
                if self.rng.bool() {
                    perils.replies = self.rng.u32(100..900);
                    self.die(deaths);
                }
            }
            Theme::Secrets => {
                self.secrets();
                if self.rng.bool() {
                    perils.api = self.rng.u32(20..250);
                    perils.watch = self.rng.u32(0..300);
                }
                if self.rng.bool() {
                    perils.secrets = self.rng.u32(100..900);
                    perils.late = self.rng.u32(100..900);
                }
            }
            Theme::Leaders => self.leaders(),
            Theme::Uninstall => self.some_time(Action::Uninstall),
            Theme::Namespace => self.some_time(Action::DeleteNamespace("alpha".into())),
            Theme::BadTenant => {
                let status = |code| Mishap::Status { code, body: None, retry_after: None };
                let kinds = [
                    status(500),
                    status(429),
                    Mishap::Hang { ms: None, effect_first: false },
                    Mishap::Garbage,
                    Mishap::DropBefore,
                ];
                let kind = self.rng.choice(&kinds).cloned().unwrap();
                perils.bad_tenant = Some((tenant(1), kind));
                self.length = 120_000;
                return;
            }
            Theme::Everything => self.everything(perils, deaths),
        }
        self.overlay(theme, perils, deaths);
        // Most plans are deleted while things still go wrong.
        for (id, _) in self.plans.clone() {
            if theme != Theme::Uninstall && self.rng.u8(0..3) != 0 {
                self.at(500, self.length, Action::Delete(id));
            }
        }
    }

    /// A bit of other trouble, now and then.
    fn overlay(&mut self, theme: Theme, perils: &mut Perils, deaths: &mut Vec<Death>) {
        if theme == Theme::Calm || self.rng.bool() {
            return;
        }
        perils.api = perils.api.max(self.rng.u32(0..60));
        perils.watch = perils.watch.max(self.rng.u32(0..60));
        perils.fic = perils.fic.max(self.rng.u32(0..100));
        perils.lag = perils.lag.max(self.rng.u32(0..150));
        perils.replies = perils.replies.max(self.rng.u32(0..200));
        if self.rng.bool() {
            self.die(deaths);
        }
    }

    fn die(&mut self, deaths: &mut Vec<Death>) {
        for _ in 0..self.rng.u32(1..4) {
            deaths.push(Death { at_write: self.rng.u32(1..16), after: self.rng.bool() });
        }
    }

    fn kill(&mut self) {
        if self.rng.bool() {
            self.some_time(Action::Kill('a'));
        }
        if self.rng.u8(0..4) == 0 {
            self.some_time(Action::Stop('a'));
        }
    }

    fn portal(&mut self) {
        for _ in 0..self.rng.u32(1..4) {
            let (_, tenant) = self.rng.choice(self.plans.clone()).unwrap();
            let action = match self.rng.u8(0..12) {
                0..=2 => Portal::Create,
                3..=4 => Portal::Abolish,
                5..=6 => Portal::Replace,
                7..=8 => Portal::CreateBeforeNextCreate,
                9 => Portal::FailNextOperation("no capacity".into()),
                10 => Portal::SetMenu("StandardPlan".into()),
                _ => Portal::SetStatus("Error".into()),
            };
            let from = if self.rng.bool() { 0 } else { 500 };
            self.at(from, self.length, Action::Portal(tenant, action));
        }
    }

    fn edits(&mut self) {
        for _ in 0..self.rng.u32(1..6) {
            let (id, _) = self.rng.choice(self.plans.clone()).unwrap();
            if self.rng.u8(0..8) == 0 {
                self.other_secret(id);
                continue;
            }
            let flip = self.rng.bool();
            let pick = |one: &str, other: &str| json!(if flip { one } else { other });
            let action = match self.rng.u8(0..7) {
                0 => Action::Set(id, "managementPolicy", pick("Manage", "Observe")),
                1 => Action::Set(id, "adoptionPolicy", pick("Never", "IfPresent")),
                2 => Action::Set(id, "recreationPolicy", pick("IfLost", "Never")),
                3 => Action::Set(id, "deletionPolicy", pick("Delete", "Retain")),
                4 => Action::Set(id, "suspend", json!(flip)),
                number => Action::Touch(id, u32::from(number) + self.rng.u32(0..1000)),
            };
            self.some_time(action);
        }
    }

    /// Somebody asks for look after look.
    fn hurry(&mut self) {
        let (id, _) = self.rng.choice(self.plans.clone()).unwrap();
        let begin = self.rng.u64(200..3000);
        for number in 0..self.rng.u32(0..12) {
            self.at(begin, begin + 1500, Action::Touch(id.clone(), number));
        }
        if self.rng.bool() {
            self.at(begin, begin + 1500, Action::Delete(id));
        }
    }

    /// A plan comes to use another Secret, which is there by then, comes later, or never.
    fn other_secret(&mut self, id: Id) {
        let other = Id::new(Kind::Secret, &id.namespace, "other");
        if self.rng.u8(0..4) != 0 {
            self.some_time(Action::Secret(other, "good"));
        }
        let name = if self.rng.u8(0..4) == 0 { "credentials" } else { "other" };
        self.some_time(Action::Set(id, "credentialsSecretRef", json!({ "name": name })));
    }

    fn secrets(&mut self) {
        for _ in 0..self.rng.u32(1..5) {
            if self.rng.u8(0..5) == 0 {
                let (plan, _) = self.rng.choice(self.plans.clone()).unwrap();
                self.other_secret(plan);
                continue;
            }
            let namespace = if self.rng.bool() { "alpha" } else { "beta" };
            let name = if self.rng.u8(0..4) == 0 { "other" } else { "credentials" };
            let id = Id::new(Kind::Secret, namespace, name);
            let action = match self.rng.u8(0..6) {
                0 => Action::Delete(id),
                1 => Action::Secret(id, "empty"),
                2 => Action::Secret(id, "rotated"),
                3 => Action::LockOut(self.rng.bool()),
                4 => Action::RevokeTokens,
                _ => Action::Secret(id, "good"),
            };
            self.some_time(action);
        }
    }

    fn leaders(&mut self) {
        for _ in 0..self.rng.u32(1..4) {
            let replica = if self.rng.bool() { 'a' } else { 'b' };
            match self.rng.u8(0..5) {
                0 => self.some_time(Action::Stop(replica)),
                1..=2 => self.some_time(Action::Kill(replica)),
                _ => {
                    let time = Duration::from_millis(self.rng.u64(2_000..30_000));
                    self.some_time(Action::Freeze(replica, time));
                }
            }
        }
    }

    fn everything(&mut self, perils: &mut Perils, deaths: &mut Vec<Death>) {
        perils.api = self.rng.u32(0..80);
        perils.watch = self.rng.u32(0..100);
        perils.fic = self.rng.u32(0..150);
        perils.lag = self.rng.u32(0..200);
        self.die(deaths);
        self.kill();
        self.portal();
        self.edits();
        self.secrets();
    }
}
