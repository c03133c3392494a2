//! The part of a batch stage's function that collects records and lets them go.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use uuid::Uuid;

use super::ids;
use super::record::{Record, WireRecord, content_type};
use super::stages::Batching;
use crate::delivery::engine::Failure;
use crate::delivery::owner::{Capacity, Queue, QueueValues, Size};
use crate::sdk::types::protobuf_as;
use crate::sdk::{
    BoxError, CancellationToken, Context, FunctionSpec, MessageBuilder, Type, ValueSpec,
};

/// To a batch, by itself: it has been filling long enough.
pub(crate) const FLUSH: Type<Flush> = protobuf_as("statefun.pipelines/flush");

/// The batch that is meant: that with this first record.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Flush {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) first: Bytes,
    /// How the items are compressed.
    #[prost(string, tag = "2")]
    encoding: String,
    /// What the items are, when they are all the same.
    #[prost(string, tag = "3")]
    content_type: String,
}

const CHUNKS: u64 = 16;
const CHUNK_BYTES: u64 = 64 * 1024;
/// A batch with this many bytes is let go, whatever its settings say.
const MAX_BYTES: u64 = 1024 * 1024;

/// The batch that is filling; known by its first record, so that a late flush of the one before is told apart.
const FILLING: ValueSpec<Flush> =
    ValueSpec::new("filling", protobuf_as("statefun.pipelines/flush"));

/// Collects the records of one key at its address.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    batching: Arc<Batching>,
    items: Arc<QueueValues>,
}

impl Collector {
    pub(crate) fn new(batching: Arc<Batching>) -> Self {
        let items = QueueValues::new(Capacity {
            chunks: CHUNKS,
            chunk_items: u64::from(batching.count).div_ceil(CHUNKS).max(1),
            chunk_bytes: CHUNK_BYTES,
            has_pages: false,
        });
        Self {
            batching,
            items: Arc::new(items),
        }
    }

    /// Declares the values of a batch.
    pub(crate) fn declare(&self, spec: FunctionSpec) -> FunctionSpec {
        self.items.declare(spec.value(FILLING))
    }

    /// Adds a record. Answers the batch when it lets go, or why this record cannot be part of it.
    pub(crate) fn add(
        &self,
        context: &mut Context,
        record: &Record,
    ) -> Result<Result<Option<Record>, Box<Failure>>, BoxError> {
        if let Err(failure) = self.batching.takes(record) {
            return Ok(Err(failure));
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
            return Ok(Err(Box::new(Failure::permanent("stage_error", text))));
        }
        let item = record.to_wire().encode_to_vec();
        let mut queue = Queue::load(&self.items, context.storage())?;
        queue.push(context.storage(), &item)?;
        let size = queue.size();
        queue.save(context.storage())?;
        if !self.is_due(size) {
            return Ok(Ok(None));
        }
        if self.batching.time.is_some() {
            context.cancel_delayed_message(&token(context, &first)?);
        }
        Ok(Ok(self.release(context)?))
    }

    /// The batch has been filling for its time. Answers it, unless it was let go already.
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

    /// With the first record the time begins to run.
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
            let token = token(context, &flush)?;
            let message = MessageBuilder::to(context.address().clone()).value_as(&FLUSH, &flush)?;
            context.send_after_with_token(time, token, message)?;
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
        let mut records = Vec::new();
        let mut queue = Queue::load(&self.items, context.storage())?;
        for item in queue.take_all(context.storage())? {
            records.push(WireRecord::decode(item)?);
        }
        queue.save(context.storage())?;
        let Some(last) = records.last().cloned() else {
            return Ok(None);
        };
        let payloads: Vec<Bytes> = records
            .iter()
            .map(|record| record.payload.clone())
            .collect();
        let release = self.batching.release(&payloads);
        let id = ids::of_batch(records.iter().map(|record| record.id.as_ref()));
        let mut batch = Record::from_wire(last)?.with_id(id);
        // Items that stand one after the other are still what they were, when they were all the same.
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

/// A batch's token: two batches may be armed and cancelled at one address in one call, so each has its own.
fn token(context: &Context, flush: &Flush) -> Result<CancellationToken, BoxError> {
    let first = Uuid::from_slice(&flush.first)?;
    let text = format!("{}/flush/{first}", context.address());
    Ok(CancellationToken::new(text)?)
}
