//! Responses of FIC and Keystone: none counts as one for something else, and no error shows a secret.

use std::sync::LazyLock;
use std::time::Duration;

use fic_support_operator::api::credentials::Credentials;
use fic_support_operator::api::plan::Menu;
use fic_support_operator::domain::contract::ContractId;
use fic_support_operator::domain::error::{FicError, WriteOutcome};
use fic_support_operator::fic::http::{HttpClient, TransportError};
use fic_support_operator::fic::metrics::FicMetrics;
use fic_support_operator::fic::{Access, Endpoints, FicClient, Limits};
use futures::FutureExt;
use futures::future::BoxFuture;
use proptest::prelude::*;
use reqwest::{Request, Response};

use crate::strategies::{FixedResponse, response};
use crate::{ALL_SECRETS, API_KEY, API_SECRET, CREDENTIALS, ID, TENANT, TOKEN, config, is_clean};

/// An HTTP client that returns one response to every sign-in and one to every other request.
struct FixedResponses {
    sign_in: FixedResponse,
    other: FixedResponse,
}

impl HttpClient for FixedResponses {
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>> {
        let is_sign_in = request.url().path().contains("auth/tokens");
        let fixed = if is_sign_in { self.sign_in.clone() } else { self.other.clone() };
        async move {
            let mut response = http::Response::builder().status(fixed.status);
            for (name, value) in fixed.headers {
                response = response.header(name, value);
            }
            Ok(response.body(fixed.body).map_err(|_| TransportError::no_response("invalid response"))?.into())
        }
        .boxed()
    }
}

fn successful_sign_in() -> FixedResponse {
    FixedResponse { status: 201, headers: vec![("x-subject-token", TOKEN.into())], body: b"{}".into() }
}

fn client(sign_in: FixedResponse, other: FixedResponse) -> (FicClient, Access) {
    let endpoints = Endpoints { fic: "http://fic/f".parse().unwrap(), keystone: "http://fic/k".parse().unwrap() };
    let limits = Limits { request_timeout: Duration::from_secs(5), requests_per_second: 0, ..Limits::default() };
    let http_client = Box::new(FixedResponses { sign_in, other });
    let fic = FicClient::with_http_client(http_client, endpoints, limits, FicMetrics::default());
    (
        fic,
        Access {
            namespace: "team".into(),
            ticket: 1,
            tenant: TENANT.into(),
            credentials: Credentials::new(API_KEY, API_SECRET),
        },
    )
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap());
    RUNTIME.block_on(future)
}

fn contains_id(body: &[u8], id: &ContractId) -> bool {
    String::from_utf8_lossy(body).contains(id.as_str())
}

/// A clean message that does not repeat the secrets of the request.
fn is_free_of(message: &str, secrets: &[&str]) -> bool {
    is_clean(message) && !secrets.iter().any(|secret| message.contains(secret))
}

fn error_is_clean(error: &FicError, secrets: &[&str]) -> bool {
    match error {
        FicError::Unavailable { message, .. } | FicError::Outage { message, .. } | FicError::Unexpected { message } => {
            is_clean(message)
        }
        FicError::AuthenticationFailed { message, .. }
        | FicError::PermissionDenied { message }
        | FicError::Rejected { message }
        | FicError::Conflict { message } => is_free_of(message, secrets),
        FicError::RateLimited { retry_after } => retry_after.is_none_or(|wait| wait <= Duration::from_hours(24)),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn response_for_another_contract_is_never_accepted(response in response()) {
        let (fic, access) = client(successful_sign_in(), response.clone());
        let requested = ContractId::parse(ID).unwrap();
        match block_on(fic.show(&access, &requested)) {
            Ok(Some(shown)) => {
                prop_assert_eq!(&shown.id, &requested);
                prop_assert_eq!(response.status, 200);
                prop_assert!(shown.menus.len() <= 8);
            }
            Ok(None) => prop_assert_eq!(response.status, 404),
            Err(error) => prop_assert!(error_is_clean(&error, &ALL_SECRETS), "{error:?}"),
        }
        match block_on(fic.list(&access)) {
            Ok(contracts) => {
                prop_assert_eq!(response.status, 200);
                prop_assert!(contracts.iter().all(|contract| contains_id(&response.body, &contract.id)));
                // Only a body with a list can mean that no contract exists.
                let names_list = String::from_utf8_lossy(&response.body).contains("upportServices");
                prop_assert!(!contracts.is_empty() || names_list);
            }
            Err(error) => prop_assert!(error_is_clean(&error, &ALL_SECRETS), "{error:?}"),
        }
        let operation_error = block_on(fic.operation_error(&access, &requested));
        prop_assert!(operation_error.is_none_or(|message| is_free_of(&message, &ALL_SECRETS)));
    }

    #[test]
    fn only_400_401_403_and_409_count_as_refused(response in response()) {
        let (fic, access) = client(successful_sign_in(), response.clone());
        let created = block_on(fic.create(&access, Menu::PremiumPlan, &|| true)).unwrap();
        match &created {
            WriteOutcome::Accepted(contract) => {
                prop_assert!(response.status < 300 && contains_id(&response.body, &contract.id));
            }
            WriteOutcome::Refused(_) => prop_assert!(matches!(response.status, 400 | 401 | 403 | 409)),
            WriteOutcome::NotSent(_) => prop_assert_eq!(response.status, 429),
            WriteOutcome::Unknown(_) => prop_assert!(!matches!(response.status, 400 | 403 | 409)),
        }
        prop_assert!(created.error().is_none_or(|error| error_is_clean(error, &ALL_SECRETS)), "{created:?}");
        let deleted = block_on(fic.delete(&access, &ContractId::parse(ID).unwrap(), &|| true)).unwrap();
        match &deleted {
            WriteOutcome::Accepted(()) => prop_assert!(response.status < 300 || response.status == 404),
            WriteOutcome::Refused(_) => prop_assert!(matches!(response.status, 400 | 401 | 403 | 409)),
            WriteOutcome::NotSent(_) => prop_assert_eq!(response.status, 429),
            WriteOutcome::Unknown(_) => prop_assert!(response.status >= 300),
        }
        prop_assert!(deleted.error().is_none_or(|error| error_is_clean(error, &ALL_SECRETS)), "{deleted:?}");
    }

    #[test]
    fn keystone_may_return_anything(mut response in response(), token in prop::option::of("[ -~]{0,300}")) {
        if let Some(token) = &token {
            response.headers.push(("x-subject-token", token.clone()));
        }
        let (fic, access) = client(response, FixedResponse { status: 200, headers: vec![], body: b"{}".into() });
        let listed = block_on(fic.list(&access));
        prop_assert!(listed.as_ref().is_err_and(|error| error_is_clean(error, &CREDENTIALS)), "{listed:?}");
        let shown = format!("{listed:?}");
        prop_assert!(token.is_none_or(|token| token.len() < 8 || !shown.contains(&token)));
    }
}
