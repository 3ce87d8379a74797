//! Tests the simulator over HTTP.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use fic_simulator::Simulator;
use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_simulator::state::Settings;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

const TENANT: &str = "db8b0e40743f460685040c46167cf19e";
const SERVICES: &str = "v1/premium-professional-support-services";

struct TestClient {
    simulator: Simulator,
    http: Client,
    token: String,
}

impl TestClient {
    async fn new() -> Self {
        let settings = Settings { processing_ms: 0, ..Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let client = Self { simulator, http, token: String::new() };
        let signed_in = client.sign_in("secret").await;
        let token = signed_in.headers()["x-subject-token"].to_str().unwrap().to_owned();
        Self { token, ..client }
    }

    async fn sign_in(&self, secret: &str) -> Response {
        self.sign_in_with(&sign_in_body(secret)).await
    }

    async fn sign_in_with(&self, body: &Value) -> Response {
        let url = format!("{}/auth/tokens", self.simulator.keystone_endpoint());
        self.http.post(url).json(body).send().await.unwrap()
    }

    async fn try_call(&self, method: Method, path: &str) -> Result<Response, reqwest::Error> {
        let url = format!("{}/{path}", self.simulator.fic_endpoint());
        let mut request = self.http.request(method.clone(), url).header("x-auth-token", &self.token);
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

    fn inject_once(&self, call: Call, kind: Kind) {
        self.simulator.fault(Fault::once(call, TENANT, kind));
    }
}

fn sign_in_body(secret: &str) -> Value {
    let user = json!({ "domain": { "id": "default" }, "name": "key", "password": secret });
    json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": user } },
        "scope": { "project": { "id": TENANT } },
    } })
}

#[tokio::test]
async fn contract_is_created_read_and_deleted() {
    let client = TestClient::new().await;
    let empty = json!({ "premiumProfessionalSupportServices": [] });
    assert_eq!(client.call(Method::GET, SERVICES).await, (200, empty.clone()));
    let id = client.create().await;
    assert_eq!(client.call(Method::POST, SERVICES).await.0, 409, "a tenant has at most one contract");
    let (status, body) = client.call(Method::GET, &format!("{SERVICES}/{id}")).await;
    assert_eq!((status, &body["professionalSupportService"]["operationStatus"]), (200, &json!("Completed")));
    assert_eq!(client.call(Method::DELETE, &format!("{SERVICES}/{id}")).await.0, 202);
    assert_eq!(client.call(Method::GET, &format!("{SERVICES}/{id}")).await.0, 404);
    assert_eq!(client.call(Method::GET, SERVICES).await, (200, empty));
}

#[tokio::test]
async fn operation_is_processing_for_the_configured_time() {
    let client = TestClient::new().await;
    client.simulator.set(|settings| settings.processing_ms = 600_000);
    let id = client.create().await;
    let (_, body) = client.call(Method::GET, &format!("{SERVICES}/{id}")).await;
    assert_eq!(body["professionalSupportService"]["operationStatus"], "Processing");
    assert!(
        body["professionalSupportService"].get("menus").is_none(),
        "menus is absent while the operation is in progress"
    );
    assert_eq!(client.call(Method::DELETE, &format!("{SERVICES}/{id}")).await.0, 409);
}

#[tokio::test]
async fn tokens_have_documented_length_and_can_be_revoked_per_tenant() {
    let client = TestClient::new().await;
    assert!((140..=240).contains(&client.token.len()));
    client.simulator.revoke_tokens(Some("another"));
    assert_eq!(client.call(Method::GET, SERVICES).await.0, 200);
    client.simulator.revoke_tokens(Some(TENANT));
    assert_eq!(client.call(Method::GET, SERVICES).await.0, 401);
}

#[tokio::test]
async fn wrong_secret_is_refused_and_secret_can_be_rotated() {
    let client = TestClient::new().await;
    assert_eq!(client.sign_in("wrong").await.status(), 401);
    client.simulator.account("key", Some("rotated"));
    assert_eq!(client.sign_in("secret").await.status(), 401);
    assert_eq!(client.sign_in("rotated").await.status(), 201);
    client.simulator.account("key", None);
    assert_eq!(client.sign_in("rotated").await.status(), 401);
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let client = TestClient::new().await;
    for (field, value, status) in [
        ("/auth/identity/methods", json!(["token"]), 400),
        ("/auth/identity/methods", json!([]), 400),
        ("/auth/identity/password/user/domain/id", json!("other"), 400),
        ("/auth/identity/password/user/name", json!(1), 400),
        ("/auth/scope/project/id", json!(null), 400),
        ("/auth/scope/project/id", json!(""), 401),
        ("/auth/scope/project/id", json!(TENANT.to_uppercase()), 401),
    ] {
        let mut body = sign_in_body("secret");
        *body.pointer_mut(field).unwrap() = value.clone();
        assert_eq!(client.sign_in_with(&body).await.status(), status, "{field}: {value}");
    }
    for id in ["", "F12345678901", "F12345678901x", "f123456789012", "1234567890123"] {
        assert_eq!(client.call(Method::GET, &format!("v1/operations?resourceId={id}")).await.0, 400, "{id}");
    }
}

#[tokio::test]
async fn unknown_method_is_not_allowed_and_unknown_path_is_not_found() {
    let client = TestClient::new().await;
    for (path, allowed) in [(SERVICES, "GET, POST"), (&*format!("{SERVICES}/F123456789012"), "GET, DELETE")] {
        let response = client.try_call(Method::PUT, path).await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str().unwrap()), (405, allowed));
    }
    assert_eq!(client.call(Method::GET, "v1/other").await.0, 404);
}

#[tokio::test]
async fn client_observes_every_injected_fault() {
    let client = TestClient::new().await;
    let list = || client.try_call(Method::GET, SERVICES);
    client.inject_once(Call::List, Kind::Status { code: 429, body: None, retry_after: Some("5".into()) });
    let response = list().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"5".parse().unwrap()));
    client.inject_once(Call::List, Kind::DropBefore);
    assert!(list().await.is_err(), "the connection is closed without a response");
    client.inject_once(Call::List, Kind::Garbage);
    assert!(list().await.unwrap().json::<Value>().await.is_err());
    client.inject_once(Call::List, Kind::Html { code: 502, effect_first: false });
    assert!(list().await.unwrap().text().await.unwrap().contains("<html>"));
    client.inject_once(Call::List, Kind::Huge { mib: 2 });
    assert_eq!(list().await.unwrap().bytes().await.unwrap().len(), 2 * 1024 * 1024);
    client.inject_once(Call::List, Kind::SlowDrip { interval_ms: 1 });
    assert!(list().await.unwrap().json::<Value>().await.is_ok());
    client.inject_once(Call::List, Kind::Redirect { to: "http://127.0.0.1:1/".into() });
    assert_eq!(list().await.unwrap().headers()["location"], "http://127.0.0.1:1/");
    client.inject_once(Call::List, Kind::Empty);
    assert!(list().await.unwrap().bytes().await.unwrap().is_empty());
    client.inject_once(Call::List, Kind::Hang { ms: Some(1), effect_first: false });
    assert_eq!(list().await.unwrap().status(), 200);
}

#[tokio::test]
async fn drop_after_has_an_effect_and_drop_before_has_none() {
    let client = TestClient::new().await;
    client.inject_once(Call::Create, Kind::DropBefore);
    assert!(client.try_call(Method::POST, SERVICES).await.is_err());
    assert!(client.simulator.contract(TENANT).is_none());
    client.inject_once(Call::Create, Kind::DropAfter);
    assert!(client.try_call(Method::POST, SERVICES).await.is_err());
    assert!(client.simulator.contract(TENANT).is_some());
    let summary = client.simulator.summary(TENANT);
    assert_eq!((summary.creates_sent, summary.creates_with_effect), (2, 1));
}

#[tokio::test]
async fn faults_make_reads_stale_or_wrong() {
    let client = TestClient::new().await;
    let id = client.create().await;
    let show = format!("{SERVICES}/{id}");
    client.inject_once(Call::Show, Kind::Lag { ms: 60_000 });
    assert_eq!(client.call(Method::GET, &show).await.0, 404, "Show returns the state before the create");
    client.inject_once(Call::Show, Kind::WrongAbsence);
    assert_eq!(client.call(Method::GET, &show).await.0, 404);
    client.inject_once(Call::Show, Kind::WrongId);
    assert_eq!(client.call(Method::GET, &show).await.1["professionalSupportService"]["id"], "F999999999999");
    client.inject_once(Call::Show, Kind::WrongTenant);
    assert_ne!(client.call(Method::GET, &show).await.1["professionalSupportService"]["tenantId"], TENANT);
    assert_eq!(client.call(Method::GET, &show).await.0, 200);
}

#[tokio::test]
async fn portal_actions_change_contracts_without_the_api() {
    let client = TestClient::new().await;
    client.simulator.portal(TENANT, &Action::CreateBeforeNextCreate);
    assert_eq!(client.call(Method::POST, SERVICES).await.0, 409);
    let first = client.simulator.contract(TENANT).unwrap().id;
    client.simulator.portal(TENANT, &Action::Replace);
    assert_ne!(client.simulator.contract(TENANT).unwrap().id, first);
    client.simulator.portal(TENANT, &Action::SetMenu("GoldPlan".into()));
    assert_eq!(client.simulator.contract(TENANT).unwrap().current_menu, "GoldPlan");
    client.simulator.portal(TENANT, &Action::Abolish);
    assert!(client.simulator.contract(TENANT).is_none());
    client.simulator.portal(TENANT, &Action::FailNextOperation("no line".into()));
    let id = client.create().await;
    assert_eq!(client.simulator.contract(TENANT).unwrap().operation_status, "Error");
    let (_, operations) = client.call(Method::GET, &format!("v1/operations?resourceId={id}")).await;
    assert_eq!(operations["operations"][0]["error"], "no line");
}

#[tokio::test]
async fn control_api_changes_the_simulator_and_explains_invalid_requests() {
    let client = TestClient::new().await;
    let base = format!("http://{}/_control", client.simulator.address());
    let post = |path: &str, body: Value| client.http.post(format!("{base}/{path}")).json(&body).send();
    let fault = json!({ "call": "List", "tenant": TENANT, "times": 1, "kind": { "status": { "code": 503 } } });
    assert_eq!(post("faults", fault).await.unwrap().status(), 200);
    assert_eq!(client.call(Method::GET, SERVICES).await.0, 503);
    assert_eq!(client.call(Method::GET, SERVICES).await.0, 200);
    assert_eq!(post("portal", json!({ "tenant": TENANT, "action": "create" })).await.unwrap().status(), 200);
    let wrong = post("faults", json!({ "kind": "explode" })).await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().await.unwrap().contains("dropBefore"), "the error lists the valid kinds");
    let settings = client.http.put(format!("{base}/settings")).json(&json!({ "latency_ms": 1 })).send().await.unwrap();
    assert_eq!(
        settings.json::<Value>().await.unwrap()["processing_ms"],
        0,
        "settings that the request does not name stay unchanged"
    );
    let log = client.http.get(format!("{base}/log?call=List")).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(log.as_array().unwrap().len(), 2);
    assert!(!log.to_string().contains(&client.token));
    let summary = client.http.get(format!("{base}/summary?tenant={TENANT}")).send().await.unwrap();
    assert_eq!(summary.json::<Value>().await.unwrap()["lists"], 2);
}
