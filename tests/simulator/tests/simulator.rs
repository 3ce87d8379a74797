//! The simulator, as a client sees it.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use fic_simulator::Simulator;
use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_simulator::world::Settings;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

const TENANT: &str = "db8b0e40743f460685040c46167cf19e";
const SERVICES: &str = "v1/premium-professional-support-services";

struct Visitor {
    simulator: Simulator,
    client: Client,
    token: String,
}

impl Visitor {
    async fn new() -> Self {
        let settings = Settings { processing_ms: 0, ..Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let visitor = Self { simulator, client, token: String::new() };
        let signed_in = visitor.sign_in("secret").await;
        let token = signed_in.headers()["x-subject-token"].to_str().unwrap().to_owned();
        Self { token, ..visitor }
    }

    async fn sign_in(&self, secret: &str) -> Response {
        let user = json!({ "domain": { "id": "default" }, "name": "key", "password": secret });
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": user } },
            "scope": { "project": { "id": TENANT } },
        } });
        let url = format!("{}/auth/tokens", self.simulator.keystone_endpoint());
        self.client.post(url).json(&body).send().await.unwrap()
    }

    async fn try_call(&self, method: Method, path: &str) -> Result<Response, reqwest::Error> {
        let url = format!("{}/{path}", self.simulator.fic_endpoint());
        let mut request = self.client.request(method.clone(), url).header("x-auth-token", &self.token);
        if method == Method::POST {
            request = request.json(&json!({ "premiumProfessionalSupportService": { "currentMenu": "PremiumPlan" } }));
        }
        request.send().await
    }

    async fn call(&self, method: Method, path: &str) -> (u16, Value) {
        let response = self.try_call(method, path).await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }

    async fn create(&self) -> String {
        let (status, body) = self.call(Method::POST, SERVICES).await;
        assert_eq!(status, 202);
        body["professionalSupportService"]["id"].as_str().unwrap().to_owned()
    }

    fn on(&self, call: Call, kind: Kind) {
        self.simulator.fault(Fault::once(call, TENANT, kind));
    }
}

#[tokio::test]
async fn a_contract_lives_as_the_reference_says() {
    let visitor = Visitor::new().await;
    let empty = json!({ "premiumProfessionalSupportServices": [] });
    assert_eq!(visitor.call(Method::GET, SERVICES).await, (200, empty.clone()));
    let id = visitor.create().await;
    assert_eq!(visitor.call(Method::POST, SERVICES).await.0, 409, "one contract a tenant");
    let (status, shown) = visitor.call(Method::GET, &format!("{SERVICES}/{id}")).await;
    assert_eq!((status, &shown["professionalSupportService"]["operationStatus"]), (200, &json!("Completed")));
    assert_eq!(visitor.call(Method::DELETE, &format!("{SERVICES}/{id}")).await.0, 202);
    assert_eq!(visitor.call(Method::GET, &format!("{SERVICES}/{id}")).await.0, 404);
    assert_eq!(visitor.call(Method::GET, SERVICES).await, (200, empty));
}

#[tokio::test]
async fn an_operation_takes_the_time_it_is_told_to() {
    let visitor = Visitor::new().await;
    visitor.simulator.set(|settings| settings.processing_ms = 600_000);
    let id = visitor.create().await;
    let (_, shown) = visitor.call(Method::GET, &format!("{SERVICES}/{id}")).await;
    assert_eq!(shown["professionalSupportService"]["operationStatus"], "Processing");
    assert!(shown["professionalSupportService"].get("menus").is_none(), "fields are missing meanwhile");
    assert_eq!(visitor.call(Method::DELETE, &format!("{SERVICES}/{id}")).await.0, 409);
}

#[tokio::test]
async fn tokens_are_long_of_one_tenant_and_can_be_revoked() {
    let visitor = Visitor::new().await;
    assert!((140..=240).contains(&visitor.token.len()));
    visitor.simulator.revoke_tokens(Some("another"));
    assert_eq!(visitor.call(Method::GET, SERVICES).await.0, 200);
    visitor.simulator.revoke_tokens(Some(TENANT));
    assert_eq!(visitor.call(Method::GET, SERVICES).await.0, 401);
}

#[tokio::test]
async fn wrong_secrets_are_refused_and_accounts_can_be_rotated() {
    let visitor = Visitor::new().await;
    assert_eq!(visitor.sign_in("wrong").await.status(), 401);
    visitor.simulator.account("key", Some("rotated"));
    assert_eq!(visitor.sign_in("secret").await.status(), 401);
    assert_eq!(visitor.sign_in("rotated").await.status(), 201);
    visitor.simulator.account("key", None);
    assert_eq!(visitor.sign_in("rotated").await.status(), 401);
}

#[tokio::test]
async fn every_fault_is_seen_by_a_client() {
    let visitor = Visitor::new().await;
    let list = || visitor.try_call(Method::GET, SERVICES);
    visitor.on(Call::List, Kind::Status { code: 429, body: None, retry_after: Some("5".into()) });
    let answer = list().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"5".parse().unwrap()));
    visitor.on(Call::List, Kind::DropBefore);
    assert!(list().await.is_err(), "no answer at all");
    visitor.on(Call::List, Kind::Garbage);
    assert!(list().await.unwrap().json::<Value>().await.is_err());
    visitor.on(Call::List, Kind::Html { code: 502, effect_first: false });
    assert!(list().await.unwrap().text().await.unwrap().contains("<html>"));
    visitor.on(Call::List, Kind::Huge { mib: 2 });
    assert_eq!(list().await.unwrap().bytes().await.unwrap().len(), 2 * 1024 * 1024);
    visitor.on(Call::List, Kind::SlowDrip { interval_ms: 1 });
    assert!(list().await.unwrap().json::<Value>().await.is_ok());
    visitor.on(Call::List, Kind::Redirect { to: "http://127.0.0.1:1/".into() });
    assert_eq!(list().await.unwrap().headers()["location"], "http://127.0.0.1:1/");
    visitor.on(Call::List, Kind::Empty);
    assert!(list().await.unwrap().bytes().await.unwrap().is_empty());
    visitor.on(Call::List, Kind::Hang { ms: Some(1), effect_first: false });
    assert_eq!(list().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_dropped_answer_may_have_had_its_effect() {
    let visitor = Visitor::new().await;
    visitor.on(Call::Create, Kind::DropBefore);
    assert!(visitor.try_call(Method::POST, SERVICES).await.is_err());
    assert!(visitor.simulator.contract(TENANT).is_none());
    visitor.on(Call::Create, Kind::DropAfter);
    assert!(visitor.try_call(Method::POST, SERVICES).await.is_err());
    assert!(visitor.simulator.contract(TENANT).is_some());
    let summary = visitor.simulator.summary(TENANT);
    assert_eq!((summary.creates_sent, summary.creates_with_effect), (2, 1));
}

#[tokio::test]
async fn reads_can_lag_and_lie() {
    let visitor = Visitor::new().await;
    let id = visitor.create().await;
    let show = format!("{SERVICES}/{id}");
    visitor.on(Call::Show, Kind::Lag { ms: 60_000 });
    assert_eq!(visitor.call(Method::GET, &show).await.0, 404, "as it was before the create");
    visitor.on(Call::Show, Kind::WrongAbsence);
    assert_eq!(visitor.call(Method::GET, &show).await.0, 404);
    visitor.on(Call::Show, Kind::WrongId);
    assert_eq!(visitor.call(Method::GET, &show).await.1["professionalSupportService"]["id"], "F999999999999");
    visitor.on(Call::Show, Kind::WrongTenant);
    assert_ne!(visitor.call(Method::GET, &show).await.1["professionalSupportService"]["tenantId"], TENANT);
    assert_eq!(visitor.call(Method::GET, &show).await.0, 200);
}

#[tokio::test]
async fn the_portal_works_behind_the_apis_back() {
    let visitor = Visitor::new().await;
    visitor.simulator.portal(TENANT, &Action::CreateBeforeNextCreate);
    assert_eq!(visitor.call(Method::POST, SERVICES).await.0, 409);
    let first = visitor.simulator.contract(TENANT).unwrap().id;
    visitor.simulator.portal(TENANT, &Action::Replace);
    assert_ne!(visitor.simulator.contract(TENANT).unwrap().id, first);
    visitor.simulator.portal(TENANT, &Action::SetMenu("GoldPlan".into()));
    assert_eq!(visitor.simulator.contract(TENANT).unwrap().current_menu, "GoldPlan");
    visitor.simulator.portal(TENANT, &Action::Abolish);
    assert!(visitor.simulator.contract(TENANT).is_none());
    visitor.simulator.portal(TENANT, &Action::FailNextOperation("no line".into()));
    let id = visitor.create().await;
    assert_eq!(visitor.simulator.contract(TENANT).unwrap().operation_status, "Error");
    let (_, operations) = visitor.call(Method::GET, &format!("v1/operations?resourceId={id}")).await;
    assert_eq!(operations["operations"][0]["error"], "no line");
}

#[tokio::test]
async fn the_control_api_steers_and_says_what_is_wrong() {
    let visitor = Visitor::new().await;
    let base = format!("http://{}/_control", visitor.simulator.address());
    let post = |path: &str, body: Value| visitor.client.post(format!("{base}/{path}")).json(&body).send();
    let fault = json!({ "call": "List", "tenant": TENANT, "times": 1, "kind": { "status": { "code": 503 } } });
    assert_eq!(post("faults", fault).await.unwrap().status(), 200);
    assert_eq!(visitor.call(Method::GET, SERVICES).await.0, 503);
    assert_eq!(visitor.call(Method::GET, SERVICES).await.0, 200);
    assert_eq!(post("portal", json!({ "tenant": TENANT, "action": "create" })).await.unwrap().status(), 200);
    let wrong = post("faults", json!({ "kind": "explode" })).await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().await.unwrap().contains("dropBefore"), "it says what there is");
    let settings =
        visitor.client.put(format!("{base}/settings")).json(&json!({ "latency_ms": 1 })).send().await.unwrap();
    assert_eq!(settings.json::<Value>().await.unwrap()["processing_ms"], 0, "what is not named stays");
    let log = visitor.client.get(format!("{base}/log?call=List")).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(log.as_array().unwrap().len(), 2);
    assert!(!log.to_string().contains(&visitor.token));
    let summary = visitor.client.get(format!("{base}/summary?tenant={TENANT}")).send().await.unwrap();
    assert_eq!(summary.json::<Value>().await.unwrap()["lists"], 2);
}
