//! A list in function state that grows without being written anew each time.
//!
//! Its items lie in up to sixteen values, and adding one rewrites the last of them only: all values of a function travel with each
//! call, but only what changed is written.

use bytes::Bytes;
use prost::Message;

use super::blob::Blob;
use crate::sdk::types::protobuf_as;
use crate::sdk::{AddressScopedStorage, FunctionSpec, SdkError, Type, TypeName, ValueSpec};

const SEGMENTS: u64 = 16;
/// A segment that has grown to this takes no more items.
const MAX_SEGMENT_BYTES: u64 = 64 * 1024;

const LIST: Type<List> = protobuf_as(TypeName::new("statefun.pipelines/list"));
const SEGMENT: Type<Blob> = protobuf_as(TypeName::new("statefun.pipelines/segment"));

/// How much is in the list.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct List {
    /// How many segments there are.
    #[prost(uint64, tag = "1")]
    segments: u64,
    /// Items in the last segment.
    #[prost(uint64, tag = "2")]
    last_items: u64,
    /// Bytes in the last segment.
    #[prost(uint64, tag = "3")]
    last_bytes: u64,
    /// Items in all.
    #[prost(uint64, tag = "4")]
    items: u64,
    /// Bytes in all.
    #[prost(uint64, tag = "5")]
    bytes: u64,
}

/// How much is in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    /// No segment is left for another item.
    pub(crate) is_full: bool,
}

/// The values of a list, and how many items a segment takes.
#[derive(Debug)]
pub(crate) struct Segments {
    list: ValueSpec<List>,
    segments: Vec<ValueSpec<Blob>>,
    items_per_segment: u64,
}

impl Segments {
    /// A list for up to about `items` items.
    pub(crate) fn for_items(items: u64) -> Self {
        let segment = |at| {
            ValueSpec::try_new(format!("segment_{at}"), SEGMENT)
                .expect("a name of letters and digits")
        };
        Self {
            list: ValueSpec::new("list", LIST),
            segments: (0..SEGMENTS).map(segment).collect(),
            items_per_segment: items.div_ceil(SEGMENTS).max(1),
        }
    }

    /// Declares the values.
    pub(crate) fn declare(&self, spec: FunctionSpec) -> FunctionSpec {
        let spec = spec.value(self.list.clone());
        let declare = |spec: FunctionSpec, segment: &ValueSpec<Blob>| spec.value(segment.clone());
        self.segments.iter().fold(spec, declare)
    }

    /// Adds an item at the end. The list must not be full.
    pub(crate) fn push(
        &self,
        storage: &mut AddressScopedStorage,
        item: &[u8],
    ) -> Result<Size, SdkError> {
        let mut list = storage.get(&self.list)?.unwrap_or_default();
        let mut segment = Blob::default();
        if list.segments == 0 || self.is_last_full(list) {
            list.segments += 1;
            (list.last_items, list.last_bytes) = (0, 0);
        } else {
            segment = storage
                .get(self.segment(list.segments - 1))?
                .unwrap_or_default();
        }
        let bytes = item.len() as u64;
        segment.push(item);
        list.last_items += 1;
        list.last_bytes += bytes;
        list.items += 1;
        list.bytes += bytes;
        storage.set(self.segment(list.segments - 1), segment)?;
        storage.set(&self.list, list)?;
        Ok(Size {
            items: list.items,
            bytes: list.bytes,
            is_full: list.segments == SEGMENTS && self.is_last_full(list),
        })
    }

    /// All items, in order; the list is empty then.
    pub(crate) fn take_all(
        &self,
        storage: &mut AddressScopedStorage,
    ) -> Result<Vec<Bytes>, SdkError> {
        let list = storage.get(&self.list)?.unwrap_or_default();
        let mut items = Vec::new();
        for at in 0..list.segments {
            let segment = storage.get(self.segment(at))?.unwrap_or_default();
            items.extend(segment.items());
            storage.remove(self.segment(at))?;
        }
        storage.remove(&self.list)?;
        Ok(items)
    }

    fn segment(&self, at: u64) -> &ValueSpec<Blob> {
        let at = usize::try_from(at % SEGMENTS).unwrap_or(0);
        self.segments
            .get(at)
            .expect("the remainder is below the number of values")
    }

    const fn is_last_full(&self, list: List) -> bool {
        list.last_items >= self.items_per_segment || list.last_bytes >= MAX_SEGMENT_BYTES
    }
}
