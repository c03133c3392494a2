use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy_form::PolicyForm;
use super::{Class, Classes, Jitter, Retry, Statuses};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// When a delivery is tried, how often, and what becomes of it then. Data: it decides nothing by itself.
///
/// In YAML and JSON a `preset` (`default`, `edgex`, `blacksmith`, `firefly`) supplies all fields that are not given;
/// without it, `default` does. Deserialising checks the policy; one made in Rust is checked with [`Policy::check`] where it is used.
///
/// ```
/// use stateful_functions::delivery::Policy;
///
/// let policy: Policy = serde_json::from_str(r#"{"preset": "edgex", "attempts": 4, "maxAge": "72h"}"#)?;
/// assert_eq!(policy, { let mut policy = Policy::edgex().max_retries(3); policy.max_age = Some(std::time::Duration::from_secs(72 * 3600)); policy });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PolicyForm", into = "PolicyForm")]
#[non_exhaustive]
pub struct Policy {
    /// The wait between attempts.
    pub retry: Retry,
    /// When the first attempt is made.
    pub start: Start,
    /// Maximum attempts, one more than the retries; `None` for no limit (text: `endless`).
    pub attempts: Option<u32>,
    /// A failure this long after the start of the first attempt gives up; `None` for no limit. Waits do not check it.
    pub within: Option<Duration>,
    /// Give up this long after submission, even during a wait; `None` for no limit.
    pub max_age: Option<Duration>,
    /// What happens on giving up.
    pub then: Then,
    /// Time after which an attempt without an answer has failed.
    pub timeout: Duration,
    /// Which deliveries must not overtake one another.
    pub order: Order,
    /// The number of units per call.
    pub batch: Batch,
    /// Whether a longer wait that the target asks for is respected, up to an hour.
    pub retry_after: bool,
    /// How a target's answers are classified.
    pub classes: Classes,
    /// The class of some HTTP statuses, whatever `classes` says.
    pub statuses: Statuses,
    /// Whether a success at a target wakes the deliveries that wait for it, a bounded number at a time.
    pub wake: bool,
    /// When an attempt is recorded.
    pub record: Journal,
}

/// When the first attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Start {
    /// At once.
    Now,
    /// At the next time of the retry rule, which is a fixed interval or a cron expression.
    Tick,
    /// Before submission, by the owner.
    Tried,
}

/// What happens on giving up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Then {
    /// It becomes a dead letter.
    Discard,
    /// It becomes a dead letter, and the stream continues after it.
    Skip,
    /// It is never given up: one attempt is made per delay, and everything behind it waits.
    Block {
        /// The delay.
        #[serde(with = "crate::time::span::serde_text")]
        every: Duration,
    },
}

/// Which deliveries must not overtake one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// There is no order.
    Any,
    /// Deliveries with the same key keep their order; those without a key have none.
    Key,
    /// One after the other; streams only.
    Strict,
}

/// The number of units per call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Batch {
    /// One.
    Single,
    /// Up to a number.
    UpTo {
        /// The number.
        size: u32,
        /// No unit waits longer for others.
        #[serde(with = "crate::time::span::serde_text")]
        linger: Duration,
    },
    /// All that are due.
    Due,
}

/// When an attempt is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Journal {
    /// Together with its outcome, in one commit. If a crash comes in between, the attempt is repeated and the first one leaves no trace.
    With,
    /// Before the call, so that an attempt ended by a crash is seen.
    Before,
    /// Before the call, which another address makes; a timer ends the attempt if no answer comes.
    Elsewhere,
}

impl Default for Policy {
    /// 1 s doubled up to 10 min with full jitter, for 72 h with any number of attempts, then discard; in order for deliveries with a key.
    fn default() -> Self {
        Self {
            retry: Retry::Backoff {
                first: secs(1),
                factor: 2.0,
                max: secs(600),
                jitter: Jitter::Full,
            },
            start: Start::Now,
            attempts: None,
            within: None,
            max_age: Some(secs(72 * 3600)),
            then: Then::Discard,
            timeout: secs(30),
            order: Order::Key,
            batch: Batch::Single,
            retry_after: true,
            classes: Classes::Default,
            statuses: Statuses::default(),
            wake: true,
            record: Journal::With,
        }
    }
}

impl Policy {
    /// EdgeX's store and forward: the live export is the first attempt, then ten retries, one every 5 min, then discard.
    pub fn edgex() -> Self {
        Self {
            retry: Retry::Every(secs(300)),
            start: Start::Tried,
            attempts: Some(11),
            max_age: None,
            order: Order::Any,
            retry_after: false,
            classes: Classes::Off,
            ..Self::default()
        }
    }

    /// The same with EdgeX's two settings: below one second becomes one second; no retries means endless, and a
    /// negative number one retry.
    #[must_use]
    pub fn edgex_with(retry_interval: Duration, max_retry_count: i64) -> Self {
        Self {
            retry: Retry::Every(retry_interval.max(secs(1))),
            attempts: match max_retry_count {
                0 => None,
                ..0 => Some(2),
                count => Some(u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1)),
            },
            ..Self::edgex()
        }
    }

    /// Blacksmith's jobs: the first attempt at the next tick of an hour, then 72 retries, one every hour, then discard.
    pub fn blacksmith() -> Self {
        Self {
            retry: Retry::Every(secs(3600)),
            start: Start::Tick,
            attempts: Some(73),
            batch: Batch::Due,
            wake: false,
            ..Self::edgex()
        }
    }

    /// FireFly's streams: batches of 50 or 500 ms in strict order, 250 ms doubled up to 30 s, and blocked after 5 min
    /// with one attempt each minute. The timeout is a WebSocket's 2 min; a webhook's is 30 s.
    pub fn firefly() -> Self {
        Self {
            retry: Retry::Backoff {
                first: Duration::from_millis(250),
                factor: 2.0,
                max: secs(30),
                jitter: Jitter::None,
            },
            start: Start::Now,
            attempts: None,
            within: Some(secs(300)),
            then: Then::Block { every: secs(60) },
            timeout: secs(120),
            order: Order::Strict,
            batch: Batch::UpTo {
                size: 50,
                linger: Duration::from_millis(500),
            },
            wake: false,
            ..Self::edgex()
        }
    }

    /// The class of an HTTP status; `None` for 2xx, a success.
    pub fn class_of(&self, status: u16) -> Option<Class> {
        let class = self.classes.of_status(status)?;
        Some(self.statuses.class_of(status).unwrap_or(class))
    }

    /// Sets the number of attempts after the first.
    #[must_use]
    pub const fn max_retries(mut self, retries: u32) -> Self {
        self.attempts = Some(retries.saturating_add(1));
        self
    }

    /// Checks for contradictions and impossible values.
    ///
    /// # Errors
    /// All faults at once, each with its field.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let mut faults = Vec::new();
        let mut refuse = |holds: bool, field, problem| {
            if holds {
                faults.push(PolicyFault { field, problem });
            }
        };
        match self.retry {
            Retry::Backoff {
                first, factor, max, ..
            } => {
                refuse(first.is_zero(), "retry.first", ZERO);
                refuse(max.is_zero(), "retry.max", ZERO);
                refuse(max < first, "retry.max", "is shorter than retry.first");
                refuse(
                    factor.is_nan() || factor < 1.0,
                    "retry.factor",
                    "is below 1",
                );
                refuse(
                    self.start == Start::Tick,
                    "start",
                    "tick needs a retry with every or cron",
                );
            }
            Retry::Every(gap) => refuse(gap.is_zero(), "retry.every", ZERO),
            Retry::Cron(_) => refuse(self.order == Order::Strict, "retry.cron", STRICT),
        }
        refuse(
            self.start == Start::Tick && self.order == Order::Strict,
            "start",
            STRICT,
        );
        refuse(
            self.attempts == Some(0),
            "attempts",
            "is 0; it counts the first attempt, too, so it is 1 or more",
        );
        refuse(self.within.is_some_and(|d| d.is_zero()), "within", ZERO);
        refuse(self.max_age.is_some_and(|d| d.is_zero()), "maxAge", ZERO);
        refuse(self.timeout.is_zero(), "timeout", ZERO);
        match self.then {
            Then::Discard => {}
            Then::Skip => refuse(
                self.order != Order::Strict,
                "then",
                "skip is for streams, with order strict",
            ),
            Then::Block { every } => {
                refuse(every.is_zero(), "then.block.every", ZERO);
                refuse(
                    self.order == Order::Any,
                    "then",
                    "block needs an order: with any, no delivery waits for another",
                );
            }
        }
        if let Batch::UpTo { size, linger } = self.batch {
            refuse(size == 0, "batch.upTo.size", "is 0");
            refuse(linger.is_zero(), "batch.upTo.linger", ZERO);
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(InvalidPolicy { faults })
        }
    }
}

const ZERO: &str = "is zero";
const STRICT: &str = "does not go with order strict, where nothing may wait for a tick";

/// An invalid policy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidPolicy {
    /// All faults.
    pub faults: Vec<PolicyFault>,
}

/// A fault of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
#[non_exhaustive]
pub struct PolicyFault {
    /// The field, as it is written in YAML.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl std::error::Error for InvalidPolicy {}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid policy: ")?;
        for (n, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
