//! Caches the tokens, one for each pair of credentials and tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::domain::error::FicError;
use crate::fic::Access;
use crate::fic::keystone::Token;
use crate::fic::metrics::TokenCause;

/// The fingerprint of the credentials, and the tenant.
type CacheKey = (u64, Box<str>);
/// A call holds the lock of a slot while it signs in, so that concurrent calls with the same key share one sign-in.
type Slot = Arc<tokio::sync::Mutex<Cached>>;

/// What the cache has for a key.
#[derive(Default)]
enum Cached {
    #[default]
    Nothing,
    Token(Token),
    /// FIC refused the token.
    Refused,
}

impl Cached {
    /// The token, if it need not be renewed, or why a new one is needed.
    fn valid(&self, now: Instant) -> Result<&Token, TokenCause> {
        match self {
            Self::Token(token) if token.renew_at > now => Ok(token),
            Self::Token(_) => Err(TokenCause::Expiring),
            Self::Nothing => Err(TokenCause::First),
            Self::Refused => Err(TokenCause::Refused),
        }
    }
}

/// The cached tokens.
#[derive(Default)]
pub(super) struct TokenCache {
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<CacheKey, Slot>,
    /// The size that triggers the next clean-up. It grows with the cache, so clean-ups are rare however many tenants
    /// exist.
    clean_up_at: usize,
}

impl TokenCache {
    /// Returns the cached token, or signs in for a new one.
    pub(super) async fn get<F>(
        &self,
        access: &Access,
        sign_in: impl FnOnce(TokenCause) -> F,
    ) -> Result<SecretString, FicError>
    where
        F: Future<Output = Result<Token, FicError>>,
    {
        let slot = self.slot(access);
        let mut cached = slot.lock().await;
        let cause = match cached.valid(Instant::now()) {
            Ok(token) => return Ok(token.value.clone()),
            Err(cause) => cause,
        };
        let token = sign_in(cause).await?;
        let value = token.value.clone();
        *cached = Cached::Token(token);
        Ok(value)
    }

    /// Removes a token that FIC refused with 401, unless another call has already replaced it.
    pub(super) async fn discard(&self, access: &Access, refused: &SecretString) {
        let slot = self.slot(access);
        let mut cached = slot.lock().await;
        if matches!(&*cached, Cached::Token(token) if token.value.expose_secret() == refused.expose_secret()) {
            *cached = Cached::Refused;
        }
    }

    /// The number of tokens that are valid. A call that signs in for a token counts as one.
    pub(super) fn valid(&self) -> usize {
        let now = Instant::now();
        self.lock().by_key.values().filter(|slot| is_in_use(slot, now)).count()
    }

    fn slot(&self, access: &Access) -> Slot {
        let mut slots = self.lock();
        if slots.by_key.len() > slots.clean_up_at.max(64) {
            let now = Instant::now();
            slots.by_key.retain(|_, slot| is_in_use(slot, now));
            slots.clean_up_at = slots.by_key.len() * 2;
        }
        Arc::clone(slots.by_key.entry((access.credentials.fingerprint, access.tenant.clone())).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a call has locked the slot, or it has a valid token.
fn is_in_use(slot: &Slot, now: Instant) -> bool {
    slot.try_lock().map_or(true, |cached| cached.valid(now).is_ok())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::credentials::Credentials;

    async fn take(tokens: &TokenCache, tenant: usize, lifetime: Duration) -> String {
        let access = Access {
            namespace: "team".into(),
            ticket: 1,
            tenant: tenant.to_string().into(),
            credentials: Credentials::new("key", "secret"),
        };
        let sign_in = async |_| Ok(Token { value: "token".into(), renew_at: Instant::now() + lifetime });
        tokens.get(&access, sign_in).await.expect("a token").expose_secret().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn expired_tokens_are_removed_once_cache_is_large() {
        let tokens = TokenCache::default();
        let count = || tokens.lock().by_key.len();
        let (long, expired) = (Duration::from_hours(1), Duration::ZERO);
        for number in 0..65 {
            take(&tokens, number, expired).await;
        }
        assert_eq!(count(), 65, "the cache is still small");
        take(&tokens, 65, long).await;
        assert_eq!(count(), 1);
        for number in 66..130 {
            take(&tokens, number, long).await;
        }
        // These tokens are valid, so the next clean-up happens at twice the size.
        for number in 130..=195 {
            take(&tokens, number, expired).await;
        }
        assert_eq!(count(), 131);
        take(&tokens, 196, expired).await;
        assert_eq!(count(), 66);
    }

    #[tokio::test(start_paused = true)]
    async fn token_is_used_until_its_renewal_time() {
        let tokens = TokenCache::default();
        let access = Access {
            namespace: "team".into(),
            ticket: 1,
            tenant: "a".into(),
            credentials: Credentials::new("key", "secret"),
        };
        // The token, and why it was requested if it was.
        let get = async |value: &str| {
            let renew_at = Instant::now() + Duration::from_secs(10);
            let mut requested = None;
            let sign_in = async |cause| {
                requested = Some(cause);
                Ok(Token { value: value.into(), renew_at })
            };
            let token = tokens.get(&access, sign_in).await.expect("a token");
            (token.expose_secret().to_owned(), requested)
        };
        assert_eq!(get("first").await, ("first".into(), Some(TokenCause::First)));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!((get("second").await, tokens.valid()), (("first".into(), None), 1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(tokens.valid(), 0);
        assert_eq!(get("third").await, ("third".into(), Some(TokenCause::Expiring)));
        tokens.discard(&access, &"first".into()).await;
        assert_eq!(get("fourth").await, ("third".into(), None), "another one was refused");
        tokens.discard(&access, &"third".into()).await;
        assert_eq!(tokens.valid(), 0);
        assert_eq!(get("fifth").await, ("fifth".into(), Some(TokenCause::Refused)));
    }
}
