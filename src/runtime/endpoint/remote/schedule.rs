//! When a call is retried: the schedules of StateFun's two transports, without a clock.

use std::time::Duration;

use super::failed::Failed;
use crate::module::Transport;
use crate::random::Random;

const MILLISECOND: Duration = Duration::from_millis(1);
/// The range of the minimum duration of an attempt, so that calls cut off together are not retried together.
const LEAST: Duration = Duration::from_millis(7);
const MOST: Duration = Duration::from_millis(13);

/// The schedule of the attempts of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    /// The time budget for all attempts and waits.
    budget: Duration,
    /// The wait after the first failure; it doubles with each further one.
    first_wait: Duration,
    /// With no more than this left, there is no further attempt.
    too_little: Duration,
    /// Whether the remaining time is checked again after the wait.
    looks_after_wait: bool,
}

impl Schedule {
    pub(super) const fn of(transport: &Transport) -> Self {
        match transport {
            Transport::Async(transport) => Self {
                budget: transport.call,
                first_wait: Duration::from_millis(4),
                too_little: MILLISECOND,
                looks_after_wait: true,
            },
            Transport::OkHttp(transport) => Self {
                budget: transport.call,
                first_wait: Duration::from_millis(10),
                too_little: Duration::ZERO,
                looks_after_wait: false,
            },
        }
    }

    pub(super) const fn left(&self, elapsed: Duration) -> Duration {
        self.budget.saturating_sub(elapsed)
    }

    /// How long an attempt may take. `minimum` is called when little time is left.
    pub(super) fn attempt_limit(
        &self,
        left: Duration,
        minimum: impl FnOnce() -> Duration,
    ) -> Duration {
        if left >= MOST {
            left
        } else {
            left.max(minimum())
        }
    }

    /// The wait after this many failures; `None` if the budget is used up.
    pub(super) fn wait(&self, failures: u32, left: Duration) -> Option<Duration> {
        if left <= self.too_little {
            return None;
        }
        let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        Some(self.first_wait.saturating_mul(doubled).min(left))
    }

    /// Whether there is another attempt after a wait.
    pub(super) fn goes_on(&self, left: Duration) -> bool {
        !self.looks_after_wait || left > self.too_little
    }
}

/// The failure to report: an attempt that had hardly any time must not hide why the one before it failed.
pub(super) fn telling(limit: Duration, failed: Failed, before: Option<Failed>) -> Failed {
    match before {
        Some(before) if failed.io && limit < MOST => before,
        _ => failed,
    }
}

/// The minimum duration of an attempt.
pub(super) fn minimum(random: &mut Random) -> Duration {
    let spread = u64::try_from((MOST - LEAST).as_nanos()).unwrap_or(u64::MAX);
    LEAST + Duration::from_nanos(random.below(spread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{AsyncTransport, OkHttpTransport};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn over_async(budget: Duration) -> Schedule {
        Schedule::of(&Transport::Async(AsyncTransport {
            call: budget,
            ..AsyncTransport::default()
        }))
    }

    fn over_okhttp(budget: Duration) -> Schedule {
        Schedule::of(&Transport::OkHttp(OkHttpTransport {
            call: budget,
            ..OkHttpTransport::default()
        }))
    }

    /// A call all of whose attempts fail, on virtual time.
    struct Played {
        /// When each attempt began.
        attempts: Vec<Duration>,
        ended: Duration,
    }

    /// `takes`: how long an attempt would take by itself.
    fn play(
        schedule: Schedule,
        random: &mut Random,
        mut takes: impl FnMut(&mut Random) -> Duration,
    ) -> Played {
        let (mut now, mut attempts) = (Duration::ZERO, Vec::new());
        for failures in 1.. {
            attempts.push(now);
            let limit = schedule.attempt_limit(schedule.left(now), || minimum(random));
            now += takes(random).min(limit);
            match schedule.wait(failures, schedule.left(now)) {
                Some(wait) => now += wait,
                None => break,
            }
            if !schedule.goes_on(schedule.left(now)) {
                break;
            }
        }
        Played {
            attempts,
            ended: now,
        }
    }

    fn begins(schedule: Schedule) -> Vec<u64> {
        let played = play(schedule, &mut Random::seeded(1), |_| Duration::ZERO);
        let millis = |at: &Duration| u64::try_from(at.as_millis()).unwrap();
        played.attempts.iter().map(millis).collect()
    }

    #[test]
    fn sf_24_waits_double_from_4_ms_and_end_with_the_budget() {
        assert_eq!(begins(over_async(ms(100))), [0, 4, 12, 28, 60]);
        // The wait is cut to the rest, and then nothing is left.
        assert_eq!(begins(over_async(ms(61))), [0, 4, 12, 28]);
        assert_eq!(begins(over_async(ms(62))), [0, 4, 12, 28, 60]);
        assert_eq!(begins(over_async(ms(1))), [0]);
        assert_eq!(begins(over_async(Duration::from_secs(120))).len(), 15);
    }

    #[test]
    fn sf_25_waits_double_from_10_ms_and_an_attempt_follows_the_last_one() {
        assert_eq!(begins(over_okhttp(ms(100))), [0, 10, 30, 70, 100]);
        assert_eq!(begins(over_okhttp(ms(30))), [0, 10, 30]);
        assert_eq!(begins(over_okhttp(ms(31))), [0, 10, 30, 31]);
    }

    #[test]
    fn sf_26_a_call_stays_within_its_budget_and_one_minimum_attempt() {
        let mut random = Random::seeded(26);
        for round in 0..10_000 {
            let budget = Duration::from_micros(1 + random.below(400_000));
            let longest = 1 + random.below(300_000);
            for schedule in [over_async(budget), over_okhttp(budget)] {
                let played = play(schedule, &mut random, |random| {
                    Duration::from_micros(random.below(longest))
                });
                assert!(
                    played.ended < budget + MOST,
                    "round {round}: {:?} of {budget:?}",
                    played.ended
                );
            }
            // One that hangs is cut off.
            let played = play(over_async(budget), &mut random, |_| Duration::MAX);
            let longest = budget
                .max(LEAST)
                .max(if budget < MOST { MOST } else { budget });
            assert!(played.ended <= longest, "{:?} of {budget:?}", played.ended);
        }
    }

    #[test]
    fn an_attempt_without_time_does_not_hide_why_the_others_failed() {
        let failed = |cause: &str, io| Failed {
            cause: cause.to_owned(),
            remedy: None,
            retry: true,
            io,
            asked_wait: None,
        };
        let (answered, cut) = (failed("status 500", false), failed("cut off", true));
        let told = |limit, before| telling(limit, cut.clone(), before).cause;
        assert_eq!(told(ms(9), Some(answered.clone())), "status 500");
        assert_eq!(told(ms(13), Some(answered.clone())), "cut off");
        assert_eq!(told(ms(9), None), "cut off");
        assert_eq!(
            telling(ms(9), answered.clone(), Some(cut.clone())),
            answered
        );
    }

    #[test]
    fn sf_26_the_minimum_lies_between_7_and_13_ms() {
        let mut random = Random::seeded(1);
        let all: Vec<_> = (0..1000).map(|_| minimum(&mut random)).collect();
        assert!(all.iter().all(|least| (LEAST..MOST).contains(least)));
        assert!(all.iter().any(|least| *least < ms(8)) && all.iter().any(|least| *least > ms(12)));
    }
}
