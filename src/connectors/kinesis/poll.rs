//! Reads records of one shard.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::api::{Fetched, GetRecords, GetShardIterator};
use super::client::{Client, Lazy};
use super::failure::{Failure, Meaning};
use super::position::{Position, Split};
use crate::retry::Backoff;

/// Waits between attempts that fail.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    factor: 2.0,
    max: Duration::from_secs(10),
};

/// The reading of one shard, between two calls.
pub(super) struct Poll {
    pub(super) split: Split,
    pub(super) position: Position,
    /// The iterator at the position.
    iterator: Option<String>,
    /// The first iterator is for records that arrive from now on, and its position is the time for later ones.
    from_now: bool,
    /// Consecutive failures.
    pub(super) failures: u32,
    /// When the next call may be made.
    due: Instant,
}

impl Poll {
    pub(super) fn new(split: Split, position: Position, from_now: bool) -> Self {
        Self {
            split,
            position,
            iterator: None,
            from_now,
            failures: 0,
            due: Instant::now(),
        }
    }

    /// Makes the next call, once it is due. No more are in progress than there are permits.
    pub(super) async fn run(
        mut self,
        client: Arc<Lazy>,
        permits: Arc<Semaphore>,
        max_records: usize,
        interval: Duration,
    ) -> (Self, Result<Fetched, Failure>) {
        sleep_until(self.due).await;
        // It is never closed.
        let _permit = permits.acquire().await;
        self.due = Instant::now() + interval;
        let fetched = self.fetch(&client, max_records).await;
        (self, fetched)
    }

    /// Makes one call for records.
    ///
    /// # Errors
    /// If it has no result.
    pub(super) async fn fetch(&mut self, client: &Lazy, limit: usize) -> Result<Fetched, Failure> {
        let client = client.client().await.map_err(Failure::Unasked)?;
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => self.iterator(&client).await?,
        };
        let call = GetRecords {
            shard_iterator: &iterator,
            limit,
        };
        let fetched = client.call(&call).await;
        if fetched.is_err() {
            self.iterator = Some(iterator);
        }
        Ok(fetched?.answer)
    }

    async fn iterator(&mut self, client: &Client) -> Result<String, Failure> {
        let from_now = std::mem::take(&mut self.from_now);
        let (kind, number, timestamp) = match &self.position {
            _ if from_now => ("LATEST", None, None),
            Position::Oldest => ("TRIM_HORIZON", None, None),
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds since 1970 are exact in an f64 for longer than there are streams"
            )]
            Position::Since(time) => ("AT_TIMESTAMP", None, Some(time.as_millis() as f64 / 1000.0)),
            Position::After(number) => ("AFTER_SEQUENCE_NUMBER", Some(number.as_str()), None),
            Position::Ended => return Err(Failure::Unasked("the shard has ended".into())),
        };
        let call = GetShardIterator {
            stream_name: &self.split.stream,
            shard_id: &self.split.shard,
            shard_iterator_type: kind,
            starting_sequence_number: number,
            timestamp,
        };
        Ok(client.call(&call).await?.answer.shard_iterator)
    }

    /// Continues after records that were brought.
    pub(super) fn succeeded(&mut self, position: Position, next: String) {
        self.position = position;
        self.iterator = Some(next);
        self.failures = 0;
    }

    /// Tries again after a pause, with another iterator if the present one is no longer usable.
    pub(super) fn failed(&mut self, meaning: Meaning) {
        self.failures += 1;
        if matches!(
            meaning,
            Meaning::Expired | Meaning::Invalid | Meaning::Missing
        ) {
            self.iterator = None;
        }
        // An iterator that has expired is simply replaced.
        if meaning == Meaning::Expired && self.failures == 1 {
            self.due = Instant::now();
        } else {
            self.due = Instant::now() + BACKOFF.delay(self.failures);
        }
    }

    /// Continues at another position, at once.
    pub(super) fn move_to(&mut self, position: Position) {
        self.position = position;
        self.iterator = None;
        self.due = Instant::now();
    }
}
