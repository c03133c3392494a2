//! How many requests may be under way at one destination from this process, and whether any should be.
//!
//! A gate has a number of permits. After some failures in a row it closes: then one request after the other asks whether the
//! destination works again, and everything else is told when to come back. What is kept here is lost with the process, and
//! only ever delays an attempt.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::timestamp::Timestamp;

/// More requests than this do not wait for a permit, they come back later.
const MAX_WAITING: usize = 1024;
/// Those who come back do so one after the other, this far apart.
const PACE: Duration = Duration::from_millis(5);
/// A request that found no permit comes back after this.
const BUSY: Duration = Duration::from_secs(1);
/// So many destinations are remembered; of more, those are forgotten that nothing uses.
const MAX_DESTINATIONS: usize = 1024;
/// A success is told to those who wait at most this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// When requests to a destination that keeps failing are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Circuit {
    /// After so many failures in a row. Default 5.
    pub failures: u32,
    /// From then on one request in this time asks whether the destination works again; the others wait untried. Default 1 s.
    pub open_for: Duration,
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(1),
        }
    }
}

/// The gates of all destinations.
#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<HashMap<Arc<str>, Arc<Gate>>>);

impl Gates {
    pub(crate) fn of(&self, destination: &Arc<str>, permits: NonZeroUsize) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(destination) {
            return Arc::clone(gate);
        }
        if gates.len() >= MAX_DESTINATIONS {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let gate = Arc::new(Gate::new(permits));
        gates.insert(Arc::clone(destination), Arc::clone(&gate));
        gate
    }
}

#[derive(Debug)]
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Closed until then; later one request at a time may ask.
    closed_until: Option<Timestamp>,
    /// A request asks, and will have its answer by then.
    asking_until: Option<Timestamp>,
    /// How many were sent away since the gate closed.
    sent_away: u64,
    reported_at: Option<Timestamp>,
}

/// Whether a request may be made now.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It may, as long as this is held.
    Granted(OwnedSemaphorePermit),
    /// Not before this time.
    Later(Timestamp),
}

/// What an attempt tells of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It answers, whatever it thinks of the record.
    Works,
    /// It does not, or says that it cannot.
    Fails,
}

impl Gate {
    fn new(permits: NonZeroUsize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits.get().min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit, at most half of `timeout`. Those who are sent away are spread over `spread`.
    pub(crate) async fn admit(
        &self,
        now: Timestamp,
        timeout: Duration,
        spread: Duration,
    ) -> Admission {
        if let Some(later) = self.state().hold_back(now, timeout, spread) {
            return Admission::Later(later);
        }
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Admission::Granted(permit);
        }
        let place = Place::take(&self.waiting);
        if place.is_some() {
            let permit = Arc::clone(&self.permits).acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(timeout / 2, permit).await {
                return Admission::Granted(permit);
            }
        }
        Admission::Later(self.state().send_away(now + BUSY, spread))
    }

    /// Takes note of how an attempt went. True when that opened or closed the gate.
    pub(crate) fn note(&self, sign: Sign, now: Timestamp, circuit: Option<Circuit>) -> bool {
        let mut state = self.state();
        let was_closed = state.closed_until.is_some();
        match (sign, circuit) {
            (Sign::Works, _) => {
                (state.failures, state.sent_away) = (0, 0);
                (state.closed_until, state.asking_until) = (None, None);
            }
            (Sign::Fails, None) => {}
            (Sign::Fails, Some(circuit)) => {
                state.failures = state.failures.saturating_add(1);
                if state.failures >= circuit.failures {
                    state.closed_until = Some(now + circuit.open_for);
                    state.asking_until = None;
                }
            }
        }
        was_closed != state.closed_until.is_some()
    }

    /// Whether a success should be told to those who wait: not more often than once a second.
    pub(crate) fn may_report(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let is_due = state
            .reported_at
            .is_none_or(|last| now < last || now.since(last) >= REPORT_INTERVAL);
        if is_due {
            state.reported_at = Some(now);
        }
        is_due
    }
}

impl State {
    /// When to come back, if the gate is closed. The first who comes after its time is let in, to ask.
    fn hold_back(
        &mut self,
        now: Timestamp,
        timeout: Duration,
        spread: Duration,
    ) -> Option<Timestamp> {
        let closed_until = self.closed_until?;
        let open_at = match self.asking_until {
            Some(answered_by) => answered_by,
            None => closed_until,
        };
        if now < open_at {
            // Who asks may be answered at once: nobody waits out the whole time that the answer may take.
            let earliest = closed_until.max(now + BUSY);
            return Some(self.send_away(earliest, spread));
        }
        self.asking_until = Some(now + timeout);
        None
    }

    fn send_away(&mut self, earliest: Timestamp, spread: Duration) -> Timestamp {
        let turn = u32::try_from(self.sent_away).unwrap_or(u32::MAX);
        self.sent_away += 1;
        let spread = spread.max(PACE).as_millis();
        let offset = (PACE.as_millis() * u128::from(turn)) % spread;
        earliest + Duration::from_millis(u64::try_from(offset).unwrap_or(0))
    }
}

/// A place among those who wait for a permit.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        (before < MAX_WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);
    const SPREAD: Duration = Duration::from_secs(600);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn gate(permits: usize) -> Gate {
        Gate::new(NonZeroUsize::new(permits).unwrap())
    }

    async fn later(gate: &Gate, now: u64) -> Option<u64> {
        match gate.admit(at(now), TIMEOUT, SPREAD).await {
            Admission::Granted(_) => None,
            Admission::Later(at) => Some(at.as_millis()),
        }
    }

    #[tokio::test]
    async fn a_gate_closes_after_failures_in_a_row_and_lets_one_ask_at_a_time() {
        let gate = gate(2);
        let fails = |now| _ = gate.note(Sign::Fails, at(now), Some(Circuit::default()));
        (0..4).for_each(|_| fails(0));
        assert_eq!(later(&gate, 0).await, None, "four failures are not five");
        fails(0);
        assert_eq!(later(&gate, 10).await, Some(1_010));
        assert_eq!(later(&gate, 10).await, Some(1_015), "one after the other");
        assert_eq!(later(&gate, 1_000).await, None, "one asks");
        assert!(
            later(&gate, 1_000).await.is_some(),
            "while it asks no other does"
        );
        fails(1_500);
        assert_eq!(later(&gate, 2_500).await, None, "the next asks");
        gate.note(Sign::Works, at(2_600), Some(Circuit::default()));
        assert_eq!(later(&gate, 2_600).await, None);
    }

    #[tokio::test]
    async fn a_question_without_an_answer_does_not_keep_the_gate_closed() {
        let gate = gate(2);
        let closed: Vec<bool> = (0..6)
            .map(|_| gate.note(Sign::Fails, at(0), Some(Circuit::default())))
            .collect();
        assert_eq!(closed, [false, false, false, false, true, false]);
        assert_eq!(later(&gate, 1_000).await, None);
        assert!(later(&gate, 30_999).await.is_some());
        assert_eq!(later(&gate, 31_000).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_permit_in_half_the_deadline_a_request_comes_back_later() {
        let gate = gate(1);
        let Admission::Granted(permit) = gate.admit(at(0), TIMEOUT, SPREAD).await else {
            panic!("the only permit");
        };
        let start = tokio::time::Instant::now();
        assert_eq!(later(&gate, 0).await, Some(1_000));
        assert_eq!(start.elapsed(), TIMEOUT / 2);
        drop(permit);
        assert_eq!(later(&gate, 0).await, None);
    }

    #[test]
    fn those_sent_away_are_spread_and_no_further_than_asked() {
        let mut state = State::default();
        let spread = Duration::from_millis(20);
        let back: Vec<u64> = (0..6)
            .map(|_| state.send_away(at(100), spread).as_millis())
            .collect();
        assert_eq!(back, [100, 105, 110, 115, 100, 105]);
    }

    #[test]
    fn a_success_is_told_once_a_second() {
        let gate = gate(1);
        assert!(gate.may_report(at(5_000)));
        assert!(!gate.may_report(at(5_999)));
        assert!(gate.may_report(at(6_000)));
        assert!(
            gate.may_report(at(10)),
            "a clock that stepped back does not silence it"
        );
    }
}
