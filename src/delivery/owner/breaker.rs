//! Whether attempts at a destination are made: after some failures in a row its circuit opens, and then one attempt at a time probes whether
//! the destination works again.
//!
//! Kept in memory only; losing it can delay an attempt, and nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sdk::TypeName;
use crate::time::Timestamp;

/// Deferred attempts are spaced this far apart.
const PACE: Duration = Duration::from_millis(5);
/// Delay before an attempt that found no permit is made again.
const BUSY: Duration = Duration::from_secs(1);
/// A destination that has been away for long is probed at least this often.
const PROBED_AT_LEAST: Duration = Duration::from_secs(30);
/// Minimum interval between two reports of success to the deliveries that wait.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// When attempts at a destination that keeps failing are deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Circuit {
    /// The circuit opens after this many failures in a row. Default 5.
    pub failures: u32,
    /// While it is open, one attempt per this interval probes whether the destination works again; the others wait untried. While the destination
    /// is silent, the interval grows to a tenth of the silence so far, up to 30 s. Default 1 s.
    pub open_for: Duration,
}

/// The wait before the next probe of a destination that has been silent for this long: a tenth of that, within bounds.
pub(super) fn probe_after(every: Duration, silent_for: Duration) -> Duration {
    (silent_for / 10).clamp(every, every.max(PROBED_AT_LEAST))
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(1),
        }
    }
}

/// Whether a destination works, as its last attempts showed.
#[derive(Debug, Default)]
pub(crate) struct CircuitBreaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    failures: u32,
    /// While it is open: since when the destination has been silent.
    silent_since: Option<Timestamp>,
    /// Open until then; afterwards one attempt at a time may probe.
    open_until: Option<Timestamp>,
    /// A probe is in progress, and ends by then.
    probing_until: Option<Timestamp>,
    /// Attempts deferred since the circuit opened.
    deferred: u64,
    reported_at: Option<Timestamp>,
    /// Number of waiting deliveries, by the function that keeps their list.
    waiting: BTreeMap<TypeName, u64>,
}

/// What an attempt shows about its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answers, even if it refuses the unit.
    Works,
    /// It answers that it cannot, which may be due to the unit.
    Fails,
    /// It does not answer, or something in front of it says that it is away.
    Silent,
}

impl CircuitBreaker {
    /// Whether an attempt made now is a probe; or, if none may be made, when to try again.
    pub(super) fn check(
        &self,
        now: Timestamp,
        timeout: Duration,
        spread: Duration,
        must_probe: bool,
    ) -> Result<bool, Timestamp> {
        self.locked().check(now, timeout, spread, must_probe)
    }

    /// When an attempt that found no permit is made again: spread over `spread`, one after the other.
    pub(super) fn defer(&self, now: Timestamp, spread: Duration) -> Timestamp {
        self.locked().defer(now + BUSY, spread)
    }

    /// The state of the circuit.
    #[cfg(feature = "runtime")]
    pub(super) fn circuit(&self, now: Timestamp) -> CircuitState {
        self.locked().circuit(now)
    }

    fn locked(&self) -> MutexGuard<'_, BreakerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the outcome of an attempt. When that opens or closes the circuit, returns the number of waiting deliveries.
    pub(super) fn note(&self, sign: Sign, now: Timestamp, circuit: Option<Circuit>) -> Option<u64> {
        let mut state = self.locked();
        let was_open = state.open_until.is_some();
        match (sign, circuit) {
            (Sign::Works, _) => {
                (state.failures, state.deferred) = (0, 0);
                (state.open_until, state.probing_until) = (None, None);
                state.silent_since = None;
            }
            (Sign::Fails | Sign::Silent, None) => {}
            (Sign::Fails | Sign::Silent, Some(circuit)) => {
                state.failures = state.failures.saturating_add(1);
                if state.failures >= circuit.failures {
                    let since = state.silent_since.filter(|_| sign == Sign::Silent);
                    let since = *state.silent_since.insert(since.unwrap_or(now));
                    let wait = probe_after(circuit.open_for, now.since(since));
                    state.open_until = Some(now + wait);
                    state.probing_until = None;
                }
            }
        }
        let changed = was_open != state.open_until.is_some();
        changed.then(|| state.waiting.values().sum())
    }

    /// Records how many deliveries wait in one list.
    pub(super) fn set_waiting(&self, list: &TypeName, waiting: u64) {
        let mut state = self.locked();
        match state.waiting.get_mut(list) {
            Some(known) => *known = waiting,
            None => _ = state.waiting.insert(list.clone(), waiting),
        }
    }

    /// Whether a success should be reported to the waiting deliveries: at most once a second.
    pub(super) fn may_report(&self, now: Timestamp) -> bool {
        let mut state = self.locked();
        let is_due = state
            .reported_at
            .is_none_or(|last| now < last || now.since(last) >= REPORT_INTERVAL);
        if is_due {
            state.reported_at = Some(now);
        }
        is_due
    }
}

/// The state of a destination's circuit.
#[cfg(feature = "runtime")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CircuitState {
    /// Attempts are made.
    Closed,
    /// One attempt probes, or may probe.
    HalfOpen,
    /// Attempts are deferred.
    Open,
}

impl BreakerState {
    #[cfg(feature = "runtime")]
    fn circuit(&self, now: Timestamp) -> CircuitState {
        match (self.open_until, self.probing_until) {
            (None, _) => CircuitState::Closed,
            (Some(_), Some(until)) if now < until => CircuitState::HalfOpen,
            (Some(until), _) if now < until => CircuitState::Open,
            (Some(_), _) => CircuitState::HalfOpen,
        }
    }

    fn check(
        &mut self,
        now: Timestamp,
        timeout: Duration,
        spread: Duration,
        must_probe: bool,
    ) -> Result<bool, Timestamp> {
        let Some(open_until) = self.open_until else {
            return Ok(false);
        };
        let not_before = match (self.probing_until, must_probe) {
            (Some(until), _) => until,
            (None, true) => now,
            (None, false) => open_until,
        };
        if now < not_before {
            // The probe may return early, so others need not wait for its full timeout.
            let earliest = open_until.max(now + BUSY);
            return Err(self.defer(earliest, spread));
        }
        self.probing_until = Some(now + timeout);
        Ok(true)
    }

    fn defer(&mut self, earliest: Timestamp, spread: Duration) -> Timestamp {
        let turn = u32::try_from(self.deferred).unwrap_or(u32::MAX);
        self.deferred += 1;
        let spread = spread.max(PACE).as_millis();
        let offset = (PACE.as_millis() * u128::from(turn)) % spread;
        earliest + Duration::from_millis(u64::try_from(offset).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[cfg(feature = "runtime")]
    #[test]
    fn the_circuit_is_open_until_a_probe_is_due() {
        let breaker = CircuitBreaker::default();
        let circuit = |now| breaker.circuit(at(now));
        assert_eq!(circuit(0), CircuitState::Closed);
        for _ in 0..5 {
            breaker.note(Sign::Fails, at(0), Some(Circuit::default()));
        }
        assert_eq!(circuit(999), CircuitState::Open);
        assert_eq!(circuit(1_000), CircuitState::HalfOpen);
        breaker.note(Sign::Works, at(1_000), Some(Circuit::default()));
        assert_eq!(circuit(1_000), CircuitState::Closed);
    }

    #[test]
    fn deferred_attempts_are_spread_and_no_further_than_asked() {
        let mut state = BreakerState::default();
        let spread = Duration::from_millis(20);
        let back: Vec<u64> = (0..6)
            .map(|_| state.defer(at(100), spread).as_millis())
            .collect();
        assert_eq!(back, [100, 105, 110, 115, 100, 105]);
    }

    #[test]
    fn a_success_is_reported_once_a_second() {
        let breaker = CircuitBreaker::default();
        assert!(breaker.may_report(at(5_000)));
        assert!(!breaker.may_report(at(5_999)));
        assert!(breaker.may_report(at(6_000)));
        assert!(
            breaker.may_report(at(10)),
            "a clock that stepped back does not silence it"
        );
    }
}
