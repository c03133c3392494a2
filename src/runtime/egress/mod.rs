//! Where records leave the runtime: each egress has an outbox, and a driver that empties it. At least once, in order.

pub(super) mod file;
mod outbox;
pub(super) mod playground;
pub(super) mod stdout;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::core::MessageId;
use super::endpoint::chain;
use super::ingress::{Listener, stopped};
use super::values;
use crate::protocol::reqreply::TypedValue;
use crate::retry::Backoff;
use crate::sdk::{BoxError, TypeName};
use crate::storage::Position;

pub(super) use self::outbox::{Outbox, OutboxRecord};

/// Records that an egress is given at once.
const BATCH: usize = 256;

/// A record that leaves the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EgressRecord {
    /// Names the record: the same at every attempt, also after a crash, so that the far side can drop repetitions.
    pub id: String,
    /// The typename of the value, such as `io.statefun.types/string`.
    pub value_type_name: String,
    /// The encoded value.
    pub value: Bytes,
}

/// Takes records out of the runtime.
///
/// Records come in the order of their outbox, and only when they are on disk. A batch counts as delivered when `deliver`
/// returns `Ok`; after an error the same batch comes again, for ever, with growing waits. After a crash records that were
/// delivered but not settled come once more, with the same ids.
#[async_trait]
pub trait Egress: fmt::Debug + Send + Sync + 'static {
    /// Delivers `records`, of which there is at least one.
    async fn deliver(&self, records: &[EgressRecord]) -> Result<(), BoxError>;
}

/// How an egress is doing.
#[derive(Debug, Clone)]
pub(crate) struct Delivering {
    pub(crate) name: TypeName,
    /// Records that wait.
    pub(crate) undelivered: u64,
    /// Records delivered since the start.
    pub(crate) delivered: u64,
    /// The failed attempts of what is being delivered, when they are failing.
    pub(crate) failing: Option<Failing>,
}

/// The failed attempts of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failing {
    /// How many have failed in a row.
    pub(crate) attempts: u32,
    /// Why the last one did.
    pub(crate) last_failure: String,
}

/// All outboxes of a runtime; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Egresses {
    by_prefix: Arc<HashMap<Bytes, (TypeName, Outbox)>>,
    limit: u64,
    /// Records that functions of one type may have in one outbox.
    share: u64,
}

impl Egresses {
    /// Outboxes by the front of their rows. With `limit` undelivered records one of them is full; functions of one type may have `share`
    /// of them.
    pub(super) fn new(
        by_prefix: HashMap<Bytes, (TypeName, Outbox)>,
        limit: u64,
        share: u64,
    ) -> Self {
        Self {
            by_prefix: Arc::new(by_prefix),
            limit,
            share,
        }
    }

    /// Hands a durable record of a function of type `sender` to its egress.
    pub(super) fn push(
        &self,
        prefix: &Bytes,
        id: MessageId,
        record: Bytes,
        sender: &Bytes,
        position: Position,
    ) {
        match self.by_prefix.get(prefix) {
            Some((_, outbox)) => outbox.push(id, record, sender, position),
            // It stays in the store, and is delivered when a module binds the egress again.
            None => {
                error!("a record was sent to an egress that is not bound; it stays in the outbox")
            }
        }
    }

    /// How each egress is doing, by name.
    pub(super) fn delivering(&self) -> Vec<Delivering> {
        let outboxes = self.by_prefix.values();
        let mut all: Vec<_> = outboxes
            .map(|(name, outbox)| Delivering {
                name: name.clone(),
                undelivered: outbox.undelivered(),
                delivered: outbox.delivered(),
                failing: outbox.failing(),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Whether some outbox has used up the share of one type at least: only then anything can be full.
    pub(super) fn has_full(&self) -> bool {
        let least = self.share.min(self.limit);
        let mut outboxes = self.by_prefix.values();
        outboxes.any(|(_, outbox)| outbox.undelivered() >= least)
    }

    /// What of an egress is full for functions of type `sender`, in words.
    pub(super) fn full_for(&self, egress: &[u8], sender: &[u8]) -> Option<String> {
        let (name, outbox) = self.by_prefix.get(egress)?;
        let all = outbox.undelivered();
        if all >= self.limit {
            return Some(format!("{all} records of egress {name} are not delivered"));
        }
        let own = outbox.undelivered_of(sender);
        (own >= self.share).then(|| {
            format!(
                "{own} records of egress {name} are not delivered, which is the share of one function"
            )
        })
    }

    /// The egress whose outbox is as full as it may be.
    pub(super) fn full(&self) -> Option<(TypeName, u64)> {
        self.by_prefix.values().find_map(|(name, outbox)| {
            let undelivered = outbox.undelivered();
            (undelivered >= self.limit).then(|| (name.clone(), undelivered))
        })
    }
}

/// An egress that is ready to deliver.
#[async_trait]
pub(super) trait OpenEgress: fmt::Debug + Send {
    /// Where it listens, when records are fetched from it.
    fn listening(&self) -> Option<Listener> {
        None
    }

    /// Empties `outbox` until `stop` turns true.
    async fn run(self: Box<Self>, outbox: Outbox, stop: watch::Receiver<bool>);
}

/// Brings the records of an outbox to an [`Egress`].
#[derive(Debug)]
pub(super) struct Push {
    pub(super) name: TypeName,
    pub(super) egress: Arc<dyn Egress>,
}

#[async_trait]
impl OpenEgress for Push {
    async fn run(self: Box<Self>, outbox: Outbox, stop: watch::Receiver<bool>) {
        let backoff = Backoff {
            first: Duration::from_millis(250),
            factor: 2.0,
            max: Duration::from_secs(30),
        };
        loop {
            let taken = tokio::select! {
                taken = outbox.take(BATCH) => taken,
                () = stopped(stop.clone()) => return,
            };
            match taken {
                Ok(batch) => {
                    let (records, ids) = readable(&self.name, batch);
                    if !self.deliver(&records, &outbox, backoff, &stop).await {
                        return;
                    }
                    outbox.settle(&ids);
                }
                Err(failure) => {
                    warn!(egress = %self.name, %failure, "the outbox can't be read; will retry");
                    sleep(backoff.max).await;
                }
            }
        }
    }
}

impl Push {
    /// Delivers a batch, however often it takes. `false`: the runtime stops, and the batch stays in the outbox.
    async fn deliver(
        &self,
        records: &[EgressRecord],
        outbox: &Outbox,
        backoff: Backoff,
        stop: &watch::Receiver<bool>,
    ) -> bool {
        let mut failures = 0;
        loop {
            let failure = match self.egress.deliver(records).await {
                Ok(()) => break,
                Err(failure) => failure,
            };
            failures += 1;
            let wait = backoff.delay(failures);
            let in_ms = wait.as_millis();
            let failure = chain(failure.as_ref());
            warn!(egress = %self.name, attempt = failures, in_ms, %failure, "egress failed; will retry");
            outbox.set_failing(Some(Failing {
                attempts: failures,
                last_failure: failure,
            }));
            tokio::select! {
                () = sleep(wait) => {}
                () = stopped(stop.clone()) => return false,
            }
        }
        if failures > 0 {
            outbox.set_failing(None);
            info!(egress = %self.name, "the egress works again");
        }
        true
    }
}

/// Decodes the records, with the ids of all of them: bytes that are no `TypedValue` go out as they are.
fn readable(name: &TypeName, batch: Vec<OutboxRecord>) -> (Vec<EgressRecord>, Vec<MessageId>) {
    let ids = batch.iter().map(|record| record.id).collect();
    let records = batch.into_iter().map(|record| {
        let id = format!("{}-{}", record.id.boot, record.id.number);
        let decoded = TypedValue::decode(record.value.clone()).unwrap_or_else(|failure| {
            warn!(egress = %name, %id, %failure, "the record is not a TypedValue; it goes out as it is");
            TypedValue { typename: String::new(), has_value: true, value: record.value }
        });
        EgressRecord { id, value_type_name: decoded.typename, value: decoded.value }
    });
    (records.collect(), ids)
}

/// A record as a line of JSON: built-in types as text, JSON as it is, all else as base64.
pub(super) fn json_line(egress: &TypeName, record: &EgressRecord) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let typed = TypedValue {
        typename: record.value_type_name.clone(),
        has_value: true,
        value: record.value.clone(),
    };
    let (_, text, bytes) = values::show(&typed.encode_to_vec().into());
    let mut line = serde_json::json!({ "egress": egress.as_str(), "id": record.id, "type": record.value_type_name });
    let value = match text {
        Some(text) => ("value", text.into()),
        None => match serde_json::from_slice::<serde_json::Value>(&bytes) {
            Ok(json) => ("value", json),
            Err(_) => ("base64", STANDARD.encode(&bytes).into()),
        },
    };
    if let Some(object) = line.as_object_mut() {
        object.insert(value.0.to_owned(), value.1);
    }
    line.to_string()
}
