//! Memory for arriving request bodies, counted over all connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a body waits for memory before its request is answered with 503.
const PATIENCE: Duration = Duration::from_secs(1);

/// A budget in bytes. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory {
    free: Arc<Semaphore>,
    total: usize,
}

/// The memory of one body; released when dropped.
#[derive(Debug, Default)]
pub(super) struct Held(Option<OwnedSemaphorePermit>);

/// The budget is used up, and no memory was released in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UsedUp;

impl BodyMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = bytes.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(total));
        Self { free, total }
    }

    /// Reserves another `bytes`, after a short wait if necessary.
    pub(super) async fn hold(&self, held: &mut Held, bytes: usize) -> Result<(), UsedUp> {
        let wanted = u32::try_from(bytes).map_err(|_| UsedUp)?;
        // More than the whole budget would never be free, and would block others.
        if bytes > self.total {
            return Err(UsedUp);
        }
        let more = match Arc::clone(&self.free).try_acquire_many_owned(wanted) {
            Ok(more) => more,
            Err(_) => {
                let waiting = Arc::clone(&self.free).acquire_many_owned(wanted);
                let granted = timeout(PATIENCE, waiting).await.map_err(|_| UsedUp)?;
                granted.map_err(|_| UsedUp)?
            }
        };
        match &mut held.0 {
            Some(all) => all.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Bytes that bodies hold or wait for.
    #[cfg(any(feature = "runtime", test))]
    pub(crate) fn used(&self) -> usize {
        self.total - self.free.available_permits()
    }

    /// All bytes that bodies may hold.
    #[cfg(feature = "runtime")]
    pub(crate) const fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_counted_and_given_back() {
        let memory = BodyMemory::new(100);
        let (mut one, mut other) = (Held::default(), Held::default());
        memory.hold(&mut one, 40).await.unwrap();
        memory.hold(&mut one, 20).await.unwrap();
        assert_eq!(memory.used(), 60);
        assert_eq!(memory.hold(&mut other, 41).await, Err(UsedUp));
        assert_eq!(memory.used(), 60);
        drop(one);
        memory.hold(&mut other, 41).await.unwrap();
        drop(other);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn a_body_waits_until_another_has_made_room() {
        let memory = BodyMemory::new(100);
        let mut one = Held::default();
        memory.hold(&mut one, 100).await.unwrap();
        let mut other = Held::default();
        let (granted, ()) = tokio::join!(memory.hold(&mut other, 100), async { drop(one) });
        granted.unwrap();
    }
}
