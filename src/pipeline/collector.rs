//! The part of a batch stage's function that collects records and sends them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::ids;
use super::record::{Record, content_type};
use super::stages::Batching;
use super::wire;
use crate::delivery::engine::Failure;
use crate::delivery::owner::{Capacity, Queue, QueueValues, Size};
use crate::sdk::types::protobuf_as;
use crate::sdk::{
    Address, BoxError, CancellationToken, Context, FunctionSpec, MessageBuilder, Type, ValueSpec,
};
use crate::time::Timestamp;

/// From a batch to itself: its time is over.
pub(crate) const FLUSH: Type<Flush> = protobuf_as("statefun.pipelines/flush");

/// The first record of the batch, which identifies it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Flush {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) first: Bytes,
    /// How the items are compressed.
    #[prost(string, tag = "2")]
    encoding: String,
    /// The content type of the items, if all have the same.
    #[prost(string, tag = "3")]
    content_type: String,
}

const CHUNKS: u64 = 16;
const CHUNK_BYTES: u64 = 64 * 1024;
/// A batch is sent at this size, whatever its settings.
const MAX_BYTES: u64 = 1024 * 1024;

/// The open batch, identified by its first record, so that a late flush of the previous one is recognised.
const FILLING: ValueSpec<Flush> =
    ValueSpec::new("filling", protobuf_as("statefun.pipelines/flush"));

/// Collects the records of one key at its address.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    batching: Arc<Batching>,
    items: Arc<QueueValues>,
}

/// Open batches of stages that are gone.
#[cfg(feature = "runtime")]
#[derive(Debug, Clone)]
pub(crate) struct Leftover(Arc<QueueValues>);

#[cfg(feature = "runtime")]
impl Leftover {
    /// The value of an open batch, and its typename.
    pub(crate) const VALUE: (&'static str, &'static str) = ("filling", "statefun.pipelines/flush");

    pub(crate) fn new() -> Self {
        Self(Arc::new(values(1)))
    }

    /// Declares the values of a batch.
    pub(crate) fn declare(&self, spec: FunctionSpec) -> FunctionSpec {
        self.0.declare(spec.value(FILLING))
    }

    /// Removes the records of the open batch at this address.
    pub(crate) fn take(&self, context: &mut Context) -> Result<Vec<Record>, BoxError> {
        take_apart(&self.0, context)
    }
}

/// Removes the open batch at this address, and returns its records.
fn take_apart(values: &QueueValues, context: &mut Context) -> Result<Vec<Record>, BoxError> {
    let Some(filling) = context.storage().get(&FILLING)? else {
        return Ok(Vec::new());
    };
    context.cancel_delayed_message(&token(context, &filling)?);
    context.storage().remove(&FILLING)?;
    take_all(values, context)
}

fn values(count: u32) -> QueueValues {
    QueueValues::new(Capacity {
        chunks: CHUNKS,
        chunk_items: u64::from(count).div_ceil(CHUNKS).max(1),
        chunk_bytes: CHUNK_BYTES,
        has_pages: false,
    })
}

fn take_all(values: &QueueValues, context: &mut Context) -> Result<Vec<Record>, BoxError> {
    let mut queue = Queue::load(values, context.storage())?;
    let items = queue.take_all(context.storage())?;
    queue.save(context.storage())?;
    items.into_iter().map(Record::decode).collect()
}

/// What became of a record that came to a batch.
pub(crate) enum Added {
    /// It waits in the open batch.
    Waits,
    /// It completed the batch.
    Completes(Record),
    /// It cannot be part of the batch.
    Refused(Box<Failure>),
}

impl Collector {
    pub(crate) fn new(batching: Arc<Batching>) -> Self {
        let items = values(batching.count);
        Self {
            batching,
            items: Arc::new(items),
        }
    }

    /// Declares the values of a batch.
    pub(crate) fn declare(&self, spec: FunctionSpec) -> FunctionSpec {
        self.items.declare(spec.value(FILLING))
    }

    /// Adds a record.
    pub(crate) fn add(&self, context: &mut Context, record: &Record) -> Result<Added, BoxError> {
        if let Err(failure) = self.batching.takes(record) {
            return Ok(Added::Refused(failure));
        }
        let first = self.begin_if_empty(context, record)?;
        if first.encoding != record.content_encoding() {
            let shown = |encoding: &str| match encoding {
                "" => "not compressed".to_owned(),
                encoding => format!("compressed with {encoding}"),
            };
            let text = format!(
                "the record is {}, and those of its batch are {}; a batch has one content encoding",
                shown(record.content_encoding()),
                shown(&first.encoding)
            );
            let failure = Failure::permanent("stage_error", text);
            return Ok(Added::Refused(Box::new(failure)));
        }
        let mut item = Vec::new();
        wire::put(record, &mut item)?;
        let mut queue = Queue::load(&self.items, context.storage())?;
        queue.push(context.storage(), &item)?;
        let size = queue.size();
        queue.save(context.storage())?;
        if !self.is_due(size) {
            return Ok(Added::Waits);
        }
        if self.batching.time.is_some() {
            context.cancel_delayed_message(&token(context, &first)?);
        }
        let batch = self.release(context)?;
        Ok(batch.map_or(Added::Waits, Added::Completes))
    }

    /// Handles the end of a batch's time. Returns the batch, unless it has already been sent.
    pub(crate) fn flush(
        &self,
        context: &mut Context,
        flush: &Flush,
    ) -> Result<Option<Record>, BoxError> {
        let filling = context.storage().get(&FILLING)?;
        if filling.is_some_and(|filling| filling.first == flush.first) {
            self.release(context)
        } else {
            Ok(None)
        }
    }

    /// Removes the records of the open batch, if one of them belongs to another address since the settings changed. Otherwise none.
    pub(crate) fn displaced(
        &self,
        context: &mut Context,
        belongs_elsewhere: impl Fn(&mut Record, &Address) -> bool,
    ) -> Result<Vec<Record>, BoxError> {
        let here = context.address().clone();
        let queue = Queue::load(&self.items, context.storage())?;
        let items = queue.items(context.storage())?;
        let mut records = items.into_iter().map(Record::decode);
        let is_displaced = records.try_fold(false, |is_displaced, record| {
            Ok::<_, BoxError>(is_displaced || belongs_elsewhere(&mut record?, &here))
        })?;
        match is_displaced {
            true => take_apart(&self.items, context),
            false => Ok(Vec::new()),
        }
    }

    /// Applies settings that have changed since the last start: a batch with enough items is sent at once, and the time of others
    /// counts from the arrival of their first record.
    pub(crate) fn reconsider(
        &self,
        context: &mut Context,
        now: Timestamp,
    ) -> Result<Option<Record>, BoxError> {
        let Some(filling) = context.storage().get(&FILLING)? else {
            return Ok(None);
        };
        context.cancel_delayed_message(&token(context, &filling)?);
        let queue = Queue::load(&self.items, context.storage())?;
        if self.is_due(queue.size()) {
            return self.release(context);
        }
        let Some(time) = self.batching.time else {
            return Ok(None);
        };
        let first = queue.first(context.storage())?.map(Record::decode);
        let begun = first.transpose()?.map_or(now, |first| first.received_at());
        let rest = (begun + time).since(now);
        if rest.is_zero() {
            return self.release(context);
        }
        self.flush_after(context, rest, &filling)?;
        Ok(None)
    }

    fn flush_after(
        &self,
        context: &mut Context,
        time: Duration,
        flush: &Flush,
    ) -> Result<(), BoxError> {
        let token = token(context, flush)?;
        let message = MessageBuilder::to(context.address().clone()).value_as(&FLUSH, flush)?;
        Ok(context.send_after_with_token(time, token, message)?)
    }

    /// The first record starts the time.
    fn begin_if_empty(&self, context: &mut Context, record: &Record) -> Result<Flush, BoxError> {
        if let Some(mut filling) = context.storage().get(&FILLING)? {
            if !filling.content_type.is_empty() && filling.content_type != record.content_type() {
                filling.content_type.clear();
                context.storage().set(&FILLING, filling.clone())?;
            }
            return Ok(filling);
        }
        let flush = Flush {
            first: Bytes::copy_from_slice(record.id().as_bytes()),
            encoding: record.content_encoding().to_owned(),
            content_type: record.content_type().to_owned(),
        };
        if let Some(time) = self.batching.time {
            self.flush_after(context, time, &flush)?;
        }
        context.storage().set(&FILLING, flush.clone())?;
        Ok(flush)
    }

    fn is_due(&self, size: Size) -> bool {
        size.items >= u64::from(self.batching.count) || size.bytes >= MAX_BYTES || size.is_full
    }

    fn release(&self, context: &mut Context) -> Result<Option<Record>, BoxError> {
        let filling = context.storage().get(&FILLING)?.unwrap_or_default();
        context.storage().remove(&FILLING)?;
        let records = take_all(&self.items, context)?;
        let Some(last) = records.last().cloned() else {
            return Ok(None);
        };
        let payloads: Vec<Bytes> = records.iter().map(Record::payload).collect();
        let release = self.batching.release(&payloads);
        let id = ids::of_batch(records.iter().map(Record::id));
        let mut batch = last.with_id(id);
        // Concatenated items keep their content type if all have the same.
        match (release.content_type, filling.content_type) {
            (Some(content_type), _) => batch.set_payload(release.payload, content_type),
            (None, all) if all.is_empty() => {
                batch.set_payload(release.payload, content_type::BYTES);
            }
            (None, all) => batch.set_payload(release.payload, all),
        }
        batch.set_content_encoding(filling.encoding);
        Ok(Some(batch))
    }
}

/// The token of a batch. Each has its own, because two may be armed and cancelled at one address in one call.
fn token(context: &Context, flush: &Flush) -> Result<CancellationToken, BoxError> {
    let first = Uuid::from_slice(&flush.first)?;
    let text = format!("{}/flush/{first}", context.address());
    Ok(CancellationToken::new(text)?)
}
