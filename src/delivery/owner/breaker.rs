//! Whether a destination takes attempts, and how many attempts this process makes there at the same time.
//!
//! All owners of a runtime share one [`CircuitBreaker`] per destination: after some failures in a row it opens, and then one attempt at a
//! time probes whether the destination works again. A [`Limiter`] adds one owner's permits for that destination. All of this is kept in
//! memory only; losing it can delay an attempt, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::target::Goal;
use crate::sdk::TypeName;
use crate::time::Timestamp;

/// Maximum attempts queued for a permit; excess attempts are deferred.
const MAX_WAITING: usize = 1024;
/// Deferred attempts are spaced this far apart.
const PACE: Duration = Duration::from_millis(5);
/// Delay before an attempt that found no permit is made again.
const BUSY: Duration = Duration::from_secs(1);
/// From this many destinations on, unused ones are forgotten.
const MANY: usize = 1024;
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

/// What is known of all destinations. All owners of a runtime share it, so that what one of them learns counts for the others.
#[derive(Debug, Default)]
pub(crate) struct DestinationRegistry {
    breakers: Known<Arc<str>, CircuitBreaker>,
    /// The functions that keep lists of waiting deliveries; with the destination, if a list is for one only.
    lists: Mutex<BTreeMap<TypeName, Option<Arc<str>>>>,
    /// Functions whose addresses keep deliveries, including those that stand in for others which no longer exist.
    keepers: Mutex<BTreeSet<TypeName>>,
    /// Messages of other functions that were dropped, because a destination does not understand them.
    foreign: AtomicU64,
    /// The figures shown for each destination.
    #[cfg(feature = "runtime")]
    pub(crate) figures: super::figures::Figures,
}

impl DestinationRegistry {
    pub(crate) fn of(&self, destination: &Arc<str>) -> Arc<CircuitBreaker> {
        self.breakers.get(destination, CircuitBreaker::default)
    }

    /// Registers a function that keeps a list of waiting deliveries; `only` is its destination, if the list is for one only.
    pub(crate) fn add_list(&self, function: &TypeName, only: Option<Arc<str>>) {
        let mut lists = locked(&self.lists);
        match lists.get_mut(function) {
            None => _ = lists.insert(function.clone(), only),
            Some(known) if *known == only => {}
            Some(known) => *known = None,
        }
    }

    /// The state of the destination's circuit; closed if nothing is known of it.
    #[cfg(feature = "runtime")]
    pub(crate) fn circuit(&self, destination: &str, now: Timestamp) -> CircuitState {
        let breaker = locked(&self.breakers.0).0.get(destination).cloned();
        breaker.map_or(CircuitState::Closed, |breaker| {
            locked(&breaker.state).circuit(now)
        })
    }

    /// Counts a message that was dropped.
    pub(super) fn foreign_message(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// The messages that were dropped since the start.
    #[cfg(feature = "runtime")]
    pub(crate) fn foreign_messages(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Registers a function whose addresses keep deliveries.
    pub(crate) fn add_keeper(&self, function: &TypeName) {
        locked(&self.keepers).insert(function.clone());
    }

    pub(super) fn has_keeper(&self, function: &TypeName) -> bool {
        locked(&self.keepers).contains(function)
    }

    /// The functions whose lists may hold deliveries for this destination.
    pub(crate) fn lists(&self, destination: &str) -> Vec<TypeName> {
        let lists = locked(&self.lists);
        let may = lists
            .iter()
            .filter(|(_, only)| only.as_deref().is_none_or(|only| only == destination));
        may.map(|(function, _)| function.clone()).collect()
    }
}

/// Values by key, created on first use. Once there are many, unused ones are forgotten.
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
            *many = MANY.max(known.len() * 2); // so that the scan stays rare, however many are in use
        }
        let value = Arc::new(make());
        known.insert(key.clone(), Arc::clone(&value));
        value
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One owner's limiters, one per destination.
#[derive(Debug, Default)]
pub(super) struct Limiters(Known<Arc<str>, Limiter>);

impl Limiters {
    pub(super) fn of(&self, goal: &Goal, registry: &DestinationRegistry) -> Arc<Limiter> {
        self.0.get(&goal.name, || {
            Limiter::new(registry.of(&goal.name), goal.max_in_flight)
        })
    }
}

/// One owner's permits for a destination, and the circuit breaker that it shares with the others.
#[derive(Debug)]
pub(super) struct Limiter {
    pub(super) breaker: Arc<CircuitBreaker>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Whether an attempt may be made now.
#[derive(Debug)]
pub(super) enum Permit {
    /// Yes, while the permit is held.
    Granted {
        permit: OwnedSemaphorePermit,
        /// It probes whether the destination works again.
        is_probe: bool,
    },
    /// No; try again at this time.
    Deferred(Timestamp),
}

impl Limiter {
    fn new(breaker: Arc<CircuitBreaker>, permits: NonZeroUsize) -> Self {
        Self {
            breaker,
            permits: Arc::new(Semaphore::new(permits.get().min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for a permit, for at most half of `timeout`. Deferred attempts are spread over `spread`. With `must_probe` the attempt is a probe
    /// whose time was chosen elsewhere.
    pub(super) async fn acquire(
        &self,
        now: Timestamp,
        timeout: Duration,
        spread: Duration,
        must_probe: bool,
    ) -> Permit {
        let is_probe = match locked(&self.breaker.state).check(now, timeout, spread, must_probe) {
            Ok(is_probe) => is_probe,
            Err(later) => return Permit::Deferred(later),
        };
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Permit::Granted { permit, is_probe };
        }
        let waiter = Waiter::take(&self.waiting);
        if waiter.is_some() {
            let permit = Arc::clone(&self.permits).acquire_owned();
            // Boxed, because nearly all attempts find a permit and need not carry its future along.
            let permit = Box::pin(tokio::time::timeout(timeout / 2, permit));
            if let Ok(Ok(permit)) = permit.await {
                return Permit::Granted { permit, is_probe };
            }
        }
        Permit::Deferred(locked(&self.breaker.state).defer(now + BUSY, spread))
    }
}

/// Whether a destination works, as its last attempts showed.
#[derive(Debug, Default)]
pub(crate) struct CircuitBreaker {
    state: Mutex<BreakerState>,
}

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
    /// Records the outcome of an attempt. When that opens or closes the circuit, returns the number of waiting deliveries.
    pub(super) fn note(&self, sign: Sign, now: Timestamp, circuit: Option<Circuit>) -> Option<u64> {
        let mut state = locked(&self.state);
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
        let mut state = locked(&self.state);
        match state.waiting.get_mut(list) {
            Some(known) => *known = waiting,
            None => _ = state.waiting.insert(list.clone(), waiting),
        }
    }

    /// Whether a success should be reported to the waiting deliveries: at most once a second.
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

    /// Whether an attempt made now is a probe; or, if none may be made, when to try again.
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

/// Counts as waiting for a permit until it is dropped.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let waiter = Self(waiting);
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        (before < MAX_WAITING).then_some(waiter)
    }
}

impl Drop for Waiter<'_> {
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

    fn limiter(permits: usize) -> Limiter {
        Limiter::new(Arc::default(), NonZeroUsize::new(permits).unwrap())
    }

    async fn later(limiter: &Limiter, now: u64) -> Option<u64> {
        match limiter.acquire(at(now), TIMEOUT, SPREAD, false).await {
            Permit::Granted { .. } => None,
            Permit::Deferred(at) => Some(at.as_millis()),
        }
    }

    #[test]
    fn a_list_for_one_destination_is_not_used_for_another() {
        let registry = DestinationRegistry::default();
        let (one, all) = (TypeName::new("p/one"), TypeName::new("p/all"));
        registry.add_list(&one, Some("http://a:80".into()));
        registry.add_list(&all, Some("http://a:80".into()));
        registry.add_list(&all, Some("http://b:80".into()));
        assert_eq!(registry.lists("http://a:80"), [all.clone(), one]);
        assert_eq!(registry.lists("http://c:80"), [all]);
    }

    #[test]
    fn unused_destinations_are_forgotten_when_there_are_many() {
        let registry = DestinationRegistry::default();
        let used = registry.of(&Arc::from("used"));
        for n in 0..3 * MANY {
            registry.of(&Arc::from(n.to_string()));
        }
        assert!(locked(&registry.breakers.0).0.len() <= MANY);
        assert!(Arc::ptr_eq(&used, &registry.of(&Arc::from("used"))));
    }

    #[tokio::test]
    async fn a_circuit_opens_after_failures_in_a_row_and_lets_one_probe_through_at_a_time() {
        let limiter = limiter(2);
        let breaker = Arc::clone(&limiter.breaker);
        let fails = |now| _ = breaker.note(Sign::Fails, at(now), Some(Circuit::default()));
        (0..4).for_each(|_| fails(0));
        assert_eq!(later(&limiter, 0).await, None, "four failures are not five");
        fails(0);
        assert_eq!(later(&limiter, 10).await, Some(1_010));
        assert_eq!(
            later(&limiter, 10).await,
            Some(1_015),
            "one after the other"
        );
        assert_eq!(later(&limiter, 1_000).await, None, "one probes");
        assert!(
            later(&limiter, 1_000).await.is_some(),
            "no other attempt is made during the probe"
        );
        fails(1_500);
        assert_eq!(later(&limiter, 2_500).await, None, "the next one probes");
        breaker.note(Sign::Works, at(2_600), Some(Circuit::default()));
        assert_eq!(later(&limiter, 2_600).await, None);
    }

    #[tokio::test]
    async fn a_silent_destination_is_probed_less_often_and_by_others_at_their_own_time() {
        let limiter = limiter(2);
        let fails = |sign, now| {
            _ = limiter
                .breaker
                .note(sign, at(now), Some(Circuit::default()))
        };
        (0..5).for_each(|_| fails(Sign::Silent, 0));
        fails(Sign::Silent, 100_000);
        assert!(later(&limiter, 109_999).await.is_some());
        let probe = limiter.acquire(at(109_999), TIMEOUT, SPREAD, true).await;
        assert!(matches!(probe, Permit::Granted { is_probe: true, .. }));
        let another = limiter.acquire(at(109_999), TIMEOUT, SPREAD, true).await;
        assert!(matches!(another, Permit::Deferred(_)), "one at a time");
        fails(Sign::Silent, 1_000_000);
        assert!(later(&limiter, 1_029_999).await.is_some());
        assert_eq!(
            later(&limiter, 1_030_000).await,
            None,
            "after half a minute at the latest"
        );
        fails(Sign::Fails, 1_030_000);
        assert_eq!(
            later(&limiter, 1_031_000).await,
            None,
            "it answers something"
        );
        let hour = Duration::from_secs(3600);
        assert_eq!(
            probe_after(hour, 3 * hour),
            hour,
            "never more often than configured"
        );
    }

    #[cfg(feature = "runtime")]
    #[test]
    fn the_circuit_is_open_until_a_probe_is_due() {
        let registry = DestinationRegistry::default();
        let breaker = registry.of(&Arc::from("crm"));
        let circuit = |now| registry.circuit("crm", at(now));
        assert_eq!(circuit(0), CircuitState::Closed);
        for _ in 0..5 {
            breaker.note(Sign::Fails, at(0), Some(Circuit::default()));
        }
        assert_eq!(circuit(999), CircuitState::Open);
        assert_eq!(circuit(1_000), CircuitState::HalfOpen);
        breaker.note(Sign::Works, at(1_000), Some(Circuit::default()));
        assert_eq!(circuit(1_000), CircuitState::Closed);
        assert_eq!(registry.circuit("unknown", at(0)), CircuitState::Closed);
    }

    #[tokio::test]
    async fn a_probe_without_an_outcome_does_not_keep_the_circuit_open() {
        let limiter = limiter(2);
        let breaker = Arc::clone(&limiter.breaker);
        breaker.set_waiting(&TypeName::new("p/list"), 7);
        let opened: Vec<bool> = (0..6)
            .map(|_| breaker.note(Sign::Fails, at(0), Some(Circuit::default())) == Some(7))
            .collect();
        assert_eq!(opened, [false, false, false, false, true, false]);
        assert_eq!(later(&limiter, 1_000).await, None);
        assert!(later(&limiter, 30_999).await.is_some());
        assert_eq!(later(&limiter, 31_000).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_a_permit_in_half_its_deadline_is_deferred() {
        let limiter = limiter(1);
        let Permit::Granted { permit, .. } = limiter.acquire(at(0), TIMEOUT, SPREAD, false).await
        else {
            panic!("the only permit");
        };
        let start = tokio::time::Instant::now();
        assert_eq!(later(&limiter, 0).await, Some(1_000));
        assert_eq!(start.elapsed(), TIMEOUT / 2);
        drop(permit);
        assert_eq!(later(&limiter, 0).await, None);
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
