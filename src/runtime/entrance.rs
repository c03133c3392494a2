//! Functions that only pass messages on: the resulting message is computed before storing, so that a message is stored only once.
//!
//! Such a function keeps no state, and the only effect of a message is at most one other message. It is bound like all others, and handles
//! messages of other functions; messages from outside need not go through it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::core::AddressKey;
use super::core::keys::{INBOX, after_prefix, type_prefix};
use crate::sdk::TypeName;
use crate::storage::{Rows, StorageError, stretch};

/// What is stored instead of a message.
#[derive(Debug)]
pub(crate) enum Entering {
    /// Another message: its target and its argument.
    As(AddressKey, Bytes),
    /// Nothing: the message has been handled.
    Ended,
}

/// Computes the result of a message with a target and an argument; `None` if it is stored unchanged. If the id of the new target is
/// chosen here, it is one that the last argument accepts.
pub(crate) type Enter =
    Arc<dyn Fn(&AddressKey, &Bytes, &dyn Fn(&str) -> bool) -> Option<Entering> + Send + Sync>;

/// Arguments up to this size are computed where they arrive. Larger ones take so long that they would hold up a thread that serves connections.
const IN_PLACE_BYTES: usize = 64 << 10;

/// The functions that only pass messages on, which are few.
#[derive(Clone)]
pub(crate) struct Entrances {
    functions: Vec<(TypeName, Enter)>,
    /// Bounds the large arguments that are computed at a time to one for each processor.
    large: Arc<Semaphore>,
}

impl Default for Entrances {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            functions: Vec::new(),
            large: Arc::new(Semaphore::new(processors)),
        }
    }
}

impl Entrances {
    pub(super) fn add(&mut self, function: TypeName, enter: Enter) {
        self.functions.push((function, enter));
    }

    pub(super) fn has(&self, function: &TypeName) -> bool {
        self.functions.iter().any(|(known, _)| known == function)
    }

    /// The same without these functions.
    pub(super) fn without(&self, functions: &BTreeSet<TypeName>) -> Self {
        let mut all = self.clone();
        all.functions
            .retain(|(known, _)| !functions.contains(known));
        all
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.functions.extend(other.functions);
    }

    /// Leaves out functions with messages stored before the start, which new messages must not overtake.
    pub(super) fn without_waiting(&mut self, rows: &dyn Rows) -> Result<(), StorageError> {
        let mut free = Vec::with_capacity(self.functions.len());
        for (function, enter) in self.functions.drain(..) {
            let prefix = type_prefix(function.namespace(), function.name());
            let end = after_prefix(&prefix);
            let first = stretch(rows, INBOX, &prefix, end.as_deref(), 1)?;
            if first.rows.is_empty() {
                free.push((function, enter));
            }
        }
        self.functions = free;
        Ok(())
    }

    /// The entrance of messages to the function of `target`, if it only passes them on.
    pub(super) fn of(&self, target: &AddressKey) -> Option<&Enter> {
        if self.functions.is_empty() {
            return None;
        }
        let (namespace, name, _) = target.parts();
        let is_it =
            |function: &TypeName| function.namespace() == namespace && function.name() == name;
        let found = self.functions.iter().find(|(function, _)| is_it(function));
        found.map(|(_, enter)| enter)
    }

    /// Computes the result of a message by `enter`: in place if it is small, otherwise on a thread on which nothing else waits.
    pub(super) async fn compute(
        &self,
        enter: &Enter,
        target: &AddressKey,
        argument: &Bytes,
        suits: impl Fn(&str) -> bool + Send + 'static,
    ) -> Option<Entering> {
        if argument.len() <= IN_PLACE_BYTES {
            return enter(target, argument, &suits);
        }
        // It is never closed.
        let permit = Arc::clone(&self.large).acquire_owned().await.ok()?;
        let (enter, target, argument) = (Arc::clone(enter), target.clone(), argument.clone());
        let computed = tokio::task::spawn_blocking(move || {
            let entering = enter(&target, &argument, &suits);
            // Kept to the end, even if the caller does not wait for it.
            drop(permit);
            entering
        });
        // Without a result the message is stored unchanged, and its function computes it.
        computed.await.ok().flatten()
    }
}

impl fmt::Debug for Entrances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.functions.iter().map(|(function, _)| function);
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use super::*;
    use crate::sdk::Address;

    /// An entrance that tells the thread on which it computes.
    fn telling() -> (Enter, std::sync::mpsc::Receiver<ThreadId>) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let enter: Enter = Arc::new(move |_, _, _| {
            sender.send(thread::current().id()).unwrap();
            Some(Entering::Ended)
        });
        (enter, receiver)
    }

    #[tokio::test]
    async fn only_small_messages_are_computed_on_the_thread_that_received_them() {
        let entrances = Entrances::default();
        let target = AddressKey::from(&Address::new(TypeName::new("pipelines/p"), "x"));
        let (enter, computed_on) = telling();
        for (bytes, is_here) in [
            (0, true),
            (IN_PLACE_BYTES, true),
            (IN_PLACE_BYTES + 1, false),
        ] {
            let argument = Bytes::from(vec![0; bytes]);
            let entering = entrances
                .compute(&enter, &target, &argument, |_| true)
                .await;
            assert!(matches!(entering, Some(Entering::Ended)), "{bytes} bytes");
            let here = computed_on.recv().unwrap() == thread::current().id();
            assert_eq!(here, is_here, "{bytes} bytes");
        }
    }

    #[tokio::test]
    async fn large_messages_are_computed_one_for_each_processor_at_a_time() {
        let entrances = Entrances::default();
        let target = AddressKey::from(&Address::new(TypeName::new("pipelines/p"), "x"));
        let (enter, computed_on) = telling();
        let processors = u32::try_from(entrances.large.available_permits()).unwrap();
        let all = Arc::clone(&entrances.large);
        let busy = all.acquire_many(processors).await.unwrap();
        let argument = Bytes::from(vec![0; IN_PLACE_BYTES + 1]);
        let mut waiting = Box::pin(entrances.compute(&enter, &target, &argument, |_| true));
        tokio::select! {
            biased;
            entering = &mut waiting => panic!("computed although no processor is free: {entering:?}"),
            () = std::future::ready(()) => {}
        }
        assert!(computed_on.try_recv().is_err(), "no processor is free");
        drop(busy);
        assert!(matches!(waiting.await, Some(Entering::Ended)));
        assert!(computed_on.try_recv().is_ok());
    }

    #[tokio::test]
    async fn a_large_message_whose_computation_panics_is_stored_unchanged() {
        let entrances = Entrances::default();
        let target = AddressKey::from(&Address::new(TypeName::new("pipelines/p"), "x"));
        let enter: Enter = Arc::new(|_, _, _| panic!("a fault of a stage"));
        let argument = Bytes::from(vec![0; IN_PLACE_BYTES + 1]);
        let entering = entrances
            .compute(&enter, &target, &argument, |_| true)
            .await;
        assert!(entering.is_none(), "{entering:?}");
    }
}
