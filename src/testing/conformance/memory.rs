//! A log in memory, read by a source with positions, and a target in memory, filled by a sink that stores its position with the records.
//! Both outlive every runtime, and are minimal examples of the two contracts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::stage::LedgerEntry;
use crate::random::Random;
use crate::runtime::{Batch, Inlet, Sink, SinkBatch, SinkPosition, Source};
use crate::sdk::{BoxError, types};

/// Records in order; a reader's position is the number of records it has read.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog(Arc<Log>);

#[derive(Debug, Default)]
struct Log {
    records: Mutex<Vec<LedgerEntry>>,
    grown: Notify,
}

impl MemoryLog {
    /// Appends a record.
    pub fn append(&self, record: LedgerEntry) {
        self.lock().push(record);
        self.0.grown.notify_waiters();
    }

    /// A source that reads the log; `random` decides how many records it brings at a time.
    pub fn source(&self, random: Random) -> MemorySource {
        MemorySource {
            log: self.clone(),
            random,
        }
    }

    /// Some records from `from` on. Waits until there are any.
    async fn read(&self, from: usize, limit: usize) -> Vec<LedgerEntry> {
        loop {
            let grown = self.0.grown.notified();
            tokio::pin!(grown);
            // No growth after this point is missed.
            grown.as_mut().enable();
            let records: Vec<_> = self.lock().iter().skip(from).take(limit).cloned().collect();
            if !records.is_empty() {
                return records;
            }
            grown.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LedgerEntry>> {
        self.0
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a [`MemoryLog`].
#[derive(Debug)]
pub struct MemorySource {
    log: MemoryLog,
    random: Random,
}

#[async_trait]
impl Source for MemorySource {
    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let mut at = match inlet.position("log")? {
            Some(position) => usize::from_be_bytes(position[..].try_into()?),
            None => 0,
        };
        loop {
            let limit = 1 + usize::try_from(self.random.below(5))?;
            let records = self.log.read(at, limit).await;
            at += records.len();
            let mut batch = Batch::new().position("log", at.to_be_bytes().to_vec());
            for record in &records {
                batch.push(&record.message());
            }
            let receipt = inlet.bring(batch).await?;
            // Some brokers are acknowledged each time, others never; the next batch need not wait.
            if self.random.chance(50) {
                receipt.durable().await?;
            }
        }
    }
}

/// Accepts records and their position in one step, like a database in a transaction.
#[derive(Debug, Clone, Default)]
pub struct MemoryFarSide(Arc<Mutex<FarSide>>);

#[derive(Debug, Default)]
struct FarSide {
    texts: Vec<String>,
    position: Vec<u8>,
    deliveries: u64,
}

impl MemoryFarSide {
    /// A sink that delivers to it; sometimes it fails before or after the records were accepted.
    pub fn sink(&self) -> MemorySink {
        MemorySink(self.clone())
    }

    /// The texts that arrived, in order.
    pub fn texts(&self) -> Vec<String> {
        self.lock().texts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, FarSide> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delivers to a [`MemoryFarSide`].
#[derive(Debug)]
pub struct MemorySink(MemoryFarSide);

#[async_trait]
impl Sink for MemorySink {
    async fn position(&self) -> Result<Option<SinkPosition>, BoxError> {
        let far_side = self.0.lock();
        Ok(Some(SinkPosition::from_bytes(&far_side.position)?))
    }

    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let mut far_side = self.0.lock();
        far_side.deliveries += 1;
        if far_side.deliveries.is_multiple_of(7) {
            return Err("the far side did not take the records".into());
        }
        for record in batch.records() {
            far_side.texts.push(types::STRING.decode(&record.value)?);
        }
        far_side.position = batch.position().to_bytes().to_vec();
        if far_side.deliveries.is_multiple_of(5) {
            return Err("the far side's answer was lost".into());
        }
        Ok(())
    }

    fn max_batch(&self) -> usize {
        4
    }
}
