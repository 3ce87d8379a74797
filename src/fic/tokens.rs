//! The tokens in hand, one for each pair of credentials and tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::domain::error::FicError;
use crate::fic::Access;
use crate::fic::keystone::Token;

type Key = (u64, Box<str>);
/// The lock of a slot is held while signing in, so that calls that need the same token at the same time share one sign-in.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The tokens in hand.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<Key, Slot>,
    /// The next clean-up is due at this size, so that cleaning up costs little however many tenants there are.
    clean_up_at: usize,
}

impl Tokens {
    /// The token in hand, or a new one.
    pub(super) async fn get<F>(&self, access: &Access, sign_in: impl FnOnce() -> F) -> Result<SecretString, FicError>
    where
        F: Future<Output = Result<Token, FicError>>,
    {
        let slot = self.slot(access);
        let mut token = slot.lock().await;
        if let Some(token) = token.as_ref().filter(|token| token.renew_at > Instant::now()) {
            return Ok(token.value.clone());
        }
        let fresh = sign_in().await?;
        let value = fresh.value.clone();
        *token = Some(fresh);
        Ok(value)
    }

    /// A call was answered 401: the token is no good, unless another call has replaced it already.
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
            // A slot that someone holds is in use; one whose token has expired serves nobody.
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

    async fn take(tokens: &Tokens, tenant: usize, lasts: Duration) -> String {
        let access = Access { tenant: tenant.to_string().into(), credentials: Credentials::new("key", "secret") };
        let fresh = async || Ok(Token { value: "token".into(), renew_at: Instant::now() + lasts });
        tokens.get(&access, fresh).await.expect("a token").expose_secret().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_serve_nobody_any_more_are_dropped_once_there_are_many() {
        let tokens = Tokens::default();
        let held = || tokens.lock().by_key.len();
        let (long, over) = (Duration::from_hours(1), Duration::ZERO);
        for number in 0..65 {
            take(&tokens, number, over).await;
        }
        assert_eq!(held(), 65, "not that many yet");
        take(&tokens, 65, long).await;
        assert_eq!(held(), 1);
        for number in 66..130 {
            take(&tokens, number, long).await;
        }
        // These serve still: the next clean-up is due when there are twice as many.
        for number in 130..=195 {
            take(&tokens, number, over).await;
        }
        assert_eq!(held(), 131);
        take(&tokens, 196, over).await;
        assert_eq!(held(), 66);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_serves_until_it_is_due_and_not_a_moment_longer() {
        let tokens = Tokens::default();
        let access = Access { tenant: "a".into(), credentials: Credentials::new("key", "secret") };
        let get = async |value: &str| {
            let renew_at = Instant::now() + Duration::from_secs(10);
            let fresh = async || Ok(Token { value: value.into(), renew_at });
            tokens.get(&access, fresh).await.expect("a token").expose_secret().to_owned()
        };
        assert_eq!(get("first").await, "first");
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(get("second").await, "first");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(get("third").await, "third");
    }
}
