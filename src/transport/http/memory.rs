//! Memory for request bodies that are still arriving, counted over all connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a body waits for others to make room before its request is answered 503.
const PATIENCE: Duration = Duration::from_secs(1);

/// A budget in bytes. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory {
    free: Arc<Semaphore>,
    total: usize,
}

/// What one body holds; given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Held(Option<OwnedSemaphorePermit>);

/// The budget is used up, and nobody made room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UsedUp;

impl BodyMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = bytes.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(total));
        Self { free, total }
    }

    /// Adds `bytes` to what is held; waits for them, but not long.
    pub(super) async fn hold(&self, held: &mut Held, bytes: usize) -> Result<(), UsedUp> {
        let wanted = u32::try_from(bytes).map_err(|_| UsedUp)?;
        // More than there is would be waited for in vain, and keep others waiting.
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

    /// Bytes that bodies hold now, and those that one of them waits for.
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
