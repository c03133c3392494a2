//! The part of a batch stage's function that collects records and lets them go.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use uuid::Uuid;

use super::ids;
use super::record::{Record, WireRecord};
use super::segments::{Segments, Size};
use super::stages::Batching;
use super::wire::{FLUSH, Flush};
use crate::sdk::types::protobuf_as;
use crate::sdk::{
    BoxError, CancellationToken, Context, FunctionSpec, MessageBuilder, TypeName, ValueSpec,
};

/// A batch with this many bytes is let go, whatever its settings say.
const MAX_BYTES: u64 = 1024 * 1024;

/// The batch that is filling; known by its first record, so that a late flush of the one before is told apart.
const FILLING: ValueSpec<Flush> = ValueSpec::new(
    "filling",
    protobuf_as(TypeName::new("statefun.pipelines/flush")),
);

/// Collects the records of one key at its address.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    batching: Arc<Batching>,
    items: Arc<Segments>,
}

impl Collector {
    pub(crate) fn new(batching: Arc<Batching>) -> Self {
        let items = Arc::new(Segments::for_items(u64::from(batching.count)));
        Self { batching, items }
    }

    /// Declares the values of a batch.
    pub(crate) fn declare(&self, spec: FunctionSpec) -> FunctionSpec {
        self.items.declare(spec.value(FILLING))
    }

    /// Adds a record. Answers the batch when it lets go.
    pub(crate) fn add(
        &self,
        context: &mut Context,
        record: &Record,
    ) -> Result<Option<Record>, BoxError> {
        let first = self.begin_if_empty(context, record.id())?;
        let item = record.to_wire().encode_to_vec();
        let size = self.items.push(context.storage(), &item)?;
        if !self.is_due(size) {
            return Ok(None);
        }
        if self.batching.time.is_some() {
            context.cancel_delayed_message(&token(context, &first)?);
        }
        self.release(context)
    }

    /// The batch has been filling for its time. Answers it, unless it was let go already.
    pub(crate) fn flush(
        &self,
        context: &mut Context,
        flush: &Flush,
    ) -> Result<Option<Record>, BoxError> {
        let filling = context.storage().get(&FILLING)?;
        if filling.as_ref() == Some(flush) {
            self.release(context)
        } else {
            Ok(None)
        }
    }

    /// With the first record the time begins to run.
    fn begin_if_empty(&self, context: &mut Context, record: Uuid) -> Result<Flush, BoxError> {
        if let Some(filling) = context.storage().get(&FILLING)? {
            return Ok(filling);
        }
        let flush = Flush {
            first: Bytes::copy_from_slice(record.as_bytes()),
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
        context.storage().remove(&FILLING)?;
        let mut records = Vec::new();
        for item in self.items.take_all(context.storage())? {
            records.push(WireRecord::decode(item)?);
        }
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
        batch.set_payload(release.payload, release.content_type);
        Ok(Some(batch))
    }
}

/// A batch's token: two batches may be armed and cancelled at one address in one call, so each has its own.
fn token(context: &Context, flush: &Flush) -> Result<CancellationToken, BoxError> {
    let first = Uuid::from_slice(&flush.first)?;
    let text = format!("{}/flush/{first}", context.address());
    Ok(CancellationToken::new(text)?)
}
