//! Tests of the FIC client against the simulator over real sockets.

#![allow(clippy::unwrap_used, reason = "a test stops at the first unexpected result")]
#![allow(unreachable_pub, reason = "the public items of the shared module are public within one test binary")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fic_simulator::Simulator;
use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_simulator::state::Settings;
use fic_support_operator::api::credentials::Credentials;
use fic_support_operator::api::plan::Menu;
use fic_support_operator::domain::contract::{Contract, ContractId, OperationStatus};
use fic_support_operator::domain::error::{FicError, WriteOutcome};
use fic_support_operator::fic::metrics::FicMetrics;
use fic_support_operator::fic::{Access, Endpoints, FicClient, Limits, NotLeader};
use fic_support_operator::metrics;
use fic_support_operator::proxy::Proxies;
use http2_server::{Ending, Http2Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "support/connect_proxy.rs"]
mod connect_proxy;
#[path = "support/http2_server.rs"]
mod http2_server;
#[path = "support/tls.rs"]
mod tls;

const TENANT: &str = "db8b0e40743f460685040c46167cf19e";

/// A list without a contract.
const LIST: &[u8] = b"{\"premiumProfessionalSupportServices\":[]}";

/// The same list, encoded with gzip.
#[rustfmt::skip]
const GZIP: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0x2a, 0x28, 0x4a, 0xcd, 0xcd, 0x2c, 0xcd, 0x0d, 0x28, 0xca, 0x4f, 0x4b, 0x2d, 0x2e, 0xce, 0xcc, 0xcf, 0x4b, 0xcc, 0x09, 0x2e, 0x2d, 0x28, 0xc8, 0x2f, 0x2a, 0x09, 0x4e, 0x2d, 0x2a, 0xcb, 0x4c, 0x4e, 0x2d, 0x56, 0xb2, 0x8a, 0x8e, 0xad, 0x05, 0x00, 0x80, 0x9d, 0xec, 0xaf, 0x29, 0x00, 0x00, 0x00,
];

struct TestEnv {
    simulator: Simulator,
    fic: FicClient,
    access: Access,
}

impl TestEnv {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { processing_ms: 0, ..Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let fic = client(&simulator, Duration::from_millis(500), 0);
        Self { simulator, fic, access: access("secret") }
    }

    async fn create(&self) -> WriteOutcome<Contract> {
        create(&self.fic, &self.access).await
    }

    async fn delete(&self, id: &ContractId) -> WriteOutcome<()> {
        self.fic.delete(&self.access, id, &|| true).await.unwrap()
    }

    fn fault(&self, call: Call, kind: Kind) {
        self.simulator.fault(Fault::once(call, TENANT, kind));
    }

    fn count(&self, call: Call) -> usize {
        self.simulator.log().iter().filter(|entry| entry.call == call).count()
    }
}

fn no_proxies() -> Proxies {
    Proxies::new(|_| None)
}

fn client(simulator: &Simulator, request_timeout: Duration, requests_per_second: u32) -> FicClient {
    client_with_metrics(simulator, request_timeout, requests_per_second, FicMetrics::default())
}

fn client_with_metrics(
    simulator: &Simulator,
    request_timeout: Duration,
    requests_per_second: u32,
    metrics: FicMetrics,
) -> FicClient {
    let endpoints = Endpoints {
        fic: simulator.fic_endpoint().parse().unwrap(),
        keystone: simulator.keystone_endpoint().parse().unwrap(),
    };
    FicClient::new(
        endpoints,
        vec![],
        no_proxies(),
        Limits { request_timeout, requests_per_second, ..Limits::default() },
        metrics,
    )
    .unwrap()
}

async fn create(fic: &FicClient, access: &Access) -> WriteOutcome<Contract> {
    fic.create(access, Menu::PremiumPlan, &|| true).await.unwrap()
}

fn access(secret: &str) -> Access {
    Access { namespace: "team".into(), ticket: 1, tenant: TENANT.into(), credentials: Credentials::new("key", secret) }
}

fn status(code: u16) -> Kind {
    Kind::Status { code, body: None, retry_after: None }
}

#[tokio::test]
async fn contract_is_created_read_and_deleted() {
    let env = TestEnv::new().await;
    assert_eq!(env.fic.list(&env.access).await, Ok(vec![]));
    let WriteOutcome::Accepted(contract) = env.create().await else { panic!("the create request is not accepted") };
    let shown = env.fic.show(&env.access, &contract.id).await.unwrap().unwrap();
    assert_eq!((shown.id.clone(), shown.status), (contract.id.clone(), OperationStatus::Completed));
    assert_eq!(env.fic.list(&env.access).await.unwrap()[0].id, contract.id);
    assert_eq!(env.delete(&contract.id).await, WriteOutcome::Accepted(()));
    assert_eq!(env.fic.show(&env.access, &contract.id).await, Ok(None));
    assert_eq!(env.fic.list(&env.access).await, Ok(vec![]));
    assert_eq!(env.count(Call::SignIn), 1);
}

#[tokio::test]
async fn every_response_to_create_maps_to_its_write_outcome() {
    let env = TestEnv::new().await;
    for code in [400, 403, 409] {
        env.fault(Call::Create, status(code));
        assert!(matches!(env.create().await, WriteOutcome::Refused(_)), "{code} is a refusal");
    }
    for code in [302, 404, 408, 418, 500, 502, 503, 504] {
        env.fault(Call::Create, status(code));
        assert!(
            matches!(env.create().await, WriteOutcome::Unknown(FicError::Unavailable { .. })),
            "{code} leaves the outcome unknown"
        );
    }
    env.fault(Call::Create, status(429));
    assert!(matches!(env.create().await, WriteOutcome::NotSent(FicError::RateLimited { .. })));
    for kind in [
        Kind::DropBefore,
        Kind::Html { code: 502, effect_first: false },
        Kind::Huge { mib: 2 },
        Kind::Redirect { to: env.simulator.fic_endpoint() },
        Kind::Hang { ms: None, effect_first: false },
    ] {
        env.fault(Call::Create, kind.clone());
        assert!(matches!(env.create().await, WriteOutcome::Unknown(_)), "{kind:?}");
    }
    assert_eq!(env.simulator.contract(TENANT), None, "none of these requests had an effect");
    for kind in [
        Kind::DropAfter,
        Kind::Garbage,
        Kind::Empty,
        Kind::WrongTenant,
        Kind::SlowDrip { interval_ms: 100 },
        Kind::Html { code: 504, effect_first: true },
    ] {
        env.fault(Call::Create, kind.clone());
        assert!(matches!(env.create().await, WriteOutcome::Unknown(_)), "{kind:?}");
        assert!(env.simulator.contract(TENANT).is_some(), "{kind:?} has no effect");
        env.simulator.portal(TENANT, &Action::Abolish);
    }
}

#[tokio::test]
async fn refusal_with_incomplete_body_is_a_refusal() {
    let env = TestEnv::new().await;
    assert!(matches!(env.create().await, WriteOutcome::Accepted(_)));
    env.fault(Call::Create, Kind::SlowDrip { interval_ms: 100 });
    assert_eq!(env.create().await, WriteOutcome::Refused(FicError::Conflict { message: "".into() }));
}

#[tokio::test]
async fn every_response_to_delete_maps_to_its_write_outcome_and_404_is_accepted() {
    let env = TestEnv::new().await;
    let WriteOutcome::Accepted(contract) = env.create().await else { panic!("the create request is not accepted") };
    let delete = || env.delete(&contract.id);
    for code in [400, 403, 409] {
        env.fault(Call::Delete, status(code));
        assert!(matches!(delete().await, WriteOutcome::Refused(_)), "{code} is a refusal");
    }
    for code in [302, 405, 500, 503] {
        env.fault(Call::Delete, status(code));
        assert!(
            matches!(delete().await, WriteOutcome::Unknown(FicError::Unavailable { .. })),
            "{code} leaves the outcome unknown"
        );
    }
    env.fault(Call::Delete, status(429));
    assert!(matches!(delete().await, WriteOutcome::NotSent(FicError::RateLimited { .. })));
    assert!(env.simulator.contract(TENANT).is_some(), "none of these requests had an effect");
    env.fault(Call::Delete, Kind::DropAfter);
    assert!(matches!(delete().await, WriteOutcome::Unknown(_)));
    assert_eq!(env.simulator.contract(TENANT), None, "this request had an effect");
    assert_eq!(delete().await, WriteOutcome::Accepted(()), "404");
}

#[tokio::test]
async fn create_is_not_sent_while_keystone_is_unreachable() {
    let env = TestEnv::new().await;
    env.fic.list(&env.access).await.unwrap();
    let unreachable = client(&env.simulator, Duration::from_secs(1), 0);
    drop(env.simulator);
    let outcome = create(&unreachable, &env.access).await;
    assert!(matches!(outcome, WriteOutcome::NotSent(FicError::Unavailable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn create_is_not_sent_while_fic_refuses_connections() {
    let env = TestEnv::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keystone = env.simulator.keystone_endpoint().parse().unwrap();
    let endpoints = Endpoints { fic: format!("http://{closed}").parse().unwrap(), keystone };
    let limits = Limits { request_timeout: Duration::from_secs(1), requests_per_second: 0, ..Limits::default() };
    let unreachable = FicClient::new(endpoints, vec![], no_proxies(), limits, FicMetrics::default()).unwrap();
    let outcome = create(&unreachable, &env.access).await;
    assert!(matches!(outcome, WriteOutcome::NotSent(FicError::Unavailable { .. })), "{outcome:?}");
    assert_eq!(env.count(Call::SignIn), 1);
}

#[tokio::test]
async fn create_and_delete_are_not_sent_without_lease() {
    let env = TestEnv::new().await;
    let created = env.fic.create(&env.access, Menu::PremiumPlan, &|| false).await;
    assert_eq!(created, Err(NotLeader));
    let id = ContractId::parse("F520000000001").unwrap();
    assert_eq!(env.fic.delete(&env.access, &id, &|| false).await, Err(NotLeader));
    assert_eq!(env.count(Call::Create) + env.count(Call::Delete), 0);
}

#[tokio::test]
async fn lease_is_checked_after_sign_in_and_before_every_attempt() {
    let env = TestEnv::new().await;
    env.fault(Call::Create, status(401));
    let checks = AtomicUsize::new(0);
    let holds_lease = || {
        let attempt = checks.fetch_add(1, Ordering::Relaxed) + 1;
        assert_eq!(env.count(Call::SignIn), attempt, "the client signs in before it checks the lease");
        attempt == 1
    };
    let created = env.fic.create(&env.access, Menu::PremiumPlan, &holds_lease).await;
    assert_eq!(created, Err(NotLeader), "the lease is lost before the second attempt");
    assert_eq!(env.count(Call::Create), 1);
}

#[tokio::test]
async fn concurrent_calls_with_same_token_share_one_sign_in() {
    let env = TestEnv::new().await;
    env.simulator.set(|settings| settings.latency_ms = 50);
    let calls = (0..20).map(|_| env.fic.list(&env.access));
    assert!(futures::future::join_all(calls).await.into_iter().all(|listed| listed.is_ok()));
    assert_eq!(env.count(Call::SignIn), 1);
    // They share one more sign-in after the token is revoked.
    env.simulator.revoke_tokens(None);
    let calls = (0..20).map(|_| env.fic.list(&env.access));
    assert!(futures::future::join_all(calls).await.into_iter().all(|listed| listed.is_ok()));
    assert_eq!(env.count(Call::SignIn), 2);
}

#[tokio::test]
async fn each_tenant_and_pair_of_credentials_has_its_own_token() {
    let env = TestEnv::new().await;
    let other = Access { tenant: "00000000000000000000000000000001".into(), ..env.access.clone() };
    for access in [&env.access, &other, &access("another")] {
        env.fic.list(access).await.unwrap();
    }
    assert_eq!(env.count(Call::SignIn), 3);
}

#[tokio::test]
async fn metrics_count_sign_ins_by_cause_and_show_the_tokens_and_the_rate() {
    let env = TestEnv::new().await;
    let mut registry = metrics::registry();
    let fic = client_with_metrics(&env.simulator, Duration::from_secs(5), 40, FicMetrics::register(&mut registry));
    let other = Access { tenant: "00000000000000000000000000000001".into(), ..env.access.clone() };
    for access in [&env.access, &other, &env.access] {
        fic.list(access).await.unwrap();
    }
    env.simulator.revoke_tokens(None);
    fic.list(&env.access).await.unwrap();
    let third = Access { tenant: "00000000000000000000000000000002".into(), ..env.access.clone() };
    env.simulator.fault(Fault::always(Call::SignIn, &third.tenant, status(503)));
    fic.list(&third).await.unwrap_err();
    let text = metrics::text(&registry).unwrap();
    for line in [
        "token_requests_total{cause=\"first\"} 3",
        "token_requests_total{cause=\"expiring\"} 0",
        "token_requests_total{cause=\"refused\"} 1",
        "fic_requests_total{call=\"sign_in\",outcome=\"2xx\"} 3",
        "fic_requests_total{call=\"sign_in\",outcome=\"5xx\"} 1",
        "fic_requests_total{call=\"sign_in\",outcome=\"lost\"} 0",
        "tokens 2",
        "fic_requests_per_second_limit 40.0",
    ] {
        assert!(text.contains(&format!("fic_operator_{line}\n")), "{line} is missing in {text}");
    }
    for tenant in [&env.access, &other] {
        let limited = Kind::Status { code: 429, body: None, retry_after: None };
        env.simulator.fault(Fault::always(Call::List, &tenant.tenant, limited));
        fic.list(tenant).await.unwrap_err();
    }
    let text = metrics::text(&registry).unwrap();
    let rate = text.lines().find_map(|line| line.strip_prefix("fic_operator_fic_requests_per_second_limit "));
    let rate = rate.unwrap().parse::<f64>().unwrap();
    assert!((20.0..25.0).contains(&rate), "{rate} requests per second");
}

#[tokio::test]
async fn second_401_with_new_token_is_permission_denied() {
    let env = TestEnv::new().await;
    env.simulator.fault(Fault::always(Call::List, TENANT, status(401)));
    assert!(matches!(env.fic.list(&env.access).await, Err(FicError::PermissionDenied { .. })));
    assert_eq!((env.count(Call::List), env.count(Call::SignIn)), (2, 2), "one attempt with each token");
}

#[tokio::test]
async fn wrong_credentials_and_failing_keystone_are_different_errors() {
    let env = TestEnv::new().await;
    let wrong = env.fic.list(&access("wrong")).await;
    assert!(matches!(wrong, Err(FicError::AuthenticationFailed { .. })), "{wrong:?}");
    env.fault(Call::SignIn, status(503));
    let failing = env.fic.list(&env.access).await;
    assert!(
        matches!(&failing, Err(FicError::Unavailable { message, .. }) if message.contains("Keystone")),
        "{failing:?}"
    );
    env.fault(Call::SignIn, status(403));
    assert!(matches!(env.fic.list(&env.access).await, Err(FicError::PermissionDenied { .. })));
    env.fault(Call::SignIn, status(429));
    assert!(matches!(env.fic.list(&env.access).await, Err(FicError::RateLimited { .. })));
}

#[tokio::test]
async fn retry_after_of_every_error_response_is_returned() {
    let env = TestEnv::new().await;
    for code in [429, 503] {
        env.fault(Call::List, Kind::Status { code, body: None, retry_after: Some("7".into()) });
        let error = env.fic.list(&env.access).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{code}");
    }
}

#[tokio::test]
async fn slow_response_ends_with_request_timeout() {
    let env = TestEnv::new().await;
    env.fic.list(&env.access).await.unwrap();
    env.fault(Call::List, Kind::SlowDrip { interval_ms: 50 });
    let began = std::time::Instant::now();
    let listed = env.fic.list(&env.access).await;
    assert!(matches!(listed, Err(FicError::Unavailable { .. })), "{listed:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn response_larger_than_one_mebibyte_is_not_read() {
    let env = TestEnv::new().await;
    env.fault(Call::List, Kind::Huge { mib: 512 });
    let listed = env.fic.list(&env.access).await;
    assert!(matches!(&listed, Err(FicError::Unavailable { message, .. }) if message.contains("1 MiB")), "{listed:?}");
}

#[tokio::test]
async fn redirect_is_never_followed() {
    let env = TestEnv::new().await;
    let other = Simulator::start(([127, 0, 0, 1], 0).into(), Settings::default()).await.unwrap();
    let to = format!("{}/v1/premium-professional-support-services", other.fic_endpoint());
    for call in [Call::SignIn, Call::List, Call::Create] {
        env.fault(call, Kind::Redirect { to: to.clone() });
    }
    for _ in 0..2 {
        assert!(matches!(env.fic.list(&env.access).await, Err(FicError::Unavailable { .. })));
    }
    assert!(matches!(env.create().await, WriteOutcome::Unknown(FicError::Unavailable { .. })));
    assert!(other.log().is_empty(), "a followed redirect would send the credentials and the token there");
}

#[tokio::test]
async fn requests_are_limited_to_configured_rate() {
    let env = TestEnv::new().await;
    let limited = client(&env.simulator, Duration::from_secs(5), 20);
    let began = std::time::Instant::now();
    let calls = (0..30).map(|_| limited.list(&env.access));
    futures::future::join_all(calls).await;
    // 20 requests, one of them the sign-in, are sent at once. The other 11 are sent every 50 ms.
    assert!(began.elapsed() >= Duration::from_millis(500), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn operation_error_is_returned_if_fic_returns_it() {
    let env = TestEnv::new().await;
    env.simulator.portal(TENANT, &Action::FailNextOperation("no line".into()));
    let WriteOutcome::Accepted(contract) = env.create().await else { panic!("the create request is not accepted") };
    assert_eq!(env.fic.operation_error(&env.access, &contract.id).await.as_deref(), Some("no line"));
    env.fault(Call::ListOperations, status(404));
    assert_eq!(env.fic.operation_error(&env.access, &contract.id).await, None);
}

/// Starts a TLS proxy in front of the simulator. Returns its port and the root certificate that signed its certificate.
async fn start_tls_proxy(simulator: &Simulator) -> (u16, reqwest::Certificate) {
    let (config, root) = tls::server_config();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let backend_address = simulator.address();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate closes the connection.
                let Ok(mut frontend) = acceptor.accept(stream).await else { return };
                let mut backend = tokio::net::TcpStream::connect(backend_address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut frontend, &mut backend).await;
            });
        }
    });
    (port, root)
}

/// Starts a server that returns these headers and this body to every request. Returns its address, and the headers of
/// the requests that it receives.
async fn start_raw_server(headers: &str, body: &[u8]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    let response = [head.as_bytes(), body].concat();
    let requests = Arc::new(Mutex::new(vec![]));
    let log = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            log.lock().unwrap().push(String::from_utf8(request).unwrap());
            stream.write_all(&response).await.unwrap();
        }
    });
    (address, requests)
}

/// A client for FIC at this address and the Keystone of the simulator.
fn client_of(fic: SocketAddr, simulator: &Simulator) -> FicClient {
    let keystone = simulator.keystone_endpoint().parse().unwrap();
    let endpoints = Endpoints { fic: format!("http://{fic}").parse().unwrap(), keystone };
    let limits = Limits { request_timeout: Duration::from_secs(5), requests_per_second: 0, ..Limits::default() };
    FicClient::new(endpoints, vec![], no_proxies(), limits, FicMetrics::default()).unwrap()
}

#[tokio::test]
async fn response_may_start_with_a_byte_order_mark() {
    let env = TestEnv::new().await;
    let body = "\u{feff}{\"premiumProfessionalSupportServices\":[]}";
    let (address, _) = start_raw_server("", body.as_bytes()).await;
    assert_eq!(client_of(address, &env.simulator).list(&env.access).await, Ok(vec![]));
}

#[tokio::test]
async fn encoded_response_is_an_error_that_names_the_encoding() {
    let env = TestEnv::new().await;
    for (headers, body) in
        [("content-encoding: gzip\r\n", GZIP), ("content-encoding: br\r\n", b""), ("content-encoding: gzip\r\n", LIST)]
    {
        let (address, requests) = start_raw_server(headers, body).await;
        let listed = client_of(address, &env.simulator).list(&env.access).await;
        let encoding = headers.trim().rsplit(' ').next().unwrap();
        assert!(
            matches!(&listed, Err(FicError::Unavailable { message, .. }) if message.contains(&format!("encoding is {encoding}"))),
            "{listed:?}"
        );
        assert!(requests.lock().unwrap()[0].contains("accept-encoding: identity\r\n"));
    }
    let (address, _) = start_raw_server("content-encoding: Identity\r\n", LIST).await;
    assert_eq!(client_of(address, &env.simulator).list(&env.access).await, Ok(vec![]));
    // Even without the header an encoded list is not an empty list.
    let (address, _) = start_raw_server("", GZIP).await;
    assert!(matches!(client_of(address, &env.simulator).list(&env.access).await, Err(FicError::Unavailable { .. })));
}

/// A client for FIC and Keystone behind the TLS proxy at this port.
fn tls_client(port: u16, roots: Vec<reqwest::Certificate>, proxies: Proxies) -> FicClient {
    let limits = Limits { request_timeout: Duration::from_secs(5), requests_per_second: 0, ..Limits::default() };
    let endpoint = |path: &str| format!("https://127.0.0.1:{port}/{path}").parse().unwrap();
    let endpoints = Endpoints { fic: endpoint("fic-eri"), keystone: endpoint("keystone/v3") };
    FicClient::new(endpoints, roots, proxies, limits, FicMetrics::default()).unwrap()
}

/// HTTP/2 lets a server say that it has not processed a request, and clients then send it again. A create request must not
/// be: whether to send it again is decided after FIC was read.
#[tokio::test]
async fn a_create_request_over_http2_is_sent_once_whatever_happens() {
    let access = TestEnv::new().await.access;
    for ending in [Ending::Answer, Ending::Refuse, Ending::Cancel, Ending::GoAway, Ending::Disconnect] {
        let server = Http2Server::start(ending).await;
        let fic = tls_client(server.port, vec![server.root.clone()], no_proxies());
        assert_eq!(fic.list(&access).await, Ok(vec![]), "{ending:?}");
        let outcome = create(&fic, &access).await;
        match ending {
            Ending::Answer => assert!(matches!(outcome, WriteOutcome::Accepted(_)), "{outcome:?}"),
            Ending::Refuse | Ending::Cancel | Ending::GoAway | Ending::Disconnect => {
                assert!(matches!(outcome, WriteOutcome::Unknown(_)), "{ending:?}: {outcome:?}");
            }
        }
        assert_eq!(server.creates(), 1, "{ending:?}");
    }
}

#[tokio::test]
async fn requests_over_http2_share_a_connection() {
    let access = TestEnv::new().await.access;
    let server = Http2Server::start(Ending::Answer).await;
    let fic = tls_client(server.port, vec![server.root.clone()], no_proxies());
    assert_eq!(fic.list(&access).await, Ok(vec![]));
    let lists = futures::future::join_all((0..50).map(|_| fic.list(&access))).await;
    assert!(lists.iter().all(Result::is_ok), "{lists:?}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn only_servers_with_trusted_root_certificate_are_accepted() {
    let env = TestEnv::new().await;
    let (port, root) = start_tls_proxy(&env.simulator).await;
    assert_eq!(tls_client(port, vec![root], no_proxies()).list(&env.access).await, Ok(vec![]));
    let untrusted = tls_client(port, vec![], no_proxies()).list(&env.access).await;
    assert!(
        matches!(&untrusted, Err(FicError::Unavailable { message, .. }) if message.contains("certificate")),
        "{untrusted:?}"
    );
}

#[tokio::test]
async fn requests_go_to_the_proxy_unless_no_proxy_names_the_server() {
    let env = TestEnv::new().await;
    let (port, root) = start_tls_proxy(&env.simulator).await;
    let proxy = connect_proxy::ConnectProxy::start().await;
    for (no_proxy, connections) in
        [("", 1), ("127.0.0.1", 0), ("127.0.0.0/8,", 0), ("*", 0), ("127.0.0.1:1", 1), ("10.0.0.0/8,localhost", 1)]
    {
        let proxies = Proxies::new(|name| match name {
            "https_proxy" => Some(proxy.url()),
            "no_proxy" => Some(no_proxy.into()),
            _ => None,
        });
        let before = proxy.addresses().len();
        let fic = tls_client(port, vec![root.clone()], proxies);
        assert_eq!(fic.list(&env.access).await, Ok(vec![]), "{no_proxy}");
        let connected = proxy.addresses().split_off(before);
        assert_eq!(connected, vec![format!("127.0.0.1:{port}"); connections], "{no_proxy}");
    }
}
