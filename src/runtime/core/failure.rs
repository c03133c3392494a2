//! What happens when a batch fails: its address waits and is tried again, or is parked, and others continue; or everything stops.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::retry::Backoff;
use crate::time::Timestamp;

/// Why a batch has no effects: the call failed, or its answer could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    /// StateFun's text for the same failure.
    original: Option<String>,
    kind: FailureKind,
    /// The wait that the function has asked for.
    retry_after: Duration,
}

/// Whether another attempt can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    /// It may.
    Passing,
    /// Not on StateFun: with [`OnError::Fail`], no attempts are left.
    Fatal,
    /// Not before the stored data is repaired: the address is parked at once.
    Damaged,
}

impl Failure {
    /// A failure with its text: the cause, then what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            original: None,
            kind: FailureKind::Passing,
            retry_after: Duration::ZERO,
        }
    }

    /// Adds the wait that the function has asked for: the batch is not sent again before.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Duration) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// Adds StateFun's text of the failure, shown with [`FailurePolicy::statefun_words`].
    pub fn or_on_statefun(self, words: impl Into<String>) -> Self {
        Self {
            original: Some(words.into()),
            ..self
        }
    }

    /// Nothing is bound to a function type.
    pub(super) fn unbound_function(namespace: &str, name: &str) -> Self {
        Self::new(format!(
            "no function is bound to {namespace}/{name}; add an endpoint for {namespace}/{name} or {namespace}/* to the module, or bind the function in code"
        ))
        .or_on_statefun(format!(
            "Cannot find a provider for type FunctionType({namespace}, {name})"
        ))
    }

    /// Nothing is bound to an egress name.
    pub(super) fn unbound_egress(namespace: &str, name: &str) -> Self {
        Self::new(format!(
            "egress {namespace}/{name} is not bound; add an egress with this id to the module, or bind one with `RuntimeBuilder::egress`"
        ))
        .or_on_statefun(format!(
            "Unknown egress EgressKey({namespace}, {name}, class org.apache.flink.statefun.sdk.reqreply.generated.TypedValue)"
        ))
    }

    /// A failure that leaves no attempts with [`OnError::Fail`], because another attempt would fail as well.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Fatal,
            ..Self::new(message)
        }
    }

    /// Stored data of the address cannot be read: it is parked whatever the policy says, and others continue.
    pub fn damaged(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Damaged,
            ..Self::new(message)
        }
    }

    /// Whether stored data is damaged.
    pub(super) const fn is_damage(&self) -> bool {
        matches!(self.kind, FailureKind::Damaged)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What happens when the attempts of a batch are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Its address is parked with its messages until it is resumed; others continue.
    #[default]
    Park,
    /// The whole application stops, as a job of StateFun does. Nothing is lost: the next start continues with the same batch.
    Fail,
}

/// How long a failed address waits, and what happens when its attempts are used up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FailurePolicy {
    /// Waits between attempts. Default 1 s, doubling, at most 1 min.
    pub backoff: Backoff,
    /// Maximum attempts of a batch. Default `None`: unlimited.
    pub attempts: Option<NonZeroU32>,
    /// What happens then. Default [`OnError::Park`].
    pub on_error: OnError,
    /// Whether failures are reported with StateFun's own texts, including class names, for comparisons. Default false.
    pub statefun_words: bool,
}

impl FailurePolicy {
    /// Behaves like StateFun: a batch is tried again each second, without end unless [`attempts`](Self::attempts) sets a limit, after which
    /// the application stops.
    pub const fn strict() -> Self {
        Self {
            backoff: Backoff {
                first: Duration::from_secs(1),
                factor: 1.0,
                max: Duration::from_secs(1),
            },
            attempts: None,
            on_error: OnError::Fail,
            statefun_words: true,
        }
    }

    /// The failure with the configured wording.
    pub(super) fn worded(&self, failure: Failure) -> Failure {
        match failure.original {
            Some(original) if self.statefun_words => Failure {
                message: original,
                original: None,
                ..failure
            },
            _ => failure,
        }
    }

    /// Whether a failure that ends a StateFun job ends the application.
    pub(super) fn is_strict(&self) -> bool {
        self.on_error == OnError::Fail
    }

    /// The consequence of failure number `attempt` of a batch.
    pub(super) fn verdict(&self, failure: &Failure, attempt: u32, now: Timestamp) -> Verdict {
        let used_up = self.attempts.is_some_and(|limit| attempt >= limit.get());
        match (failure.kind, self.on_error) {
            (FailureKind::Damaged, _) => Verdict::Parked,
            (FailureKind::Fatal, OnError::Fail) => Verdict::Stopped,
            (_, OnError::Park) if used_up => Verdict::Parked,
            (_, OnError::Fail) if used_up => Verdict::Stopped,
            _ => {
                let wait = self.backoff.delay(attempt).max(failure.retry_after);
                Verdict::Retried(now + wait)
            }
        }
    }
}

/// The consequence of a failed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent again at this time.
    Retried(Timestamp),
    /// Its address is parked.
    Parked,
    /// Nothing more is called: the application ends.
    Stopped,
}

impl Verdict {
    /// When the batch is sent again, if at all.
    pub const fn retry_at(self) -> Option<Timestamp> {
        match self {
            Self::Retried(at) => Some(at),
            Self::Parked | Self::Stopped => None,
        }
    }
}

/// Why and since when an address is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// When it was parked.
    pub since: Timestamp,
    /// Attempts made.
    pub attempts: u32,
    /// The last failure.
    pub reason: String,
}

impl Parked {
    /// The stored row: time, attempts, text.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(12 + self.reason.len());
        out.put_u64(self.since.as_millis());
        out.put_u32(self.attempts);
        out.put_slice(self.reason.as_bytes());
        out.freeze()
    }

    /// Reads a stored row.
    pub fn decode(row: &Bytes) -> Option<Self> {
        let mut rest = row.clone();
        let since = Timestamp::from_millis(rest.try_get_u64().ok()?);
        let attempts = rest.try_get_u32().ok()?;
        Some(Self {
            since,
            attempts,
            reason: String::from_utf8_lossy(&rest).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_not_sent_again_before_the_wait_that_its_function_asked_for() {
        let policy = FailurePolicy::default();
        let now = Timestamp::from_millis(1_000);
        let retry_at = |failure: &Failure| policy.verdict(failure, 1, now).retry_at().unwrap();
        let failure = Failure::new("busy");
        let usual = retry_at(&failure);
        let long = failure.clone().with_retry_after(Duration::from_secs(90));
        assert_eq!(retry_at(&long), now + Duration::from_secs(90));
        let short = failure.with_retry_after(Duration::from_millis(1));
        assert_eq!(retry_at(&short), usual);
    }

    #[test]
    fn a_parked_row_survives_its_encoding() {
        let parked = Parked {
            since: Timestamp::from_millis(5),
            attempts: 3,
            reason: "no answer".into(),
        };
        assert_eq!(Parked::decode(&parked.encode()), Some(parked));
    }
}
