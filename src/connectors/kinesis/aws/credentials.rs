//! Credentials, and when they are renewed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tracing::warn;

use super::chain::{Chain, Given};
use crate::clock::Clock;
use crate::module::Secret;
use crate::sdk::BoxError;
use crate::time::Timestamp;

/// Credentials are renewed this long before they expire.
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// The interval between two attempts to renew credentials that are still valid.
const PAUSE: Duration = Duration::from_secs(30);

/// An access key, possibly a temporary one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Secret,
    pub(super) session_token: Option<Secret>,
    /// `None`: they do not expire.
    pub(super) expires: Option<Timestamp>,
}

/// Gives credentials, and keeps them until they have to be renewed.
pub(in super::super) struct Provider {
    given: Given,
    chain: Chain,
    clock: Arc<dyn Clock>,
    kept: Mutex<Option<Kept>>,
}

/// Credentials that were found.
struct Kept {
    credentials: Credentials,
    /// `None`: they are not renewed.
    renew_at: Option<Timestamp>,
}

impl Provider {
    pub(in super::super) fn new(given: Given, chain: Chain, clock: Arc<dyn Clock>) -> Self {
        let kept = Mutex::new(None);
        Self {
            given,
            chain,
            clock,
            kept,
        }
    }

    /// Credentials that are valid now.
    ///
    /// # Errors
    /// If there are none, or those found have expired and cannot be renewed.
    pub(in super::super) async fn get(&self) -> Result<Credentials, BoxError> {
        let mut kept = self.kept.lock().await;
        let now = self.clock.now();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.serves(now)) {
            return Ok(kept.credentials.clone());
        }
        match self.chain.credentials(&self.given).await {
            Ok(credentials) => {
                *kept = Some(Kept::new(credentials.clone(), now));
                Ok(credentials)
            }
            Err(failure) => {
                let old = kept.as_mut().filter(|old| old.is_valid(now));
                let old = old.ok_or_else(|| failure.to_string())?;
                warn!(%failure, "AWS credentials cannot be renewed; the present ones are still valid");
                old.renew_at = Some(now + PAUSE);
                Ok(old.credentials.clone())
            }
        }
    }

    /// Discards credentials that a service refused: the next ones are looked for again.
    pub(in super::super) async fn refused(&self, used: &Credentials) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|kept| kept.credentials == *used) {
            *kept = None;
        }
    }
}

impl Kept {
    fn new(credentials: Credentials, now: Timestamp) -> Self {
        let renew_at = credentials.expires.map(|expires| {
            // Some are valid for less than that.
            (expires - AHEAD).max(now + PAUSE)
        });
        Self {
            credentials,
            renew_at,
        }
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.credentials.expires.is_none_or(|expires| now < expires)
    }

    fn serves(&self, now: Timestamp) -> bool {
        self.is_valid(now) && self.renew_at.is_none_or(|renew_at| now < renew_at)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(expires: Option<u64>, now: u64) -> Kept {
        let credentials = Credentials {
            access_key_id: "id".to_owned(),
            secret_access_key: Secret::new("secret"),
            session_token: None,
            expires: expires.map(at),
        };
        Kept::new(credentials, at(now))
    }

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn credentials_are_renewed_five_minutes_before_they_expire() {
        let hour = kept(Some(3600), 0);
        assert!(hour.serves(at(3299)) && !hour.serves(at(3300)));
        assert!(hour.is_valid(at(3599)) && !hour.is_valid(at(3600)));
        assert!(kept(None, 0).serves(at(1 << 30)));
    }

    #[test]
    fn credentials_that_expire_soon_are_not_renewed_at_every_call() {
        let short = kept(Some(60), 0);
        assert!(short.serves(at(29)) && !short.serves(at(30)));
    }
}
