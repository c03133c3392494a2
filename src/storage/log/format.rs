//! The bytes of a segment: its header, its records, the writes in a record. Pure; `docs/storage.md` shows it as a table.

use super::super::row::{Position, Table, Write};

/// The version of the folder. 1 is the same here, with tables whose rows have no seals, and without the file `folder`.
pub(super) const FORMAT: u32 = 2;

const SEGMENT_MAGIC: [u8; 8] = *b"sfnlog\r\n";
const RECORD_MAGIC: [u8; 4] = *b"rnd\n";

/// Bytes of a [`SegmentHeader`].
pub(super) const SEGMENT_HEADER: usize = 32;
/// Bytes of a [`RecordHeader`]; the writes follow.
pub(super) const RECORD_HEADER: usize = 40;

/// Reads fixed-width numbers and byte strings from the front of a slice; `None` at its end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7F).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn sized(&mut self, len: u64) -> Option<&'a [u8]> {
        self.bytes(usize::try_from(len).ok()?)
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The number of the segment, also in its name.
    pub(super) segment: u64,
    /// The boot that wrote it.
    pub(super) boot: u64,
}

/// The possible states of a segment's header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderRead {
    Good(SegmentHeader),
    /// Complete, but of another version.
    OtherFormat(u32),
    /// Never completely written, or damaged.
    Bad,
}

impl SegmentHeader {
    pub(super) fn encode(self) -> [u8; SEGMENT_HEADER] {
        let mut tail = Vec::with_capacity(SEGMENT_HEADER);
        tail.extend_from_slice(&FORMAT.to_le_bytes());
        tail.extend_from_slice(&self.segment.to_le_bytes());
        tail.extend_from_slice(&self.boot.to_le_bytes());
        let mut out = [0; SEGMENT_HEADER];
        let crc = crc32fast::hash(&tail).to_le_bytes();
        for (to, from) in out
            .iter_mut()
            .zip(SEGMENT_MAGIC.into_iter().chain(crc).chain(tail))
        {
            *to = from;
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> HeaderRead {
        Self::read(bytes).unwrap_or(HeaderRead::Bad)
    }

    fn read(bytes: &[u8]) -> Option<HeaderRead> {
        let mut reader = Reader(bytes.get(..SEGMENT_HEADER)?);
        let magic: [u8; 8] = reader.array()?;
        let crc = reader.u32()?;
        if magic != SEGMENT_MAGIC || crc != crc32fast::hash(reader.0) {
            return None;
        }
        let format = reader.u32()?;
        if !(1..=FORMAT).contains(&format) {
            return Some(HeaderRead::OtherFormat(format));
        }
        let (segment, boot) = (reader.u64()?, reader.u64()?);
        Some(HeaderRead::Good(Self { segment, boot }))
    }
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// The segment to which it was written: leftover bytes of an earlier use of the file are not records.
    pub(super) segment: u64,
    /// The position of the first list of writes in it.
    pub(super) first: Position,
    /// The position of the last one.
    pub(super) last: Position,
}

impl RecordHeader {
    /// Fills in the first [`RECORD_HEADER`] bytes of `record`; the writes follow them already.
    pub(super) fn seal(self, record: &mut [u8]) {
        let Some((header, writes)) = record.split_at_mut_checked(RECORD_HEADER) else {
            return;
        };
        let mut covered = Vec::with_capacity(RECORD_HEADER);
        covered.extend_from_slice(&self.segment.to_le_bytes());
        covered.extend_from_slice(&self.first.as_u64().to_le_bytes());
        covered.extend_from_slice(&self.last.as_u64().to_le_bytes());
        covered.extend_from_slice(&(writes.len() as u64).to_le_bytes());
        let crc = checksum(&covered, writes).to_le_bytes();
        for (to, from) in header
            .iter_mut()
            .zip(RECORD_MAGIC.into_iter().chain(crc).chain(covered))
        {
            *to = from;
        }
    }
}

fn checksum(header: &[u8], writes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(writes);
    hasher.finalize()
}

/// A complete record at the start of some bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogRecord<'a> {
    pub(super) header: RecordHeader,
    writes: &'a [u8],
}

impl<'a> LogRecord<'a> {
    /// The record at the start of `bytes`, if it is complete, undamaged and of that segment.
    pub(super) fn decode(bytes: &'a [u8], segment: u64) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.array()? != RECORD_MAGIC {
            return None;
        }
        let crc = reader.u32()?;
        let covered = reader.0.get(..RECORD_HEADER - 8)?;
        if reader.u64()? != segment {
            return None;
        }
        let (first, last) = (reader.u64()?, reader.u64()?);
        let len = usize::try_from(reader.u64()?).ok()?;
        let writes = reader.bytes(len)?;
        if crc != checksum(covered, writes) || first > last {
            return None;
        }
        let (first, last) = (Position::from_u64(first), Position::from_u64(last));
        let header = RecordHeader {
            segment,
            first,
            last,
        };
        Some(Self { header, writes })
    }

    /// The start of the next apparent record from `from` on.
    pub(super) fn candidate(bytes: &[u8], from: usize) -> Option<usize> {
        let rest = bytes.get(from..)?;
        let at = rest
            .windows(RECORD_MAGIC.len())
            .position(|window| window == RECORD_MAGIC)?;
        Some(from + at)
    }

    /// Bytes of the whole record.
    pub(super) const fn len(&self) -> usize {
        RECORD_HEADER + self.writes.len()
    }

    /// Its writes in order; an `Err` is the last item, and means that another program wrote the record.
    pub(super) fn writes(&self) -> impl Iterator<Item = Result<WrittenRow<'a>, Malformed>> + 'a {
        let mut reader = Reader(self.writes);
        std::iter::from_fn(move || {
            if reader.0.is_empty() {
                return None;
            }
            let write = decode_write(&mut reader).ok_or(Malformed);
            if write.is_err() {
                reader.0 = &[];
            }
            Some(write)
        })
    }
}

/// A record with a valid checksum whose writes cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A write in a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrittenRow<'a> {
    pub(super) table: Table,
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

fn decode_write<'a>(reader: &mut Reader<'a>) -> Option<WrittenRow<'a>> {
    let [table] = reader.array()?;
    let key_len = reader.varint()?;
    let marker = reader.varint()?;
    let key = reader.sized(key_len)?;
    let value = match marker.checked_sub(1) {
        None => None,
        Some(len) => Some(reader.sized(len)?),
    };
    let table = Table::from_byte(table);
    Some(WrittenRow { table, key, value })
}

/// Appends `write`: table, length of the key, 0 for a deletion or 1 + length of the value, key, value.
pub(super) fn push_write(out: &mut Vec<u8>, write: &Write) {
    out.push(write.table.to_byte());
    push_varint(out, write.key.len());
    push_varint(out, write.value.as_ref().map_or(0, |value| value.len() + 1));
    out.extend_from_slice(&write.key);
    out.extend_from_slice(write.value.as_deref().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const HEADER: RecordHeader = RecordHeader {
        segment: 7,
        first: Position::from_u64(3),
        last: Position::from_u64(5),
    };

    fn writes() -> Vec<Write> {
        vec![
            Write::put(Table::new(1), "key", vec![1; 300]),
            Write::put(Table::with_fresh_keys(2), "", ""),
            Write::delete(Table::new(127), vec![2; 200]),
        ]
    }

    fn write(row: WrittenRow<'_>) -> Write {
        let value = row.value.map(Bytes::copy_from_slice);
        let (table, key) = (row.table, Bytes::copy_from_slice(row.key));
        Write { table, key, value }
    }

    fn record() -> Vec<u8> {
        let mut record = vec![0; RECORD_HEADER];
        for write in writes() {
            push_write(&mut record, &write);
        }
        HEADER.seal(&mut record);
        record
    }

    #[test]
    fn records_read_as_they_were_written() {
        let bytes = record();
        let record = LogRecord::decode(&bytes, 7).unwrap();
        assert_eq!(record.header, HEADER);
        assert_eq!(record.len(), bytes.len());
        let read: Result<Vec<_>, _> = record.writes().map(|row| row.map(write)).collect();
        assert_eq!(read.unwrap(), writes());
    }

    #[test]
    fn a_record_with_a_byte_missing_or_changed_or_in_another_segment_is_not_accepted() {
        let good = record();
        assert!(LogRecord::decode(&good, 8).is_none());
        for at in 0..good.len() {
            assert!(LogRecord::decode(&good[..at], 7).is_none(), "cut at {at}");
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(LogRecord::decode(&bad, 7).is_none(), "changed at {at}");
        }
    }

    #[test]
    fn a_segment_header_tells_good_from_bad_from_foreign() {
        let header = SegmentHeader {
            segment: 9,
            boot: 4,
        };
        let good = header.encode();
        assert_eq!(SegmentHeader::decode(&good), HeaderRead::Good(header));
        assert_eq!(SegmentHeader::decode(&good[..31]), HeaderRead::Bad);
        for at in 0..good.len() {
            let mut bad = good;
            bad[at] ^= 1;
            assert_eq!(SegmentHeader::decode(&bad), HeaderRead::Bad);
        }
        let of_format = |format: u8| {
            let mut other = good;
            other[12] = format;
            let crc = crc32fast::hash(&other[12..]).to_le_bytes();
            other[8..12].copy_from_slice(&crc);
            SegmentHeader::decode(&other)
        };
        assert_eq!(of_format(1), HeaderRead::Good(header), "an older one");
        assert_eq!(of_format(3), HeaderRead::OtherFormat(3), "a newer one");
    }

    #[test]
    fn malformed_writes_end_the_record() {
        let mut bytes = vec![0; RECORD_HEADER];
        push_write(&mut bytes, &Write::delete(Table::new(1), "a"));
        bytes.extend_from_slice(&[1, 0xFF]);
        HEADER.seal(&mut bytes);
        let record = LogRecord::decode(&bytes, 7).unwrap();
        let read: Vec<_> = record.writes().map(|row| row.map(write)).collect();
        assert_eq!(
            read,
            [Ok(Write::delete(Table::new(1), "a")), Err(Malformed)]
        );
    }
}
