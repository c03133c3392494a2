//! A queue of any length in function state: appending rewrites only a small chunk.
//!
//! All values of an address are sent with each call, and a value is written as a whole. So the newest items are in chunks, of which
//! only the last is written when an item is added. When all chunks are full they become a page, which is written once and fetched back when it
//! is needed (see `pages`). A queue without pages is then full.

use bytes::Bytes;
use prost::Message;

use super::blob::Blob;
use crate::sdk::types::protobuf_as;
use crate::sdk::{AddressScopedStorage, FunctionSpec, SdkError, Type, ValueSpec};

const ENDS: ValueSpec<Ends> = ValueSpec::new("list", protobuf_as("statefun.pipelines/list"));
const CHUNK: Type<Blob> = protobuf_as("statefun.pipelines/segment");
/// A page: its address, and the items that it has.
pub(crate) const PAGE: Type<Blob> = protobuf_as("statefun.pipelines/page");
/// The oldest items, taken from a page; on a page, all of its items.
pub(crate) const FRONT: ValueSpec<Blob> = ValueSpec::new("front", PAGE);

/// The bounds of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Ends {
    /// The number of chunks.
    #[prost(uint64, tag = "1")]
    chunks: u64,
    /// Items in the last chunk.
    #[prost(uint64, tag = "2")]
    last_items: u64,
    /// Bytes in the last chunk.
    #[prost(uint64, tag = "3")]
    last_bytes: u64,
    /// Total items.
    #[prost(uint64, tag = "4")]
    items: u64,
    /// Bytes appended since the queue was empty.
    #[prost(uint64, tag = "5")]
    bytes: u64,
    /// The number of the first chunk; the values of chunks are used cyclically.
    #[prost(uint64, tag = "6")]
    first_chunk: u64,
    /// The start of the first item of the front that was not taken.
    #[prost(uint64, tag = "7")]
    taken: u64,
    /// The page after the front.
    #[prost(uint64, tag = "8")]
    first_page: u64,
    /// The next page to write.
    #[prost(uint64, tag = "9")]
    next_page: u64,
    /// The page after the front is being fetched.
    #[prost(bool, tag = "10")]
    is_fetching: bool,
}

/// The capacity of a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// Chunks, one value each.
    pub(crate) chunks: u64,
    /// A chunk with this many items is full.
    pub(crate) chunk_items: u64,
    /// A chunk with this many bytes is full.
    pub(crate) chunk_bytes: u64,
    /// Whether further items go to pages; otherwise the queue is then full.
    pub(crate) has_pages: bool,
}

/// The values of a queue.
#[derive(Debug)]
pub(crate) struct QueueValues {
    chunks: Vec<ValueSpec<Blob>>,
    capacity: Capacity,
}

/// The size of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    /// Whether there is no chunk for another item.
    pub(crate) is_full: bool,
}

/// The result of taking from a queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Item(Bytes),
    /// The next item is on this page, which must be fetched first.
    Fetch(u64),
    /// The page is being fetched.
    Fetching,
    Empty,
}

impl QueueValues {
    pub(crate) fn new(capacity: Capacity) -> Self {
        let chunk = |at| {
            ValueSpec::try_new(format!("segment_{at}"), CHUNK)
                .expect("a name of letters and digits")
        };
        Self {
            chunks: (0..capacity.chunks).map(chunk).collect(),
            capacity,
        }
    }

    /// Declares the values.
    pub(crate) fn declare(&self, spec: FunctionSpec) -> FunctionSpec {
        let mut spec = spec.value(ENDS);
        if self.capacity.has_pages {
            spec = spec.value(FRONT);
        }
        let declare = |spec: FunctionSpec, chunk: &ValueSpec<Blob>| spec.value(chunk.clone());
        self.chunks.iter().fold(spec, declare)
    }

    fn chunk(&self, number: u64) -> &ValueSpec<Blob> {
        let at = usize::try_from(number % self.capacity.chunks).unwrap_or(0);
        self.chunks
            .get(at)
            .expect("the remainder is below the number of values")
    }

    const fn is_last_full(&self, ends: Ends) -> bool {
        ends.last_items >= self.capacity.chunk_items || ends.last_bytes >= self.capacity.chunk_bytes
    }
}

/// A loaded queue at one address. [`Queue::save`] writes the changes.
pub(crate) struct Queue<'v> {
    values: &'v QueueValues,
    ends: Ends,
    before: Ends,
}

impl<'v> Queue<'v> {
    pub(crate) fn load(
        values: &'v QueueValues,
        storage: &AddressScopedStorage,
    ) -> Result<Self, SdkError> {
        let ends = storage.get(&ENDS)?.unwrap_or_default();
        Ok(Self {
            values,
            ends,
            before: ends,
        })
    }

    /// The number of items, including those on pages.
    pub(crate) const fn len(&self) -> u64 {
        self.ends.items
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.ends.items == 0
    }

    pub(crate) const fn is_fetching(&self) -> bool {
        self.ends.is_fetching
    }

    pub(crate) fn size(&self) -> Size {
        let Ends { items, bytes, .. } = self.ends;
        let is_full = !self.values.capacity.has_pages
            && self.ends.chunks == self.values.capacity.chunks
            && self.values.is_last_full(self.ends);
        Size {
            items,
            bytes,
            is_full,
        }
    }

    /// Adds an item at the end. Returns a page and its number if one must be written first. A queue without pages must not be full.
    pub(crate) fn push(
        &mut self,
        storage: &mut AddressScopedStorage,
        item: &[u8],
    ) -> Result<Option<(u64, Blob)>, SdkError> {
        let needs_chunk = self.ends.chunks == 0 || self.values.is_last_full(self.ends);
        let mut page = None;
        if needs_chunk && self.ends.chunks == self.values.capacity.chunks {
            page = Some(self.make_page(storage)?);
        }
        let mut chunk = Blob::default();
        if needs_chunk {
            self.ends.chunks += 1;
            (self.ends.last_items, self.ends.last_bytes) = (0, 0);
        } else {
            chunk = self.chunk(storage, self.ends.chunks - 1)?;
        }
        let bytes = item.len() as u64;
        chunk.push(item);
        self.ends.last_items += 1;
        self.ends.last_bytes += bytes;
        self.ends.items += 1;
        self.ends.bytes += bytes;
        let last = self.ends.first_chunk + self.ends.chunks - 1;
        storage.set(self.values.chunk(last), chunk)?;
        Ok(page)
    }

    fn chunk(&self, storage: &AddressScopedStorage, at: u64) -> Result<Blob, SdkError> {
        let chunk = storage.get(self.values.chunk(self.ends.first_chunk + at))?;
        Ok(chunk.unwrap_or_default())
    }

    fn make_page(&mut self, storage: &AddressScopedStorage) -> Result<(u64, Blob), SdkError> {
        let mut page = Vec::new();
        for at in 0..self.ends.chunks {
            page.extend_from_slice(&self.chunk(storage, at)?.bytes);
        }
        let number = self.ends.next_page;
        self.ends.next_page += 1;
        self.ends.first_chunk += self.ends.chunks;
        self.ends.chunks = 0;
        Ok((number, Blob { bytes: page.into() }))
    }

    /// Takes the oldest item.
    pub(crate) fn take(&mut self, storage: &mut AddressScopedStorage) -> Result<Taken, SdkError> {
        self.next(storage, true)
    }

    /// The oldest item, if it is here.
    pub(crate) fn peek(
        &mut self,
        storage: &mut AddressScopedStorage,
    ) -> Result<Option<Bytes>, SdkError> {
        Ok(match self.next(storage, false)? {
            Taken::Item(item) => Some(item),
            _ => None,
        })
    }

    fn next(&mut self, storage: &mut AddressScopedStorage, takes: bool) -> Result<Taken, SdkError> {
        if self.ends.is_fetching {
            return Ok(Taken::Fetching);
        }
        loop {
            let front = storage.get(&FRONT)?;
            let from = usize::try_from(self.ends.taken).unwrap_or(usize::MAX);
            if let Some((item, next)) = front.as_ref().and_then(|front| front.item_at(from)) {
                if takes {
                    self.ends.taken = next as u64;
                    self.ends.items = self.ends.items.saturating_sub(1);
                }
                return Ok(Taken::Item(item));
            }
            self.ends.taken = 0;
            if front.is_some() {
                storage.remove(&FRONT)?;
            }
            if self.ends.first_page < self.ends.next_page {
                if takes {
                    self.ends.is_fetching = true;
                    return Ok(Taken::Fetch(self.ends.first_page));
                }
                return Ok(Taken::Fetching);
            }
            if self.ends.chunks == 0 {
                self.ends.items = 0;
                return Ok(Taken::Empty);
            }
            let chunk = self.chunk(storage, 0)?;
            self.ends.first_chunk += 1;
            self.ends.chunks -= 1;
            storage.set(&FRONT, chunk)?;
        }
    }

    /// Adds a fetched page.
    pub(crate) fn page_came(
        &mut self,
        storage: &mut AddressScopedStorage,
        page: Blob,
    ) -> Result<(), SdkError> {
        (self.ends.is_fetching, self.ends.taken) = (false, 0);
        self.ends.first_page += 1;
        storage.set(&FRONT, page)
    }

    /// The oldest item of a queue without pages.
    pub(crate) fn first(&self, storage: &AddressScopedStorage) -> Result<Option<Bytes>, SdkError> {
        Ok(match self.ends.chunks {
            0 => None,
            _ => self.chunk(storage, 0)?.items().next(),
        })
    }

    /// All items, in order, of a queue without pages.
    pub(crate) fn items(&self, storage: &AddressScopedStorage) -> Result<Vec<Bytes>, SdkError> {
        let mut items = Vec::new();
        for at in 0..self.ends.chunks {
            items.extend(self.chunk(storage, at)?.items());
        }
        Ok(items)
    }

    /// Removes all items, in order, of a queue without pages.
    pub(crate) fn take_all(
        &mut self,
        storage: &AddressScopedStorage,
    ) -> Result<Vec<Bytes>, SdkError> {
        let items = self.items(storage)?;
        self.ends = Ends::default();
        Ok(items)
    }

    /// Migrates the state of an earlier version: a partly consumed front, pages, and the newest items.
    pub(crate) fn adopt(
        &mut self,
        storage: &mut AddressScopedStorage,
        old: OldEnds,
        back: Blob,
    ) -> Result<(), SdkError> {
        let front = storage.get(&FRONT)?.unwrap_or_default();
        let mut rest = usize::try_from(old.taken).unwrap_or(usize::MAX);
        let mut items = back.items().count() as u64;
        items += (old.next_page - old.first_page.min(old.next_page)) * old.page_items;
        while let Some((_, next)) = front.item_at(rest) {
            (rest, items) = (next, items + 1);
        }
        self.ends = Ends {
            chunks: u64::from(!back.bytes.is_empty()),
            last_items: back.items().count() as u64,
            last_bytes: back.bytes.len() as u64,
            items,
            bytes: 0,
            first_chunk: 0,
            taken: old.taken,
            first_page: old.first_page,
            next_page: old.next_page,
            is_fetching: old.is_fetching,
        };
        if !back.bytes.is_empty() {
            storage.set(self.values.chunk(0), back)?;
        }
        Ok(())
    }

    /// Writes the bounds of the queue. An empty queue leaves nothing behind, except that page numbers are never reused while a page is
    /// being fetched.
    pub(crate) fn save(self, storage: &mut AddressScopedStorage) -> Result<(), SdkError> {
        let rests = self.ends.items == 0
            && self.ends.chunks == 0
            && !self.ends.is_fetching
            && self.ends.first_page == self.ends.next_page;
        if !rests {
            if self.ends != self.before {
                storage.set(&ENDS, self.ends)?;
            }
            return Ok(());
        }
        for chunk in &self.values.chunks {
            if storage.get(chunk)?.is_some() {
                storage.remove(chunk)?;
            }
        }
        if self.values.capacity.has_pages && storage.get(&FRONT)?.is_some() {
            storage.remove(&FRONT)?;
        }
        if storage.get(&ENDS)?.is_some() {
            storage.remove(&ENDS)?;
        }
        Ok(())
    }
}

/// The bounds of an earlier version's list.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OldEnds {
    pub(crate) taken: u64,
    pub(crate) first_page: u64,
    pub(crate) next_page: u64,
    pub(crate) is_fetching: bool,
    pub(crate) page_items: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use super::*;
    use crate::random::Random;
    use crate::sdk::{Cell, DeclaredValue, TypeName};

    fn values(has_pages: bool) -> QueueValues {
        QueueValues::new(Capacity {
            chunks: 4,
            chunk_items: 3,
            chunk_bytes: 1000,
            has_pages,
        })
    }

    fn storage(values: &QueueValues) -> AddressScopedStorage {
        let mut declared: Vec<DeclaredValue> = vec![ENDS.into(), FRONT.into()];
        declared.extend(values.chunks.iter().cloned().map(DeclaredValue::from));
        let cells = declared.iter().map(|_| Cell::Stored(None)).collect();
        AddressScopedStorage::new(TypeName::new("a/b"), declared.into(), cells)
    }

    fn remembers(values: &QueueValues, storage: &AddressScopedStorage) -> bool {
        let chunks = values.chunks.iter();
        storage.get(&ENDS).unwrap().is_some()
            || storage.get(&FRONT).unwrap().is_some()
            || chunks
                .into_iter()
                .any(|chunk| storage.get(chunk).unwrap().is_some())
    }

    #[test]
    fn items_leave_in_the_order_in_which_they_came_over_chunks_and_pages() {
        let values = values(true);
        for seed in 0..200 {
            let mut random = Random::seeded(seed);
            let mut storage = storage(&values);
            let mut pages = HashMap::new();
            let mut model: VecDeque<u64> = VecDeque::new();
            let mut coming = None;
            for n in 0..400 {
                let mut queue = Queue::load(&values, &storage).unwrap();
                match random.below(3) {
                    0 if random.chance(40) || n > 300 => {
                        if let Some(page) = coming.take() {
                            let page = pages.remove(&page).unwrap();
                            queue.page_came(&mut storage, page).unwrap();
                        }
                    }
                    1 if n < 300 => {
                        model.push_back(n);
                        let page = queue.push(&mut storage, &n.to_be_bytes()).unwrap();
                        if let Some((number, page)) = page {
                            assert!(pages.insert(number, page).is_none(), "seed {seed}");
                        }
                    }
                    _ => match queue.take(&mut storage).unwrap() {
                        Taken::Item(item) => {
                            let expected = model.pop_front().unwrap();
                            assert_eq!(*item, expected.to_be_bytes(), "seed {seed}");
                        }
                        Taken::Fetch(page) => coming = Some(page),
                        Taken::Fetching => assert!(coming.is_some()),
                        Taken::Empty => assert!(model.is_empty(), "seed {seed}"),
                    },
                }
                assert_eq!(queue.len(), model.len() as u64, "seed {seed}");
                queue.save(&mut storage).unwrap();
                if model.is_empty() && coming.is_none() && pages.is_empty() {
                    let mut queue = Queue::load(&values, &storage).unwrap();
                    assert_eq!(queue.take(&mut storage).unwrap(), Taken::Empty);
                    queue.save(&mut storage).unwrap();
                    assert!(!remembers(&values, &storage), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn an_append_writes_one_chunk() {
        let values = values(false);
        let mut storage = storage(&values);
        for n in 0..12_u8 {
            let mut queue = Queue::load(&values, &storage).unwrap();
            assert!(!queue.size().is_full);
            assert_eq!(queue.push(&mut storage, &[n]).unwrap(), None);
            queue.save(&mut storage).unwrap();
            let chunk = storage.get(values.chunk(u64::from(n / 3))).unwrap();
            assert_eq!(chunk.unwrap().items().count(), usize::from(n % 3) + 1);
        }
        let mut queue = Queue::load(&values, &storage).unwrap();
        assert!(queue.size().is_full);
        assert_eq!(queue.take_all(&storage).unwrap().len(), 12);
        queue.save(&mut storage).unwrap();
        assert!(!remembers(&values, &storage));
    }
}
