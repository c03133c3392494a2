//! Callers that wait for an answer: the addresses `statefun.http/gateway/<id>`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::{Builder, Uuid};

use super::condition::Condition;
use super::numbers::ByNumber;
use super::partition::Admission;

/// All waiting callers of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Callers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The first half of the ids assigned here: random, so that no other start has it.
    life: u64,
    given: AtomicU64,
    table: Mutex<Table>,
    unclaimed: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    /// By id.
    waiting: ByNumber<u128, Waiting>,
    /// Why no more answers are sent.
    ended: Option<NoAnswer>,
}

/// The callers that wait for one answer: nearly always one.
#[derive(Debug)]
struct Waiting {
    first: oneshot::Sender<CallOutcome>,
    others: Vec<oneshot::Sender<CallOutcome>>,
    /// Counts its message once that is on disk.
    counted_by: Option<Arc<Condition>>,
    /// The message is on disk.
    is_accepted: bool,
}

/// What ends the wait of a caller.
#[derive(Debug)]
pub(super) enum CallOutcome {
    /// The answer: an encoded `TypedValue`.
    Answer(Bytes),
    /// Its message was not accepted as a new one.
    Admission(Admission),
    /// There will be no answer.
    NoAnswer(NoAnswer),
}

/// Why there will be no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Nothing becomes durable now.
    NotWritable,
    /// The runtime is stopping.
    Stopping,
}

/// A waiting caller, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Caller {
    callers: Callers,
    id: Uuid,
    pub(super) outcome: oneshot::Receiver<CallOutcome>,
}

impl Callers {
    /// No callers yet; `life` distinguishes the ids assigned here from those of every other start.
    pub(super) fn new(life: u64) -> Self {
        Self(Arc::new(Shared {
            life,
            given: AtomicU64::new(0),
            table: Mutex::default(),
            unclaimed: AtomicU64::new(0),
        }))
    }

    /// A new caller. Its id says whether its answer must be stored under an idempotency key (see `is_unkept`).
    pub(super) fn wait(&self, is_kept: bool, counted_by: Option<Arc<Condition>>) -> Caller {
        let id = if is_kept {
            Uuid::new_v4()
        } else {
            let number = self.0.given.fetch_add(1, Ordering::Relaxed);
            let bytes = u128::from(self.0.life) << 64 | u128::from(number);
            Builder::from_custom_bytes(bytes.to_be_bytes()).into_uuid()
        };
        self.wait_as(id, counted_by)
    }

    /// Another caller that waits for the answer to `gateway`; `None` if that is not the id of a caller.
    pub(super) fn join(&self, gateway: &str) -> Option<Caller> {
        Uuid::try_parse(gateway)
            .ok()
            .map(|id| self.wait_as(id, None))
    }

    fn wait_as(&self, id: Uuid, counted_by: Option<Arc<Condition>>) -> Caller {
        let (sender, outcome) = oneshot::channel();
        let mut table = self.table();
        match &table.ended {
            Some(ended) => _ = sender.send(CallOutcome::NoAnswer(*ended)),
            None => match table.waiting.get_mut(&id.as_u128()) {
                Some(waiting) => waiting.others.push(sender),
                None => {
                    let waiting = Waiting {
                        first: sender,
                        others: Vec::new(),
                        counted_by,
                        is_accepted: false,
                    };
                    table.waiting.insert(id.as_u128(), waiting);
                }
            },
        }
        drop(table);
        Caller {
            callers: self.clone(),
            id,
            outcome,
        }
    }

    /// Delivers an answer. Later answers, and those without a waiting caller, are counted.
    pub(super) fn answer(&self, gateway: &str, value: Bytes) {
        let id = Uuid::try_parse(gateway).ok();
        let Some(waiting) = id.and_then(|id| self.table().waiting.remove(&id.as_u128())) else {
            self.0.unclaimed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        for other in waiting.others {
            // A caller that has gone needs no answer.
            let _ = other.send(CallOutcome::Answer(value.clone()));
        }
        let _ = waiting.first.send(CallOutcome::Answer(value));
    }

    /// Records that the message of a caller is on disk: from now on it waits only for the answer.
    pub(super) fn accepted(&self, id: Uuid) {
        if let Some(waiting) = self.table().waiting.get_mut(&id.as_u128()) {
            waiting.is_accepted = true;
            if let Some(condition) = waiting.counted_by.take() {
                condition.moved_on(1);
            }
        }
    }

    /// Sends a caller an outcome other than its answer.
    pub(super) fn tell(&self, id: Uuid, outcome: CallOutcome) {
        let waiting = self.table().waiting.remove(&id.as_u128());
        if let Some(waiting) = waiting {
            let _ = waiting.first.send(outcome);
        }
    }

    /// Ends all waits, including later ones, without answers. The first reason counts.
    pub(super) fn end(&self, reason: NoAnswer) {
        let mut table = self.table();
        let ended = *table.ended.get_or_insert(reason);
        let waiting = std::mem::take(&mut table.waiting);
        drop(table);
        for Waiting { first, others, .. } in waiting.into_values() {
            for sender in others.into_iter().chain([first]) {
                let _ = sender.send(CallOutcome::NoAnswer(ended));
            }
        }
    }

    /// The number of answers without a waiting caller.
    pub(super) fn unclaimed(&self) -> u64 {
        self.0.unclaimed.load(Ordering::Relaxed)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is consistent after every statement, so a panic elsewhere does not corrupt it.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// The mark of its message and its answer.
    pub(super) const fn id(&self) -> Uuid {
        self.id
    }

    /// Whether its message is on disk.
    pub(super) fn is_accepted(&self) -> bool {
        let table = self.callers.table();
        let waiting = table.waiting.get(&self.id.as_u128());
        waiting.is_some_and(|waiting| waiting.is_accepted)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.outcome.close();
        let mut table = self.callers.table();
        let Some(waiting) = table.waiting.get_mut(&self.id.as_u128()) else {
            return;
        };
        waiting.others.retain(|sender| !sender.is_closed());
        if waiting.first.is_closed() {
            match waiting.others.pop() {
                Some(other) => waiting.first = other,
                None => _ = table.waiting.remove(&self.id.as_u128()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::core::idempotency::is_unkept;

    fn answer(caller: &mut Caller) -> Bytes {
        match caller.outcome.try_recv() {
            Ok(CallOutcome::Answer(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_answer_reaches_all_who_wait_and_later_ones_are_counted() {
        let callers = Callers::new(7);
        let mut one = callers.wait(true, None);
        let gateway = one.id().to_string();
        let mut two = callers.join(&gateway).unwrap();
        callers.answer(&gateway, Bytes::from_static(b"first"));
        callers.answer(&gateway, Bytes::from_static(b"second"));
        assert_eq!(
            (answer(&mut one), answer(&mut two)),
            ("first".into(), "first".into())
        );
        assert_eq!(callers.unclaimed(), 1);
    }

    #[test]
    fn who_gave_up_leaves_nothing_behind_and_takes_nobody_along() {
        let callers = Callers::new(7);
        let one = callers.wait(true, None);
        let gateway = one.id().to_string();
        let mut two = callers.join(&gateway).unwrap();
        drop(one);
        callers.answer(&gateway, Bytes::from_static(b"first"));
        assert_eq!(answer(&mut two), "first");
        drop((callers.wait(false, None), callers.wait(true, None)));
        assert!(callers.table().waiting.is_empty());
    }

    #[test]
    fn a_caller_that_comes_after_the_end_is_refused_at_once() {
        let callers = Callers::new(7);
        let mut before = callers.wait(false, None);
        callers.end(NoAnswer::Stopping);
        callers.end(NoAnswer::NotWritable);
        let mut after = callers.wait(false, None);
        for caller in [&mut before, &mut after] {
            let outcome = caller.outcome.try_recv();
            assert!(
                matches!(outcome, Ok(CallOutcome::NoAnswer(NoAnswer::Stopping))),
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn ids_say_whether_an_answer_is_kept_and_are_given_once() {
        let callers = Callers::new(u64::MAX);
        let [one, two] = [callers.wait(false, None), callers.wait(false, None)];
        assert_ne!(one.id(), two.id());
        assert!(is_unkept(&one.id().to_string()));
        assert!(!is_unkept(&callers.wait(true, None).id().to_string()));
        for other in [
            "",
            "anybody",
            "00000000-0000-8000-8000-00000000000",
            "0000000a-0000-4000-8000-000000000000",
        ] {
            assert!(!is_unkept(other), "{other}");
        }
    }
}
