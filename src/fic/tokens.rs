//! Caches the tokens, one for each pair of credentials and tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::domain::error::FicError;
use crate::fic::Access;
use crate::fic::keystone::Token;

/// The fingerprint of the credentials, and the tenant.
type CacheKey = (u64, Box<str>);
/// A call holds the lock of a slot while it signs in, so that concurrent calls with the same key share one sign-in.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

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
    pub(super) async fn get<F>(&self, access: &Access, sign_in: impl FnOnce() -> F) -> Result<SecretString, FicError>
    where
        F: Future<Output = Result<Token, FicError>>,
    {
        let slot = self.slot(access);
        let mut token = slot.lock().await;
        if let Some(token) = token.as_ref().filter(|token| token.renew_at > Instant::now()) {
            return Ok(token.value.clone());
        }
        let new = sign_in().await?;
        let value = new.value.clone();
        *token = Some(new);
        Ok(value)
    }

    /// Removes a token that FIC refused with 401, unless another call has already replaced it.
    pub(super) async fn discard(&self, access: &Access, refused: &SecretString) {
        let slot = self.slot(access);
        let mut token = slot.lock().await;
        if token.as_ref().is_some_and(|token| token.value.expose_secret() == refused.expose_secret()) {
            *token = None;
        }
    }

    fn slot(&self, access: &Access) -> Slot {
        let mut slots = self.lock();
        if slots.by_key.len() > slots.clean_up_at.max(64) {
            // Keep the slots that a call has locked and those with a valid token.
            slots.by_key.retain(|_, slot| {
                slot.try_lock()
                    .map_or(true, |token| token.as_ref().is_some_and(|token| token.renew_at > Instant::now()))
            });
            slots.clean_up_at = slots.by_key.len() * 2;
        }
        Arc::clone(slots.by_key.entry((access.credentials.fingerprint, access.tenant.clone())).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let sign_in = async || Ok(Token { value: "token".into(), renew_at: Instant::now() + lifetime });
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
        let get = async |value: &str| {
            let renew_at = Instant::now() + Duration::from_secs(10);
            let sign_in = async || Ok(Token { value: value.into(), renew_at });
            tokens.get(&access, sign_in).await.expect("a token").expose_secret().to_owned()
        };
        assert_eq!(get("first").await, "first");
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(get("second").await, "first");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(get("third").await, "third");
    }
}
