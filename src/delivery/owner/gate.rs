//! Whether a place outside takes attempts, and how many are in progress there from this process.
//!
//! A [`Gate`] is what is known of a place, for all owners of a runtime: after some failures in a row it closes, and then one attempt
//! after the other asks whether the place works again. A [`Door`] is one owner's way there, with a number of permits. What is known
//! here is lost with the process, and only ever delays an attempt.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::target::Goal;
use crate::sdk::TypeName;
use crate::time::Timestamp;

/// More attempts than this do not wait for a permit, they come back later.
const MAX_WAITING: usize = 1024;
/// Those who come back do so one after the other, this far apart.
const PACE: Duration = Duration::from_millis(5);
/// One that found no permit comes back after this.
const BUSY: Duration = Duration::from_secs(1);
/// This many places are remembered before those are forgotten that nothing uses.
const MANY: usize = 1024;
/// A success is told to those who wait at most this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// When attempts at a destination that keeps failing are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Circuit {
    /// After so many failures in a row. Default 5.
    pub failures: u32,
    /// From then on one attempt in this time asks whether the destination works again; the others wait untried. Default 1 s.
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

/// What is known of all places: one for all owners of a runtime, so that what one of them learns counts for the others.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    gates: Known<Arc<str>, Gate>,
    /// Who keeps lists of those who wait, and for which place only, if for one.
    lists: Mutex<BTreeMap<TypeName, Option<Arc<str>>>>,
    /// Functions that stand in for others which exist no more.
    stand_ins: Mutex<BTreeSet<TypeName>>,
    /// What is told of each place.
    #[cfg(feature = "runtime")]
    pub(crate) figures: super::figures::Figures,
}

impl Gates {
    pub(crate) fn of(&self, destination: &Arc<str>) -> Arc<Gate> {
        self.gates.get(destination, Gate::default)
    }

    /// Takes note of a function that keeps a list of those who wait. `only`: for no other place than this.
    pub(crate) fn add_list(&self, function: &TypeName, only: Option<Arc<str>>) {
        let mut lists = locked(&self.lists);
        match lists.get_mut(function) {
            None => _ = lists.insert(function.clone(), only),
            Some(known) if *known == only => {}
            Some(known) => *known = None,
        }
    }

    /// Whether the place takes attempts, as far as it is known.
    #[cfg(feature = "runtime")]
    pub(crate) fn circuit(&self, destination: &str, now: Timestamp) -> CircuitState {
        let gate = locked(&self.gates.0).0.get(destination).cloned();
        gate.map_or(CircuitState::Closed, |gate| {
            locked(&gate.state).circuit(now)
        })
    }

    #[cfg(feature = "runtime")]
    pub(crate) fn add_stand_in(&self, function: &TypeName) {
        locked(&self.stand_ins).insert(function.clone());
    }

    pub(super) fn has_stand_in(&self, function: &TypeName) -> bool {
        locked(&self.stand_ins).contains(function)
    }

    /// The functions at which somebody may wait for the place.
    pub(crate) fn lists(&self, destination: &str) -> Vec<TypeName> {
        let lists = locked(&self.lists);
        let may = lists
            .iter()
            .filter(|(_, only)| only.as_deref().is_none_or(|only| only == destination));
        may.map(|(function, _)| function.clone()).collect()
    }
}

/// Values by key, made when first asked for. Those that nothing uses are forgotten when there are many.
#[derive(Debug)]
struct Known<K, V>(Mutex<(HashMap<K, Arc<V>>, usize)>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::new((HashMap::new(), MANY)))
    }
}

impl<K: Eq + Hash + Clone, V> Known<K, V> {
    fn get(&self, key: &K, make: impl FnOnce() -> V) -> Arc<V> {
        let (known, many) = &mut *locked(&self.0);
        if let Some(value) = known.get(key) {
            return Arc::clone(value);
        }
        if known.len() >= *many {
            known.retain(|_, value| Arc::strong_count(value) > 1);
            *many = MANY.max(known.len() * 2); // looked through seldom, however many are in use
        }
        let value = Arc::new(make());
        known.insert(key.clone(), Arc::clone(&value));
        value
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One owner's doors.
#[derive(Debug, Default)]
pub(super) struct Doors(Known<Arc<str>, Door>);

impl Doors {
    pub(super) fn of(&self, goal: &Goal, gates: &Gates) -> Arc<Door> {
        self.0.get(&goal.name, || {
            Door::new(gates.of(&goal.name), goal.max_in_flight)
        })
    }
}

/// One owner's way to a place.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) gate: Arc<Gate>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Whether an attempt may be made now.
#[derive(Debug)]
pub(super) enum Admission {
    /// It may, as long as the permit is held.
    Granted {
        permit: OwnedSemaphorePermit,
        /// As the one that asks whether the place works again.
        asks: bool,
    },
    /// Not before this time.
    Later(Timestamp),
}

impl Door {
    fn new(gate: Arc<Gate>, permits: NonZeroUsize) -> Self {
        Self {
            gate,
            permits: Arc::new(Semaphore::new(permits.get().min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for a permit, at most half of `timeout`. Those who are sent away are spread over `spread`.
    pub(super) async fn admit(
        &self,
        now: Timestamp,
        timeout: Duration,
        spread: Duration,
    ) -> Admission {
        let asks = match locked(&self.gate.state).admission(now, timeout, spread) {
            Ok(asks) => asks,
            Err(later) => return Admission::Later(later),
        };
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Admission::Granted { permit, asks };
        }
        let place = Place::take(&self.waiting);
        if place.is_some() {
            let permit = Arc::clone(&self.permits).acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(timeout / 2, permit).await {
                return Admission::Granted { permit, asks };
            }
        }
        Admission::Later(locked(&self.gate.state).send_away(now + BUSY, spread))
    }
}

/// What is known of a place.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Closed until then; later one attempt at a time may ask.
    closed_until: Option<Timestamp>,
    /// One asks, and will have its answer by then.
    asking_until: Option<Timestamp>,
    /// How many were sent away since the gate closed.
    sent_away: u64,
    reported_at: Option<Timestamp>,
    /// How many wait, by the function that keeps their list.
    waiting: BTreeMap<TypeName, u64>,
}

/// What an attempt tells of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answers, whatever it thinks of the unit.
    Works,
    /// It does not, or says that it cannot.
    Fails,
}

impl Gate {
    /// Takes note of how an attempt went. `Some` when that opened or closed the gate: how many wait.
    pub(super) fn note(&self, sign: Sign, now: Timestamp, circuit: Option<Circuit>) -> Option<u64> {
        let mut state = locked(&self.state);
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
        let changed = was_closed != state.closed_until.is_some();
        changed.then(|| state.waiting.values().sum())
    }

    /// Takes note of how many wait in one list.
    pub(super) fn set_waiting(&self, list: &TypeName, waiting: u64) {
        let mut state = locked(&self.state);
        match state.waiting.get_mut(list) {
            Some(known) => *known = waiting,
            None => _ = state.waiting.insert(list.clone(), waiting),
        }
    }

    /// Whether a success should be told to those who wait: not more often than once a second.
    pub(super) fn may_report(&self, now: Timestamp) -> bool {
        let mut state = locked(&self.state);
        let is_due = state
            .reported_at
            .is_none_or(|last| now < last || now.since(last) >= REPORT_INTERVAL);
        if is_due {
            state.reported_at = Some(now);
        }
        is_due
    }
}

/// Whether a place takes attempts, in the words of the circuit.
#[cfg(feature = "runtime")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CircuitState {
    /// It does.
    Closed,
    /// One attempt asks, or may ask.
    HalfOpen,
    /// It does not.
    Open,
}

impl State {
    #[cfg(feature = "runtime")]
    fn circuit(&self, now: Timestamp) -> CircuitState {
        match (self.closed_until, self.asking_until) {
            (None, _) => CircuitState::Closed,
            (Some(_), Some(until)) if now < until => CircuitState::HalfOpen,
            (Some(until), _) if now < until => CircuitState::Open,
            (Some(_), _) => CircuitState::HalfOpen,
        }
    }

    /// Whether one that comes now may go on, and is the one that asks; or when it may come back.
    fn admission(
        &mut self,
        now: Timestamp,
        timeout: Duration,
        spread: Duration,
    ) -> Result<bool, Timestamp> {
        let Some(closed_until) = self.closed_until else {
            return Ok(false);
        };
        if now < self.asking_until.unwrap_or(closed_until) {
            // Who asks may be answered at once: nobody waits out the whole time that the answer may take.
            let earliest = closed_until.max(now + BUSY);
            return Err(self.send_away(earliest, spread));
        }
        self.asking_until = Some(now + timeout);
        Ok(true)
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

    fn door(permits: usize) -> Door {
        Door::new(Arc::default(), NonZeroUsize::new(permits).unwrap())
    }

    async fn later(door: &Door, now: u64) -> Option<u64> {
        match door.admit(at(now), TIMEOUT, SPREAD).await {
            Admission::Granted { .. } => None,
            Admission::Later(at) => Some(at.as_millis()),
        }
    }

    #[test]
    fn a_list_for_one_place_is_not_asked_for_another() {
        let gates = Gates::default();
        let (one, all) = (TypeName::new("p/one"), TypeName::new("p/all"));
        gates.add_list(&one, Some("http://a:80".into()));
        gates.add_list(&all, Some("http://a:80".into()));
        gates.add_list(&all, Some("http://b:80".into()));
        assert_eq!(gates.lists("http://a:80"), [all.clone(), one]);
        assert_eq!(gates.lists("http://c:80"), [all]);
    }

    #[test]
    fn places_that_nothing_uses_are_forgotten_when_there_are_many() {
        let gates = Gates::default();
        let used = gates.of(&Arc::from("used"));
        for n in 0..3 * MANY {
            gates.of(&Arc::from(n.to_string()));
        }
        assert!(locked(&gates.gates.0).0.len() <= MANY);
        assert!(Arc::ptr_eq(&used, &gates.of(&Arc::from("used"))));
    }

    #[tokio::test]
    async fn a_gate_closes_after_failures_in_a_row_and_lets_one_ask_at_a_time() {
        let door = door(2);
        let gate = Arc::clone(&door.gate);
        let fails = |now| _ = gate.note(Sign::Fails, at(now), Some(Circuit::default()));
        (0..4).for_each(|_| fails(0));
        assert_eq!(later(&door, 0).await, None, "four failures are not five");
        fails(0);
        assert_eq!(later(&door, 10).await, Some(1_010));
        assert_eq!(later(&door, 10).await, Some(1_015), "one after the other");
        assert_eq!(later(&door, 1_000).await, None, "one asks");
        assert!(
            later(&door, 1_000).await.is_some(),
            "while it asks no other does"
        );
        fails(1_500);
        assert_eq!(later(&door, 2_500).await, None, "the next asks");
        gate.note(Sign::Works, at(2_600), Some(Circuit::default()));
        assert_eq!(later(&door, 2_600).await, None);
    }

    #[cfg(feature = "runtime")]
    #[test]
    fn the_circuit_is_open_until_one_may_ask() {
        let gates = Gates::default();
        let gate = gates.of(&Arc::from("crm"));
        let circuit = |now| gates.circuit("crm", at(now));
        assert_eq!(circuit(0), CircuitState::Closed);
        for _ in 0..5 {
            gate.note(Sign::Fails, at(0), Some(Circuit::default()));
        }
        assert_eq!(circuit(999), CircuitState::Open);
        assert_eq!(circuit(1_000), CircuitState::HalfOpen);
        gate.note(Sign::Works, at(1_000), Some(Circuit::default()));
        assert_eq!(circuit(1_000), CircuitState::Closed);
        assert_eq!(gates.circuit("unknown", at(0)), CircuitState::Closed);
    }

    #[tokio::test]
    async fn a_question_without_an_answer_does_not_keep_the_gate_closed() {
        let door = door(2);
        let gate = Arc::clone(&door.gate);
        gate.set_waiting(&TypeName::new("p/list"), 7);
        let closed: Vec<bool> = (0..6)
            .map(|_| gate.note(Sign::Fails, at(0), Some(Circuit::default())) == Some(7))
            .collect();
        assert_eq!(closed, [false, false, false, false, true, false]);
        assert_eq!(later(&door, 1_000).await, None);
        assert!(later(&door, 30_999).await.is_some());
        assert_eq!(later(&door, 31_000).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_permit_in_half_the_deadline_a_request_comes_back_later() {
        let door = door(1);
        let Admission::Granted { permit, .. } = door.admit(at(0), TIMEOUT, SPREAD).await else {
            panic!("the only permit");
        };
        let start = tokio::time::Instant::now();
        assert_eq!(later(&door, 0).await, Some(1_000));
        assert_eq!(start.elapsed(), TIMEOUT / 2);
        drop(permit);
        assert_eq!(later(&door, 0).await, None);
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
        let gate = Gate::default();
        assert!(gate.may_report(at(5_000)));
        assert!(!gate.may_report(at(5_999)));
        assert!(gate.may_report(at(6_000)));
        assert!(
            gate.may_report(at(10)),
            "a clock that stepped back does not silence it"
        );
    }
}
