//! Commits offsets to the consumer group, so that Kafka's own tools show the position of an ingress.
//!
//! They are committed once they are durable. Nothing depends on them: positions are read from the store.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Notify;
use tracing::warn;

use super::consumer::Consumer;
use super::split::Split;
use crate::runtime::Receipt;

/// The interval between two commits.
const PAUSE: Duration = Duration::from_secs(1);

/// The offsets to commit next.
pub(super) struct Commits {
    consumer: Arc<Consumer>,
    waiting: Mutex<Option<(Receipt, BTreeMap<Split, i64>)>>,
    grown: Notify,
}

impl Commits {
    pub(super) fn new(consumer: Arc<Consumer>) -> Self {
        Self {
            consumer,
            waiting: Mutex::default(),
            grown: Notify::new(),
        }
    }

    /// Commits `offsets` when `receipt` is durable, together with all earlier ones: receipts become durable in their order.
    pub(super) fn put(&self, receipt: Receipt, offsets: BTreeMap<Split, i64>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = waiting
            .take()
            .map_or_else(BTreeMap::new, |(_, earlier)| earlier);
        all.extend(offsets);
        *waiting = Some((receipt, all));
        drop(waiting);
        self.grown.notify_one();
    }

    /// Commits durable offsets until it is dropped.
    pub(super) async fn run(&self) -> Infallible {
        loop {
            self.grown.notified().await;
            let waiting = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let Some((receipt, offsets)) = waiting else {
                continue;
            };
            if receipt.durable().await.is_err() {
                // Nothing becomes durable any more; `bring` says why.
                std::future::pending::<()>().await;
            }
            self.commit(&offsets);
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn commit(&self, offsets: &BTreeMap<Split, i64>) {
        let mut list = TopicPartitionList::new();
        let mut added = offsets.iter().map(|(split, next)| {
            list.add_partition_offset(&split.topic, split.partition, Offset::Offset(*next))
        });
        let committed = added
            .find_map(Result::err)
            .map_or_else(|| self.consumer.commit(&list, CommitMode::Async), Err);
        if let Err(failure) = committed {
            warn!(%failure, "the group's offsets are not committed; only Kafka's own tools are affected");
        }
    }
}
