//! Connection slots. When all are taken, the connection that has been idle longest is closed to make room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The slots of all listeners whose connections count together. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionSlots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    #[cfg(any(feature = "runtime", test))]
    count: usize,
    free: Arc<Semaphore>,
    seats: Mutex<HashMap<u64, Arc<Seat>>>,
    /// Numbers the seats.
    next: AtomicU64,
    /// Numbers the requests in the order in which they end.
    ended: AtomicU64,
    /// Connections that wait for the next one to become idle.
    wanted: AtomicUsize,
}

/// A connection's slot; free again when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    number: u64,
    seat: Arc<Seat>,
    slots: ConnectionSlots,
    _permit: OwnedSemaphorePermit,
}

/// What is known of a connection while it is served.
#[derive(Debug)]
pub(super) struct Seat {
    slots: ConnectionSlots,
    /// Requests that are being answered.
    running: AtomicUsize,
    /// Requests that have begun.
    begun: AtomicU64,
    written_bytes: AtomicU64,
    /// The number of its last request; the seat with the lowest number has been idle longest.
    idle_since: AtomicU64,
    /// It was asked to make room.
    is_asked: AtomicBool,
    asked: Notify,
}

impl ConnectionSlots {
    pub(crate) fn new(count: usize) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            #[cfg(any(feature = "runtime", test))]
            count,
            free: Arc::new(Semaphore::new(count)),
            seats: Mutex::default(),
            next: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            wanted: AtomicUsize::new(0),
        }))
    }

    /// The number of slots.
    #[cfg(feature = "runtime")]
    pub(crate) fn count(&self) -> usize {
        self.0.count
    }

    /// The number of slots in use.
    #[cfg(any(feature = "runtime", test))]
    pub(crate) fn taken(&self) -> usize {
        self.0.count - self.0.free.available_permits()
    }

    /// Takes a free slot, if there is one.
    pub(super) fn try_take(&self) -> Option<ConnectionSlot> {
        let permit = Arc::clone(&self.0.free).try_acquire_owned().ok()?;
        Some(self.seated(permit))
    }

    /// Waits for a slot.
    pub(super) async fn take(&self) -> ConnectionSlot {
        let permit = Arc::clone(&self.0.free).acquire_owned().await;
        self.seated(permit.expect("the semaphore is never closed"))
    }

    /// Asks the connection that has been idle longest to end; if none is idle, the next one that is.
    pub(super) fn make_room(&self) {
        let longest = {
            let seats = self.seats();
            let idle = seats.values().filter(|seat| seat.is_idle());
            idle.min_by_key(|seat| seat.idle_since.load(Ordering::Relaxed))
                .cloned()
        };
        match longest {
            Some(seat) => seat.ask(),
            None => {
                self.0.wanted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn seated(&self, permit: OwnedSemaphorePermit) -> ConnectionSlot {
        // The one that waited for an idle connection has a slot now.
        self.0.take_back_wish();
        let seat = Arc::new(Seat {
            slots: self.clone(),
            running: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            idle_since: AtomicU64::new(self.now()),
            is_asked: AtomicBool::new(false),
            asked: Notify::new(),
        });
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.seats().insert(number, Arc::clone(&seat));
        ConnectionSlot {
            number,
            seat,
            slots: self.clone(),
            _permit: permit,
        }
    }

    /// The next number; cheaper than reading the clock.
    fn now(&self) -> u64 {
        self.0.ended.fetch_add(1, Ordering::Relaxed)
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        // The table is consistent after every statement.
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether another connection was waiting for an idle one.
    fn take_back_wish(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
            && self
                .wanted
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |wanted| {
                    wanted.checked_sub(1)
                })
                .is_ok()
    }
}

impl ConnectionSlot {
    pub(super) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.seats().remove(&self.number);
    }
}

impl Seat {
    /// Records the beginning of a request, which is being answered until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// Ready once the connection has been asked to make room.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    fn is_idle(&self) -> bool {
        !self.is_busy() && !self.is_asked.load(Ordering::Relaxed)
    }

    fn ask(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
        self.asked.notify_one();
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        let Self(seat) = self;
        seat.idle_since.store(seat.slots.now(), Ordering::Relaxed);
        let was_last = seat.running.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last && seat.slots.0.take_back_wish() {
            seat.ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_asked(slot: &ConnectionSlot) -> bool {
        slot.seat.is_asked.load(Ordering::Relaxed)
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_has_gone() {
        let slots = ConnectionSlots::new(1);
        let slot = slots.try_take().unwrap();
        assert!(slots.try_take().is_none() && slots.taken() == 1);
        drop(slot);
        assert_eq!(slots.taken(), 0);
        assert!(slots.seats().is_empty());
        assert!(slots.try_take().is_some());
    }

    #[test]
    fn the_connection_that_is_idle_longest_makes_room_once() {
        let slots = ConnectionSlots::new(3);
        let taken: Vec<_> = (0..3).map(|_| slots.try_take().unwrap()).collect();
        let busy = taken[0].seat.begin();
        taken[1].seat.idle_since.store(20, Ordering::Relaxed);
        taken[2].seat.idle_since.store(10, Ordering::Relaxed);
        slots.make_room();
        assert_eq!(
            taken.iter().map(is_asked).collect::<Vec<_>>(),
            [false, false, true]
        );
        slots.make_room();
        assert_eq!(
            taken.iter().map(is_asked).collect::<Vec<_>>(),
            [false, true, true]
        );
        drop(busy);
        assert!(!is_asked(&taken[0]));
    }

    #[test]
    fn when_all_are_busy_the_first_that_is_done_makes_room() {
        let slots = ConnectionSlots::new(2);
        let (one, two) = (slots.try_take().unwrap(), slots.try_take().unwrap());
        let (first, second) = (one.seat.begin(), two.seat.begin());
        slots.make_room();
        drop(second);
        assert!(is_asked(&two));
        drop(first);
        assert!(!is_asked(&one));
    }
}
