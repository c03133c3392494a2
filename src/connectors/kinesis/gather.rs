//! Makes batches of the records of a shard.

use super::aggregated::parts;
use super::api::StoredRecord;
use super::position::{Position, Split};
use super::shards::Shards;
use super::stream::Stream;
use crate::module::Route;
use crate::runtime::{Batch, Inlet};
use crate::sdk::BoxError;

/// The messages of a batch at which no further record is added.
const BATCH_MESSAGES: usize = 2_000;
/// The same, for bytes.
const BATCH_BYTES: usize = 4 << 20;

/// Messages on their way into the runtime.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) batch: Batch,
    bytes: usize,
    /// The sequence number of the last record.
    pub(super) last: Option<String>,
}

impl Gathered {
    /// Adds a record, or those that were packed into it.
    pub(super) fn take(&mut self, record: &StoredRecord, stream: &Stream, split: &Split) {
        let hashes = stream.shards.hashes(&split.shard);
        match hashes.and_then(|hashes| parts(&record.data, hashes)) {
            Some(parts) => {
                for (key, data) in &parts {
                    self.add(key, data, &stream.route);
                }
            }
            None => self.add(&record.partition_key, &record.data, &stream.route),
        }
        self.bytes += record.data.len();
        self.last = Some(record.sequence_number.clone());
    }

    /// Adds the messages for the targets of a record.
    fn add(&mut self, key: &str, value: &[u8], route: &Route) {
        for target in &route.targets {
            self.batch.add(target, key, &route.value_type, value);
        }
    }

    pub(super) fn is_enough(&self) -> bool {
        self.batch.len() >= BATCH_MESSAGES || self.bytes >= BATCH_BYTES
    }

    /// Brings the messages together with the position after them.
    pub(super) async fn bring(
        mut self,
        inlet: &Inlet,
        split: &str,
        shard: &str,
        shards: &mut Shards,
    ) -> Result<(), BoxError> {
        let Some(last) = self.last else {
            return Ok(());
        };
        let position = Position::After(last);
        self.batch.set_position(split, position.to_bytes());
        let _receipt = inlet.bring(self.batch).await?;
        shards.move_to(shard, position);
        Ok(())
    }
}
