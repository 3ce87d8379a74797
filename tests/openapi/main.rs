//! The requests of the client and the responses of the simulator are what `docs/api/fic.yaml` describes: a proxy between
//! the two checks both, with kin-openapi.

#![allow(clippy::unwrap_used, reason = "a test stops at the first unexpected result")]

use fic_calls::{CONTRACT, DESCRIPTION, TENANT, access, call, client, statuses};
use fic_simulator::Simulator;
use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_simulator::state::Settings;
use validator::Validator;

#[path = "../support/fic_calls.rs"]
mod fic_calls;
#[path = "../support/make.rs"]
mod make;
mod validator;

/// The simulator never returns it, and a fault has no header for the token. The mock returns it.
const NOT_SIMULATED: &str = "signIn 200";

/// The simulator behind the validator.
struct TestEnv {
    simulator: Simulator,
    validator: Validator,
}

impl TestEnv {
    async fn new(description: &str) -> Self {
        let settings = Settings { processing_ms: 0, ..Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let validator = Validator::start(description, &format!("http://{}", simulator.address()));
        Self { simulator, validator }
    }

    /// The outcome of a call of a new client.
    async fn call(&self, operation: &str, id: &str) -> String {
        let [fic, keystone] = ["fic-eri", "keystone/v3"].map(|path| format!("{}/{path}", self.validator.url));
        call(&client(&fic, &keystone), operation, id).await
    }

    /// The outcome of a call that gets this response.
    async fn call_with_fault(&self, operation: &str, kind: Kind) -> String {
        self.simulator.fault(Fault::always(simulated(operation), TENANT, kind));
        let outcome = self.call(operation, CONTRACT).await;
        self.simulator.clear_faults();
        outcome
    }

    /// Buys a contract, reads it, and deletes it.
    async fn life_of_a_contract(&self) {
        assert_eq!(self.call("list", CONTRACT).await, "0");
        let created = self.call("create", CONTRACT).await;
        let id = created.strip_prefix("accepted ").unwrap();
        assert_eq!(self.call("create", id).await, "refused, conflict");
        assert_eq!(self.call("list", id).await, "1");
        assert_eq!(self.call("show", id).await, format!("Some({id:?})"));
        assert_eq!(self.call("operations", id).await, "None");
        assert_eq!(self.call("delete", id).await, "accepted deleted");
        assert_eq!(self.call("show", id).await, "None");
        assert_eq!(self.call("delete", id).await, "accepted deleted");
    }
}

/// The name of a call in the simulator.
fn simulated(operation: &str) -> Call {
    match operation {
        "signIn" => Call::SignIn,
        "list" => Call::List,
        "create" => Call::Create,
        "show" => Call::Show,
        "delete" => Call::Delete,
        "operations" => Call::ListOperations,
        other => panic!("the simulator has no call {other}"),
    }
}

/// A response with this status as the simulator makes it, with a body that a success needs.
fn response(operation: &str, code: u16) -> Kind {
    let body = match (operation, code) {
        (_, 204) => Some(String::new()),
        ("create", 200..300) => Some(format!(r#"{{"premiumProfessionalSupportService":{{"id":"{CONTRACT}"}}}}"#)),
        (_, 200..300) => Some("{}".into()),
        _ => None,
    };
    Kind::Status { code, body, retry_after: (code == 429 || code == 503).then(|| "7".into()) }
}

#[tokio::test]
async fn requests_and_responses_are_as_described() {
    let env = TestEnv::new(DESCRIPTION).await;
    env.life_of_a_contract().await;
    // What the API reference leaves open.
    for answer_key in ["premiumProfessionalSupportService", "professionalSupportService"] {
        env.simulator.set(|settings| (settings.answer_key, settings.extra_fields) = (answer_key.into(), true));
        env.life_of_a_contract().await;
    }
    env.simulator.portal(TENANT, &Action::FailNextOperation("no line".into()));
    let failed = env.call("create", CONTRACT).await;
    let id = failed.strip_prefix("accepted ").unwrap();
    assert_eq!(env.call("operations", id).await, "Some(\"no line\")");
    env.simulator.set(|settings| settings.processing_ms = 600_000);
    assert_eq!(env.call("delete", id).await, "accepted deleted");
    assert_eq!(env.call("list", id).await, "1");
    for (operation, codes) in statuses() {
        let reads = matches!(&*operation, "signIn" | "list" | "show" | "operations");
        // A read that succeeds without its body is not as described.
        for code in codes.into_iter().filter(|code| !reads || *code >= 300) {
            env.call_with_fault(&operation, response(&operation, code)).await;
            if code >= 400 {
                let page = Kind::Html { code, effect_first: false };
                env.call_with_fault(&operation, page).await;
            }
        }
    }
    let report = env.validator.report().await;
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    let described =
        statuses().into_iter().flat_map(|(name, codes)| codes.into_iter().map(move |code| format!("{name} {code}")));
    let missing = described.filter(|call| !report.calls.contains(call)).collect::<Vec<_>>();
    assert_eq!(missing, [NOT_SIMULATED], "the description has more than the tests");
}

#[tokio::test]
async fn wrong_credentials_are_refused_as_described() {
    let env = TestEnv::new(DESCRIPTION).await;
    let url = &env.validator.url;
    let fic = client(&format!("{url}/fic-eri"), &format!("{url}/keystone/v3"));
    fic.list(&access("wrong")).await.unwrap_err();
    let report = env.validator.report().await;
    assert_eq!((report.calls, report.violations), (vec!["signIn 401".to_owned()], vec![]));
}

/// A response that the simulator should not give, and what must be said of it.
#[tokio::test]
async fn a_response_that_is_not_as_described_is_noticed() {
    let env = TestEnv::new(DESCRIPTION).await;
    let body = |text: &str| Kind::Status { code: 200, body: Some(text.into()), retry_after: None };
    for (operation, kind) in [
        ("list", body("{}")),
        ("list", body(r#"{"premiumProfessionalSupportServices":{}}"#)),
        ("show", body(r#"{"professionalSupportService":{"id":520123456789}}"#)),
        ("show", body(r#"{"professionalSupportService":{"id":"F1"}}"#)),
        ("show", body(r#"{"professionalSupportService":{"operationStatus":"Completed"}}"#)),
        ("show", Kind::Garbage),
        ("create", response("create", 201)),
        ("delete", response("delete", 418)),
        ("signIn", body("{}")),
    ] {
        env.call_with_fault(operation, kind.clone()).await;
        let violations = env.validator.report().await.violations;
        assert!(!violations.is_empty(), "{operation}: {kind:?}");
        assert!(violations.iter().all(|text| text.starts_with(&format!("response {operation} "))), "{violations:?}");
        env.validator.forget().await;
    }
}

/// A request that the client should not send: it is that of another description.
#[tokio::test]
async fn a_request_that_is_not_as_described_is_noticed() {
    let described = std::fs::read_to_string(DESCRIPTION).unwrap();
    for (what, other, operation) in [
        ("PremiumPlan", "GoldPlan", "create"),
        ("currentMenu", "menu", "create"),
        ("methods", "ways", "signIn"),
        ("project", "domain", "signIn"),
        ("X-Auth-Token", "X-Token", "list"),
        ("/{id}:", "/{id}/contract:", "show"),
        ("/v1/operations:", "/v2/operations:", "operations"),
    ] {
        let changed = described.replace(what, other);
        assert_ne!(changed, described, "{what}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fic.yaml");
        std::fs::write(&path, changed).unwrap();
        let env = TestEnv::new(path.to_str().unwrap()).await;
        env.call(operation, CONTRACT).await;
        let violations = env.validator.report().await.violations;
        assert!(violations.iter().any(|text| text.starts_with("request ")), "{what}: {violations:?}");
    }
}
