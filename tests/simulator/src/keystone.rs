//! Keystone: accounts and tokens.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::response::ApiResponse;
use crate::state::{FicState, Token, random_hex};

/// The tenant that a token request is scoped to.
#[must_use]
pub fn scope(body: &Value) -> Option<&str> {
    body.pointer("/auth/scope/project/id")?.as_str()
}

/// `POST /v3/auth/tokens`: issues a token.
pub fn sign_in(state: &mut FicState, body: &Value) -> ApiResponse {
    let Some(Request { name, password, tenant }) = Request::parse(body) else {
        return ApiResponse::keystone_error(
            400,
            "Bad Request",
            "Expecting to find the method password, auth.identity.password.user of the domain default, and \
             auth.scope.project.id",
        );
    };
    // Keystone refuses a project that it does not know with the same words.
    if !is_tenant(tenant) || !state.is_pair(name, password) {
        return ApiResponse::keystone_error(401, "Unauthorized", "The request you have made requires authentication.");
    }
    let (token, expires) = state.issue_token(tenant);
    let mut response = ApiResponse::new(
        201,
        json!({ "token": {
            "methods": ["password"],
            "issued_at": microseconds(state.wall_time()),
            "expires_at": microseconds(expires),
            "project": { "id": tenant, "domain": { "id": "default" } },
        } }),
    );
    response.headers.push(("x-subject-token", token));
    response
}

/// What a sign-in names.
struct Request<'a> {
    name: &'a str,
    password: &'a str,
    tenant: &'a str,
}

impl<'a> Request<'a> {
    /// None if the body is not that of a sign-in with a password.
    fn parse(body: &'a Value) -> Option<Self> {
        let identity = body.pointer("/auth/identity")?;
        let user = identity.pointer("/password/user")?;
        let is_valid = identity.get("methods")? == &json!(["password"]) && user.pointer("/domain/id")? == "default";
        let text = |name: &str| user.get(name)?.as_str();
        is_valid.then_some(Self { name: text("name")?, password: text("password")?, tenant: scope(body)? })
    }
}

/// Whether this is the id of a tenant: 32 hexadecimal digits.
fn is_tenant(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl FicState {
    /// Accepts this API key with this secret only. Without a secret, the key is locked out.
    pub fn set_account(&mut self, api_key: &str, api_secret: Option<&str>) {
        self.accounts.insert(api_key.into(), api_secret.map(Into::into));
    }

    /// Whether Keystone accepts a key with a secret. A key without an account is accepted with every secret except
    /// `wrong`.
    #[must_use]
    pub fn is_pair(&self, api_key: &str, api_secret: &str) -> bool {
        match self.accounts.get(api_key) {
            Some(known) => known.as_deref() == Some(api_secret),
            None => !api_key.is_empty() && !api_secret.is_empty() && api_secret != "wrong",
        }
    }

    /// Issues a token for a tenant. Returns the token and its expiry.
    pub fn issue_token(&mut self, tenant: &str) -> (String, Timestamp) {
        // Since July 2025, FIC issues tokens of 140 to 240 bytes.
        let token = random_hex(fastrand::usize(140..=240));
        let lifetime = Duration::from_millis(self.settings.token_lifetime_ms);
        self.tokens.insert(token.clone(), Token { tenant: tenant.into(), expires: Instant::now() + lifetime });
        (token, self.wall_time() + lifetime)
    }

    /// The tenant of a valid token.
    #[must_use]
    pub fn tenant_of(&self, token: &str) -> Option<&str> {
        self.tokens.get(token).filter(|token| token.expires > Instant::now()).map(|token| token.tenant.as_str())
    }

    /// Revokes the tokens of one tenant, or of all tenants.
    pub fn revoke_tokens(&mut self, tenant: Option<&str>) {
        self.tokens.retain(|_, token| tenant.is_some_and(|tenant| token.tenant != tenant));
    }
}

fn microseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
