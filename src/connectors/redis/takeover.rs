//! Takes over what other consumers of the group were handed out and have not acknowledged for a while, because they are gone.
//!
//! Such an entry may come before the position, which therefore does not tell whether it was brought. So it gets an owner of its own first, a second
//! consumer of this ingress, and the position names those whose acknowledgement is open: after a crash, entries of that owner that the position names
//! are acknowledged without effect, and the others are brought. `XCLAIM` of chosen entries does this, and not `XAUTOCLAIM`, which would also move entries of this
//! ingress that are on their way to the disk.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::record::{Entry, EntryId};
use super::streams::{Answered, COUNT, Reader, add};
use crate::module::Route;
use crate::runtime::Batch;
use crate::sdk::BoxError;

/// The shortest time between two looks.
const LEAST: Duration = Duration::from_secs(1);

/// An entry that was handed out and not acknowledged: its id, its consumer, the milliseconds since then, and how often.
type Pending = (EntryId, String, u64, u64);

impl Reader<'_> {
    /// The consumer that owns what was taken over.
    fn second(&self) -> String {
        format!("{}:taken-over", self.spec.consumer)
    }

    /// What an earlier run has taken over and not acknowledged.
    pub(super) async fn finish_taken_over(&mut self) -> Result<(), BoxError> {
        for route in &self.spec.streams {
            let stream = route.source.as_str();
            let mut after = EntryId::default();
            loop {
                let command = self.read(&self.second(), &[(stream, &after.to_string())]);
                let answer: Answered = self.connection.call(&command).await?;
                let entries = answer.unwrap_or_default().into_iter().next();
                let entries = entries.map(|(_, entries)| entries).unwrap_or_default();
                let Some(last) = entries.last() else { break };
                after = last.id;
                self.bring_taken_over(route, &entries).await?;
            }
            self.forget_taken_over(stream);
        }
        Ok(())
    }

    /// Looks for entries of consumers that are gone, from time to time.
    pub(super) async fn take_over(&mut self) -> Result<(), BoxError> {
        let Some(after) = self.spec.take_over_after else {
            return Ok(());
        };
        let every = (after / 2).max(LEAST);
        if self.looked.is_some_and(|looked| looked.elapsed() < every) {
            return Ok(());
        }
        for route in &self.spec.streams {
            self.take_over_of(route, after).await?;
        }
        self.looked = Some(Instant::now());
        Ok(())
    }

    async fn take_over_of(&mut self, route: &Route, after: Duration) -> Result<(), BoxError> {
        let mut from = EntryId::default();
        loop {
            let pending = self.pending(&route.source, from).await?;
            let Some((last, ..)) = pending.last() else {
                return Ok(());
            };
            from = last.next();
            let ours = [self.spec.consumer.clone(), self.second()];
            let is_left = |(_, consumer, idle, _): &&Pending| {
                !ours.contains(consumer) && Duration::from_millis(*idle) >= after
            };
            let left: Vec<EntryId> = pending.iter().filter(is_left).map(|one| one.0).collect();
            if left.is_empty() {
                continue;
            }
            let entries = self.claim(&route.source, &left, after).await?;
            self.bring_taken_over(route, &entries).await?;
            self.forget_taken_over(&route.source);
            if !entries.is_empty() {
                let (ingress, stream, entries) = (&self.spec.id, &route.source, entries.len());
                warn!(%ingress, %stream, entries, "entries of another consumer of the group are taken over: it has not acknowledged them for {after:?}");
            }
        }
    }

    async fn pending(&mut self, stream: &str, from: EntryId) -> Result<Vec<Pending>, BoxError> {
        let mut command = redis::cmd("XPENDING");
        command.arg(stream).arg(&self.spec.group);
        command.arg(from.to_string()).arg("+").arg(COUNT);
        Ok(self.connection.call(&command).await?)
    }

    /// The entries, if they are still left; a consumer that has come back keeps its own.
    async fn claim(
        &mut self,
        stream: &str,
        ids: &[EntryId],
        after: Duration,
    ) -> Result<Vec<Entry>, BoxError> {
        let mut command = redis::cmd("XCLAIM");
        command.arg(stream).arg(&self.spec.group).arg(self.second());
        command.arg(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        for id in ids {
            command.arg(id.to_string());
        }
        // Before version 7, Redis has nil for an entry that was deleted.
        let entries: Vec<Option<Entry>> = self.connection.call(&command).await?;
        Ok(entries.into_iter().flatten().collect())
    }

    /// Brings those that no earlier run has brought, waits until they are on disk, and acknowledges all.
    async fn bring_taken_over(&mut self, route: &Route, entries: &[Entry]) -> Result<(), BoxError> {
        if entries.is_empty() {
            return Ok(());
        }
        let position = self.positions.entry(route.source.clone()).or_default();
        let mut batch = Batch::new();
        for entry in entries {
            if position.taken_over.insert(entry.id) {
                add(self.spec, route, entry, &mut batch);
            }
        }
        batch.set_position(&route.source, position.to_string());
        let receipt = self.inlet.bring(batch).await?;
        receipt.durable().await?;
        let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
        let command = self.acknowledgement(&route.source, &ids);
        Ok(self.connection.call(&command).await?)
    }

    /// All of them are acknowledged. The next position that is stored says so.
    fn forget_taken_over(&mut self, stream: &str) {
        if let Some(position) = self.positions.get_mut(stream) {
            position.taken_over = BTreeSet::new();
        }
    }
}
