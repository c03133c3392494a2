//! When jobs are attempted.

use std::time::Duration;

use crate::delivery::engine::{Batch, Cron, Order, Policy, Retry, Start};
use crate::document::{At, Complaint, Node, scalar};
use crate::pipeline::read_retry;
use crate::time::{Timestamp, span};

/// When the jobs of an action are attempted, and how often.
///
/// The schedule of an action overrides that of its destination, which overrides that of the document. Without any, the first attempt is made
/// after an hour, and 72 retries follow, one every hour.
///
/// ```
/// use stateful_functions::jobs::Schedule;
///
/// let at_once = Schedule::realtime().max_retries(5);
/// let hourly = Schedule::default();
/// let at_night = Schedule::every("0 3 * * *")?;
/// # assert_ne!(at_once, hourly);
/// # let _ = at_night;
/// # Ok::<(), stateful_functions::jobs::InvalidInterval>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    realtime: bool,
    interval: Interval,
    max_retries: Option<u32>,
    /// Everything about retries, instead of the interval.
    retry: Option<Policy>,
}

#[derive(Debug, Clone, PartialEq)]
enum Interval {
    Every(Duration),
    Cron(Cron),
}

/// Not an interval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; write `@every 1h`, a duration such as `30s`, or a cron expression such as `0 3 * * *`"
)]
pub struct InvalidInterval(String);

impl Default for Schedule {
    /// `{realtime: false, interval: "@every 1h", maxRetries: 72}`.
    fn default() -> Self {
        Self {
            realtime: false,
            interval: Interval::Every(Duration::from_secs(3600)),
            max_retries: None,
            retry: None,
        }
    }
}

const DEFAULT_MAX_RETRIES: u32 = 72;

impl Schedule {
    /// The first attempt is made at once; retries follow every hour.
    pub fn realtime() -> Self {
        Self {
            realtime: true,
            ..Self::default()
        }
    }

    /// The first attempt and all others are made at the times of an interval: `@every 5m`, `5m`, `@hourly`, or a cron expression in UTC.
    ///
    /// # Errors
    /// If it is neither.
    pub fn every(interval: &str) -> Result<Self, InvalidInterval> {
        Ok(Self {
            interval: Interval::parse(interval)?,
            ..Self::default()
        })
    }

    /// Sets the number of attempts after the first; 0 for none.
    #[must_use]
    pub const fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// Sets everything about retries, instead of the interval.
    #[must_use]
    pub fn retry(mut self, policy: Policy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// When a job that is submitted `now` is first due; `None` for at once.
    pub(super) fn first_due(&self, now: Timestamp) -> Option<Timestamp> {
        let ticks = match &self.interval {
            _ if self.realtime => return None,
            Interval::Every(gap) => Retry::Every(*gap),
            Interval::Cron(cron) => Retry::Cron(cron.clone()),
        };
        ticks.next_tick(now)
    }

    /// The policy of a job's delivery.
    pub(super) fn policy(&self) -> Policy {
        let mut policy = match &self.retry {
            Some(policy) => policy.clone(),
            None => {
                let mut policy = Policy::blacksmith();
                policy.start = Start::Now;
                policy.batch = Batch::Single;
                policy.retry = match &self.interval {
                    Interval::Every(gap) => Retry::Every(*gap),
                    Interval::Cron(cron) => Retry::Cron(cron.clone()),
                };
                policy.max_retries(DEFAULT_MAX_RETRIES)
            }
        };
        if let Some(retries) = self.max_retries {
            policy = policy.max_retries(retries);
        }
        // Jobs without a key have no order.
        policy.order = Order::Key;
        policy
    }

    /// Reads `{realtime?, interval?, maxRetries?, retry?}`.
    pub(super) fn read(at: &At<'_>) -> Option<Self> {
        let fields = at.clone().fields()?;
        let mut schedule = Self::default();
        let whole = [
            fields.set("realtime", &mut schedule.realtime, At::boolean),
            fields.set("interval", &mut schedule.interval, |at| {
                at.parsed(Interval::parse)
            }),
            fields.set("maxRetries", &mut schedule.max_retries, |at| {
                at.read(retries).map(Some)
            }),
            fields.set("retry", &mut schedule.retry, |at| {
                read_retry(at.clone()).map(Some)
            }),
        ];
        if schedule.retry.is_some() && fields.has("maxRetries") {
            fields.fault(
                "maxRetries",
                "cannot be combined with `retry`; write `attempts` there, which counts the first attempt, too",
            );
            return None;
        }
        fields.finish();
        (!whole.contains(&false)).then_some(schedule)
    }
}

fn retries(node: &Node) -> Result<u32, Complaint> {
    let found = scalar::whole(node)?;
    u32::try_from(found).map_err(|_| Complaint::from("is too large".to_owned()))
}

impl Interval {
    fn parse(text: &str) -> Result<Self, InvalidInterval> {
        let text = text.trim();
        let every = match text.strip_prefix("@every ") {
            Some(every) => every,
            None if text.starts_with('@') || text.contains(' ') => {
                let cron = text.parse::<Cron>();
                return cron
                    .map(Self::Cron)
                    .map_err(|err| InvalidInterval(err.to_string()));
            }
            None => text,
        };
        match span::parse(every) {
            Ok(gap) if gap.is_zero() => Err(InvalidInterval("the interval is zero".to_owned())),
            Ok(gap) => Ok(Self::Every(gap)),
            Err(err) => Err(InvalidInterval(err.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn dl_18_no_retries_means_one_attempt_and_the_default_is_72() {
        assert_eq!(Schedule::default().policy().attempts, Some(73));
        assert_eq!(
            Schedule::realtime().max_retries(0).policy().attempts,
            Some(1)
        );
    }

    #[test]
    fn a_realtime_job_is_due_at_once_and_others_at_the_next_tick() {
        assert_eq!(Schedule::realtime().first_due(at(10)), None);
        assert_eq!(Schedule::default().first_due(at(10)), Some(at(3610)));
        let daily = Schedule::every("@daily").unwrap();
        assert_eq!(daily.first_due(at(10)), Some(at(86_400)));
        let short = Schedule::every("@every 1m30s").unwrap();
        assert_eq!(short.first_due(at(10)), Some(at(100)));
        for wrong in ["", "@every", "@every 0s", "soon", "61 * * * *", "5"] {
            assert!(Schedule::every(wrong).is_err(), "{wrong}");
        }
    }
}
