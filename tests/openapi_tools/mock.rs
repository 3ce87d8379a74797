//! The client against the mock: every described status of every call leads to the outcome that the client promises.

use crate::fic_calls::{CONTRACT, call, client, install_crypto_provider, statuses};
use crate::prism::Prism;

const READ_ERRORS: [(u16, &str); 6] = [
    (400, "rejected"),
    (401, "permission_denied"),
    (403, "permission_denied"),
    (409, "conflict"),
    (429, "rate_limited for 30s"),
    (503, "unavailable for 30s"),
];
const WRITE_ERRORS: [(u16, &str); 6] = [
    (400, "refused, rejected"),
    (401, "refused, permission_denied"),
    (403, "refused, permission_denied"),
    (409, "refused, conflict"),
    (429, "not sent, rate_limited for 30s"),
    (503, "unknown, unavailable for 30s"),
];

/// What the client promises for a status of a call.
fn promised(operation: &str, status: u16) -> &'static str {
    let (own, errors): (&[_], _) = match operation {
        "signIn" => (&[(200, "1"), (201, "1"), (401, "authentication_failed")], READ_ERRORS),
        "list" => (&[(200, "1")], READ_ERRORS),
        "show" => (&[(200, "Some(\"F520123456789\")"), (404, "None")], READ_ERRORS),
        "create" => {
            let accepted = "accepted F520123456789";
            (&[(200, accepted), (202, accepted), (204, "unknown, unavailable")], WRITE_ERRORS)
        }
        "delete" => {
            let accepted = "accepted deleted";
            (&[(200, accepted), (202, accepted), (204, accepted), (404, accepted)], WRITE_ERRORS)
        }
        // An error of this call counts as no text.
        "operations" if status == 200 => return "Some(\"The line is not available.\")",
        "operations" => return "None",
        other => panic!("nothing is promised for {other}"),
    };
    let mut promises = own.iter().copied().chain(errors);
    promises.find_map(|(of, outcome)| (of == status).then_some(outcome)).unwrap()
}

/// The outcome of a call that gets a response that this query of prism asks for.
async fn call_with(mock: &Prism, operation: &str, query: &str) -> String {
    let [mut fic, mut keystone] = ["fic-eri", "keystone/v3"].map(|path| format!("{}/{path}", mock.url));
    let endpoint = if operation == "signIn" { &mut keystone } else { &mut fic };
    endpoint.push_str(query);
    call(&client(&fic, &keystone), operation, CONTRACT).await
}

#[tokio::test]
async fn each_described_status_leads_to_the_promised_outcome() {
    let mock = Prism::start();
    for (operation, codes) in statuses() {
        for code in codes {
            let outcome = call_with(&mock, &operation, &format!("?__code={code}")).await;
            assert_eq!(outcome, promised(&operation, code), "{operation} {code}");
        }
        // The whole class.
        for code in [500, 502, 504].into_iter().filter(|_| operation != "operations") {
            let outcome = call_with(&mock, &operation, &format!("?__code={code}")).await;
            assert_eq!(outcome, promised(&operation, 503), "{operation} {code}");
        }
    }
    let (requests, violations) = mock.end();
    assert!(violations.is_empty(), "{violations:#?}");
    println!("{requests} requests to the mock");
}

/// The mock makes them from the schemas, so fields are missing, null, or of any text, and there are others.
#[tokio::test]
async fn the_client_reads_every_contract_that_is_described() {
    let mock = Prism::start();
    for _ in 0..200 {
        let shown = call_with(&mock, "show", "?__dynamic=true").await;
        assert_eq!(shown, "unexpected_answer", "it is another tenant or another contract");
        let listed = call_with(&mock, "list", "?__dynamic=true").await;
        assert!(listed.parse::<usize>().is_ok() || listed == "unexpected_answer", "{listed}");
        let created = call_with(&mock, "create", "?__dynamic=true&__code=202").await;
        assert!(created.starts_with("accepted ") || created == "unknown, unexpected_answer", "{created}");
    }
    let (_, violations) = mock.end();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[tokio::test]
async fn the_mock_reports_a_request_that_is_not_described() {
    install_crypto_provider();
    let mock = Prism::start();
    let url = format!("{}/fic-eri/v1/premium-professional-support-services", mock.url);
    let request = reqwest::Client::new().post(url).header("x-auth-token", "token");
    let body = r#"{"premiumProfessionalSupportService":{"currentMenu":"GoldPlan"}}"#;
    let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let (requests, violations) = mock.end();
    assert_eq!(requests, 1);
    assert!(violations.iter().any(|line| line.contains("currentMenu")), "{violations:?}");
}
