//! Callers that wait for an answer, at addresses `statefun.http/gateway/<id>`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

/// All waiting callers of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Gateways(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<HashMap<String, Vec<oneshot::Sender<Bytes>>>>,
    unclaimed: AtomicU64,
}

impl Gateways {
    /// Waits for the first answer to `gateway`. Drop the receiver and [`forget`](Self::forget) it to give up.
    pub(super) fn wait(&self, gateway: &str) -> oneshot::Receiver<Bytes> {
        let (sender, receiver) = oneshot::channel();
        self.waiting()
            .entry(gateway.to_owned())
            .or_default()
            .push(sender);
        receiver
    }

    /// Delivers an answer. Later answers, and those without a waiting caller, are counted.
    pub(super) fn answer(&self, gateway: &str, value: &Bytes) {
        let Some(waiting) = self.waiting().remove(gateway) else {
            self.0.unclaimed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        for sender in waiting {
            // A caller that has gone needs no answer.
            let _ = sender.send(value.clone());
        }
    }

    /// Forgets callers of `gateway` that no longer wait.
    pub(super) fn forget(&self, gateway: &str) {
        let mut waiting = self.waiting();
        if let Some(senders) = waiting.get_mut(gateway) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiting.remove(gateway);
            }
        }
    }

    /// The number of answers without a waiting caller.
    pub(super) fn unclaimed(&self) -> u64 {
        self.0.unclaimed.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Vec<oneshot::Sender<Bytes>>>> {
        // The table is consistent after every statement, so a panic elsewhere does not corrupt it.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_reaches_all_who_wait_and_later_ones_are_counted() {
        let gateways = Gateways::default();
        let (mut one, mut two) = (gateways.wait("g"), gateways.wait("g"));
        gateways.answer("g", &Bytes::from_static(b"first"));
        gateways.answer("g", &Bytes::from_static(b"second"));
        assert_eq!(one.try_recv().unwrap(), "first");
        assert_eq!(two.try_recv().unwrap(), "first");
        assert_eq!(gateways.unclaimed(), 1);
    }

    #[test]
    fn who_gave_up_leaves_nothing_behind() {
        let gateways = Gateways::default();
        drop(gateways.wait("g"));
        gateways.forget("g");
        assert!(gateways.waiting().is_empty());
    }
}
