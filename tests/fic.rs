//! The clients of FIC and Keystone, against the simulator over real sockets.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::sync::Arc;
use std::time::Duration;

use fic_simulator::Simulator;
use fic_simulator::faults::{Fault, Kind};
use fic_simulator::log::Call;
use fic_simulator::portal::Action;
use fic_simulator::world::Settings;
use fic_support_operator::api::credentials::Credentials;
use fic_support_operator::api::plan::Menu;
use fic_support_operator::domain::contract::{ContractId, OperationStatus};
use fic_support_operator::domain::error::{FicError, WriteOutcome};
use fic_support_operator::fic::{Access, Endpoints, FicClient, Limits};
use fic_support_operator::leader_election::Leadership;
use fic_support_operator::metrics::Metrics;

const TENANT: &str = "db8b0e40743f460685040c46167cf19e";

struct Scene {
    simulator: Simulator,
    fic: FicClient,
    access: Access,
}

impl Scene {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { processing_ms: 0, ..Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let fic = client(&simulator, Duration::from_millis(500), 0);
        Self { simulator, fic, access: access("secret") }
    }

    async fn create(&self) -> WriteOutcome<fic_support_operator::domain::contract::Contract> {
        self.fic.create(&self.access, Menu::PremiumPlan, &Leadership::Always).await
    }

    fn on(&self, call: Call, kind: Kind) {
        self.simulator.fault(Fault::once(call, TENANT, kind));
    }

    fn count(&self, call: Call) -> usize {
        self.simulator.log().iter().filter(|entry| entry.call == call).count()
    }
}

fn client(simulator: &Simulator, request_timeout: Duration, requests_per_second: u32) -> FicClient {
    let endpoints = Endpoints {
        fic: simulator.fic_endpoint().parse().unwrap(),
        keystone: simulator.keystone_endpoint().parse().unwrap(),
    };
    FicClient::new(endpoints, vec![], Limits { request_timeout, requests_per_second }, Arc::new(Metrics::default()))
        .unwrap()
}

fn access(secret: &str) -> Access {
    Access { tenant: TENANT.into(), credentials: Credentials::new("key", secret) }
}

fn status(code: u16) -> Kind {
    Kind::Status { code, body: None, retry_after: None }
}

#[tokio::test]
async fn a_life_over_the_wire() {
    let scene = Scene::new().await;
    assert_eq!(scene.fic.list(&scene.access).await, Ok(vec![]));
    let WriteOutcome::Accepted(contract) = scene.create().await else { panic!("it should be accepted") };
    let shown = scene.fic.show(&scene.access, &contract.id).await.unwrap().unwrap();
    assert_eq!((shown.id.clone(), shown.status), (contract.id.clone(), OperationStatus::Completed));
    assert_eq!(scene.fic.list(&scene.access).await.unwrap()[0].id, contract.id);
    assert_eq!(scene.fic.delete(&scene.access, &contract.id, &Leadership::Always).await, WriteOutcome::Accepted(()));
    assert_eq!(scene.fic.show(&scene.access, &contract.id).await, Ok(None));
    assert_eq!(scene.fic.list(&scene.access).await, Ok(vec![]));
    assert_eq!(scene.count(Call::SignIn), 1);
}

#[tokio::test]
async fn every_answer_to_a_create_is_sorted_into_accepted_refused_unknown_or_not_sent() {
    let scene = Scene::new().await;
    for code in [400, 403, 409] {
        scene.on(Call::Create, status(code));
        assert!(matches!(scene.create().await, WriteOutcome::Refused(_)), "{code} is a refusal");
    }
    for code in [302, 404, 408, 418, 500, 502, 503, 504] {
        scene.on(Call::Create, status(code));
        assert!(
            matches!(scene.create().await, WriteOutcome::Unknown(FicError::Unavailable { .. })),
            "{code} tells nothing"
        );
    }
    scene.on(Call::Create, status(429));
    assert!(matches!(scene.create().await, WriteOutcome::NotSent(FicError::RateLimited { .. })));
    for kind in [
        Kind::DropBefore,
        Kind::Html { code: 502, effect_first: false },
        Kind::Huge { mib: 2 },
        Kind::Redirect { to: scene.simulator.fic_endpoint() },
        Kind::Hang { ms: None, effect_first: false },
    ] {
        scene.on(Call::Create, kind.clone());
        assert!(matches!(scene.create().await, WriteOutcome::Unknown(_)), "{kind:?}");
    }
    assert_eq!(scene.simulator.contract(TENANT), None, "none of these had an effect");
    for kind in [
        Kind::DropAfter,
        Kind::Garbage,
        Kind::Empty,
        Kind::WrongTenant,
        Kind::SlowDrip { interval_ms: 100 },
        Kind::Html { code: 504, effect_first: true },
    ] {
        scene.on(Call::Create, kind.clone());
        assert!(matches!(scene.create().await, WriteOutcome::Unknown(_)), "{kind:?}");
        assert!(scene.simulator.contract(TENANT).is_some(), "{kind:?} had its effect");
        scene.simulator.portal(TENANT, &Action::Abolish);
    }
}

#[tokio::test]
async fn a_refusal_whose_reasons_never_arrive_is_a_refusal_all_the_same() {
    let scene = Scene::new().await;
    assert!(matches!(scene.create().await, WriteOutcome::Accepted(_)));
    scene.on(Call::Create, Kind::SlowDrip { interval_ms: 100 });
    assert_eq!(scene.create().await, WriteOutcome::Refused(FicError::Conflict { words: "".into() }));
}

#[tokio::test]
async fn every_answer_to_a_delete_is_sorted_likewise_and_absence_counts_as_accepted() {
    let scene = Scene::new().await;
    let WriteOutcome::Accepted(contract) = scene.create().await else { panic!("it should be accepted") };
    let delete = || scene.fic.delete(&scene.access, &contract.id, &Leadership::Always);
    for code in [400, 403, 409] {
        scene.on(Call::Delete, status(code));
        assert!(matches!(delete().await, WriteOutcome::Refused(_)), "{code} is a refusal");
    }
    for code in [302, 405, 500, 503] {
        scene.on(Call::Delete, status(code));
        assert!(matches!(delete().await, WriteOutcome::Unknown(FicError::Unavailable { .. })), "{code} tells nothing");
    }
    scene.on(Call::Delete, status(429));
    assert!(matches!(delete().await, WriteOutcome::NotSent(FicError::RateLimited { .. })));
    assert!(scene.simulator.contract(TENANT).is_some(), "none of these had an effect");
    scene.on(Call::Delete, Kind::DropAfter);
    assert!(matches!(delete().await, WriteOutcome::Unknown(_)));
    assert_eq!(scene.simulator.contract(TENANT), None, "this had");
    assert_eq!(delete().await, WriteOutcome::Accepted(()), "404");
}

#[tokio::test]
async fn a_create_that_never_left_is_known_not_to_have_been_sent() {
    let scene = Scene::new().await;
    scene.fic.list(&scene.access).await.unwrap();
    let nowhere = client(&scene.simulator, Duration::from_secs(1), 0);
    drop(scene.simulator);
    let sent = nowhere.create(&scene.access, Menu::PremiumPlan, &Leadership::Always).await;
    assert!(matches!(sent, WriteOutcome::NotSent(FicError::Unavailable { .. })), "{sent:?}");
}

#[tokio::test]
async fn a_create_that_finds_nobody_listening_is_known_not_to_have_been_sent() {
    let scene = Scene::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keystone = scene.simulator.keystone_endpoint().parse().unwrap();
    let endpoints = Endpoints { fic: format!("http://{closed}").parse().unwrap(), keystone };
    let limits = Limits { request_timeout: Duration::from_secs(1), requests_per_second: 0 };
    let nowhere = FicClient::new(endpoints, vec![], limits, Arc::new(Metrics::default())).unwrap();
    let sent = nowhere.create(&scene.access, Menu::PremiumPlan, &Leadership::Always).await;
    assert!(matches!(sent, WriteOutcome::NotSent(FicError::Unavailable { .. })), "{sent:?}");
    assert_eq!(scene.count(Call::SignIn), 1);
}

#[tokio::test]
async fn a_replica_that_is_not_sure_to_lead_sends_no_create_and_no_delete() {
    let scene = Scene::new().await;
    let unsure = Leadership::Lease(fic_support_operator::leader_election::LeaseHold::default());
    let sent = scene.fic.create(&scene.access, Menu::PremiumPlan, &unsure).await;
    assert!(matches!(sent, WriteOutcome::NotSent(_)), "{sent:?}");
    let id = ContractId::parse("F520000000001").unwrap();
    assert!(matches!(scene.fic.delete(&scene.access, &id, &unsure).await, WriteOutcome::NotSent(_)));
    assert_eq!(scene.count(Call::Create) + scene.count(Call::Delete), 0);
}

#[tokio::test]
async fn calls_that_need_the_same_token_share_one_sign_in() {
    let scene = Scene::new().await;
    scene.simulator.set(|settings| settings.latency_ms = 50);
    let calls = (0..20).map(|_| scene.fic.list(&scene.access));
    assert!(futures::future::join_all(calls).await.into_iter().all(|listed| listed.is_ok()));
    assert_eq!(scene.count(Call::SignIn), 1);
    // And one more when all of them find it revoked at once.
    scene.simulator.revoke_tokens(None);
    let calls = (0..20).map(|_| scene.fic.list(&scene.access));
    assert!(futures::future::join_all(calls).await.into_iter().all(|listed| listed.is_ok()));
    assert_eq!(scene.count(Call::SignIn), 2);
}

#[tokio::test]
async fn a_token_is_of_one_tenant_and_one_pair_of_credentials() {
    let scene = Scene::new().await;
    let other = Access { tenant: "00000000000000000000000000000001".into(), ..scene.access.clone() };
    for access in [&scene.access, &other, &access("another")] {
        scene.fic.list(access).await.unwrap();
    }
    assert_eq!(scene.count(Call::SignIn), 3);
}

#[tokio::test]
async fn a_call_that_is_refused_with_a_fresh_token_is_not_permitted() {
    let scene = Scene::new().await;
    scene.simulator.fault(Fault::always(Call::List, TENANT, status(401)));
    assert!(matches!(scene.fic.list(&scene.access).await, Err(FicError::PermissionDenied { .. })));
    assert_eq!((scene.count(Call::List), scene.count(Call::SignIn)), (2, 2), "once, and once again with a fresh token");
}

#[tokio::test]
async fn wrong_credentials_are_told_from_a_keystone_that_fails() {
    let scene = Scene::new().await;
    let wrong = scene.fic.list(&access("wrong")).await;
    assert!(matches!(wrong, Err(FicError::AuthenticationFailed { .. })), "{wrong:?}");
    scene.on(Call::SignIn, status(503));
    let failing = scene.fic.list(&scene.access).await;
    assert!(matches!(&failing, Err(FicError::Unavailable { what, .. }) if what.contains("Keystone")), "{failing:?}");
    scene.on(Call::SignIn, status(403));
    assert!(matches!(scene.fic.list(&scene.access).await, Err(FicError::PermissionDenied { .. })));
    scene.on(Call::SignIn, status(429));
    assert!(matches!(scene.fic.list(&scene.access).await, Err(FicError::RateLimited { .. })));
}

#[tokio::test]
async fn retry_after_comes_through_from_every_answer() {
    let scene = Scene::new().await;
    for code in [429, 503] {
        scene.on(Call::List, Kind::Status { code, body: None, retry_after: Some("7".into()) });
        let trouble = scene.fic.list(&scene.access).await.unwrap_err();
        assert_eq!(trouble.retry_after(), Some(Duration::from_secs(7)), "{code}");
    }
}

#[tokio::test]
async fn an_answer_that_drips_ends_with_the_time_of_the_call() {
    let scene = Scene::new().await;
    scene.fic.list(&scene.access).await.unwrap();
    scene.on(Call::List, Kind::SlowDrip { interval_ms: 50 });
    let began = std::time::Instant::now();
    let listed = scene.fic.list(&scene.access).await;
    assert!(matches!(listed, Err(FicError::Unavailable { .. })), "{listed:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_of_more_than_a_mebibyte_is_not_read() {
    let scene = Scene::new().await;
    scene.on(Call::List, Kind::Huge { mib: 512 });
    let listed = scene.fic.list(&scene.access).await;
    assert!(matches!(&listed, Err(FicError::Unavailable { what, .. }) if what.contains("1 MiB")), "{listed:?}");
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let scene = Scene::new().await;
    let elsewhere = Simulator::start(([127, 0, 0, 1], 0).into(), Settings::default()).await.unwrap();
    let to = format!("{}/v1/premium-professional-support-services", elsewhere.fic_endpoint());
    for call in [Call::SignIn, Call::List, Call::Create] {
        scene.on(call, Kind::Redirect { to: to.clone() });
    }
    for _ in 0..2 {
        assert!(matches!(scene.fic.list(&scene.access).await, Err(FicError::Unavailable { .. })));
    }
    assert!(matches!(scene.create().await, WriteOutcome::Unknown(FicError::Unavailable { .. })));
    assert!(elsewhere.log().is_empty(), "it would have had the credentials and the token");
}

#[tokio::test]
async fn calls_are_paced() {
    let scene = Scene::new().await;
    let paced = client(&scene.simulator, Duration::from_secs(5), 20);
    let began = std::time::Instant::now();
    let calls = (0..30).map(|_| paced.list(&scene.access));
    futures::future::join_all(calls).await;
    // 20 may go at once, and the sign-in is one of them; the other 11 wait for 50 ms each.
    assert!(began.elapsed() >= Duration::from_millis(500), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn why_an_operation_failed_is_told_where_fic_tells_it() {
    let scene = Scene::new().await;
    scene.simulator.portal(TENANT, &Action::FailNextOperation("no line".into()));
    let WriteOutcome::Accepted(contract) = scene.create().await else { panic!("it should be accepted") };
    assert_eq!(scene.fic.explain(&scene.access, &contract.id).await.as_deref(), Some("no line"));
    scene.on(Call::ListOperations, status(404));
    assert_eq!(scene.fic.explain(&scene.access, &contract.id).await, None);
}

/// Puts TLS before the simulator, with a certificate of an authority of its own; gives the port and the authority.
async fn tls_before(simulator: &Simulator) -> (u16, reqwest::Certificate) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(parameters, authority_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["127.0.0.1".into()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = simulator.address();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us hangs up; that is what one of the tests is about.
                let Ok(mut front) = acceptor.accept(stream).await else { return };
                let mut back = tokio::net::TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut front, &mut back).await;
            });
        }
    });
    (port, reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap())
}

#[tokio::test]
async fn more_roots_can_be_trusted_and_others_are_not() {
    let scene = Scene::new().await;
    let (port, root) = tls_before(&scene.simulator).await;
    let with = |roots| {
        let limits = Limits { request_timeout: Duration::from_secs(5), requests_per_second: 0 };
        let endpoint = |path: &str| format!("https://127.0.0.1:{port}/{path}").parse().unwrap();
        let endpoints = Endpoints { fic: endpoint("fic-eri"), keystone: endpoint("keystone/v3") };
        FicClient::new(endpoints, roots, limits, Arc::new(Metrics::default())).unwrap()
    };
    assert_eq!(with(vec![root]).list(&scene.access).await, Ok(vec![]));
    let untrusted = with(vec![]).list(&scene.access).await;
    assert!(
        matches!(&untrusted, Err(FicError::Unavailable { what, .. }) if what.contains("certificate")),
        "{untrusted:?}"
    );
}
