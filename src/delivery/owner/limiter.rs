//! How many attempts this process makes at a destination at the same time: each owner has its own permits for it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::breaker::CircuitBreaker;
use super::known::Known;
use super::registry::DestinationRegistry;
use super::target::Goal;
use crate::time::Timestamp;

/// Maximum attempts queued for a permit; excess attempts are deferred.
const MAX_WAITING: usize = 1024;

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
        let is_probe = match self.breaker.check(now, timeout, spread, must_probe) {
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
        Permit::Deferred(self.breaker.defer(now, spread))
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
    use super::super::breaker::{Circuit, Sign, probe_after};
    use super::*;
    use crate::sdk::TypeName;

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
}
