use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cron::Cron;
use super::{Class, Failure};
use crate::retry::Backoff;
use crate::time::Timestamp;

/// The longest wait that a target can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How long to wait between attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[non_exhaustive]
pub enum Retry {
    /// Waits that grow by a factor up to a bound.
    Backoff {
        /// The wait after the first failure. Default 1 s.
        #[serde(default = "default_first", with = "crate::time::span::serde_text")]
        first: Duration,
        /// The factor between one wait and the next; at least 1. Default 2.
        #[serde(default = "default_factor")]
        factor: f64,
        /// The longest wait, and the wait after a slow failure. Default 10 min.
        #[serde(default = "default_max", with = "crate::time::span::serde_text")]
        max: Duration,
        /// Default full.
        #[serde(default)]
        jitter: Jitter,
    },
    /// Always the same wait, from the end of the attempt.
    #[serde(with = "crate::time::span::serde_text")]
    Every(Duration),
    /// The next time that matches a cron expression.
    Cron(Cron),
}

const fn default_first() -> Duration {
    Duration::from_secs(1)
}

const fn default_factor() -> f64 {
    2.0
}

const fn default_max() -> Duration {
    Duration::from_secs(600)
}

/// How waits are spread, so that many do not end at the same instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Jitter {
    /// Not at all.
    None,
    /// Evenly between zero and the wait.
    #[default]
    Full,
}

impl Retry {
    /// When attempt `attempt + 1` of delivery `id` is due, after the failure number `spent`.
    pub(super) fn due(
        &self,
        failure: &Failure,
        heed_retry_after: bool,
        (id, attempt, spent): (&str, u32, u32),
        now: Timestamp,
    ) -> Timestamp {
        let due = match self {
            Self::Backoff { max, .. } if failure.class == Class::Slow => now + *max,
            &Self::Backoff {
                first,
                factor,
                max,
                jitter,
            } => {
                let wait = Backoff { first, factor, max }.delay(spent);
                now + jitter.spread(wait, id, attempt)
            }
            Self::Every(_) | Self::Cron(_) => self.next_tick(now).unwrap_or(now),
        };
        match failure.retry_after {
            Some(wish) if heed_retry_after => {
                let wish = wish.min(MAX_RETRY_AFTER);
                // A target that refuses many at once must not get all of them back at once.
                due.max(now + wish + Jitter::Full.spread(wish / 10, id, attempt))
            }
            _ => due,
        }
    }

    /// The next time after `now`; `None` for a backoff, which has no fixed times.
    pub(crate) fn next_tick(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Backoff { .. } => None,
            Self::Every(gap) => Some(now + *gap),
            Self::Cron(cron) => Some(cron.next_after(now)),
        }
    }
}

impl Jitter {
    /// Spreads `wait` depending on the delivery and the attempt, always in the same way.
    fn spread(self, wait: Duration, id: &str, attempt: u32) -> Duration {
        match self {
            Self::None => wait,
            Self::Full => {
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let share = (u128::from(wait) * u128::from(hash(id, attempt))) >> 64;
                Duration::from_millis(u64::try_from(share).unwrap_or(wait))
            }
        }
    }
}

/// FNV-1a over the id and the attempt, then mixed, so that similar ids get very different results.
fn hash(id: &str, attempt: u32) -> u64 {
    let bytes = id.bytes().chain(attempt.to_le_bytes());
    let sum = bytes.fold(0xCBF2_9CE4_8422_2325, |sum: u64, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let mixed = (sum ^ (sum >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dl_09_full_jitter_stays_within_the_wait_and_repeats() {
        let wait = Duration::from_secs(10);
        let mut quarters = [0; 4];
        for attempt in 1..=400 {
            let spread = Jitter::Full.spread(wait, "job-1", attempt);
            assert!(spread <= wait);
            assert_eq!(spread, Jitter::Full.spread(wait, "job-1", attempt));
            quarters[usize::try_from(spread.as_millis() * 4 / 10_001).unwrap()] += 1;
        }
        assert!(quarters.iter().all(|&n| n > 60), "uneven: {quarters:?}");
        assert_ne!(
            Jitter::Full.spread(wait, "job-1", 1),
            Jitter::Full.spread(wait, "job-2", 1)
        );
        assert_eq!(Jitter::None.spread(wait, "job-1", 1), wait);
    }

    #[test]
    fn a_wish_is_granted_up_to_an_hour_if_it_is_later() {
        let now = Timestamp::from_millis(1_000_000);
        let every = Retry::Every(Duration::from_secs(60));
        let due = |heed, wish| {
            let mut failure = Failure::retry("http_429", "too many");
            failure.retry_after = Some(Duration::from_secs(wish));
            every
                .due(&failure, heed, ("a", 1, 1), now)
                .since(now)
                .as_secs()
        };
        assert!((90..=99).contains(&due(true, 90)), "up to a tenth later");
        assert_eq!(due(false, 90), 60);
        assert_eq!(due(true, 7), 60);
        assert!((3600..=3960).contains(&due(true, 86_400)));
    }
}
