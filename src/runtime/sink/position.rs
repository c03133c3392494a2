//! Which records of an outbox have arrived in the target system.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;

use super::Lives;
use crate::runtime::core::MessageId;

/// Up to which record of an outbox all have arrived in the target system: one entry for each partition of the runtime, because ids ascend
/// only within a partition. Opaque; the target system stores its bytes.
///
/// It also contains the start of the data folder in which each id was assigned. A position of another folder, or of one restored
/// from a backup, does not cover records sent since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkPosition {
    reached: BTreeMap<u8, (MessageId, u64)>,
}

/// Ids that were assigned in the same start share its number and mark: the position of 256 partitions has less than 2,400 bytes then.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    /// As earlier versions wrote them.
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Entry>,
    #[prost(message, repeated, tag = "2")]
    groups: Vec<Group>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Group {
    #[prost(uint32, tag = "1")]
    boot: u32,
    #[prost(fixed64, tag = "2")]
    life: u64,
    /// Each contains its partition.
    #[prost(uint64, repeated, tag = "3")]
    numbers: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Entry {
    #[prost(uint32, tag = "1")]
    partition: u32,
    #[prost(uint32, tag = "2")]
    boot: u32,
    #[prost(uint64, tag = "3")]
    number: u64,
    #[prost(uint64, tag = "4")]
    life: u64,
}

impl SinkPosition {
    /// The bytes to store in the target system.
    pub fn to_bytes(&self) -> Bytes {
        let mut starts: BTreeMap<(u32, u64), Vec<u64>> = BTreeMap::new();
        for (id, life) in self.reached.values() {
            starts.entry((id.boot, *life)).or_default().push(id.number);
        }
        let groups = starts.into_iter();
        let groups = groups.map(|((boot, life), numbers)| Group {
            boot,
            life,
            numbers,
        });
        let stored = Stored {
            entries: Vec::new(),
            groups: groups.collect(),
        };
        stored.encode_to_vec().into()
    }

    /// Reads the bytes of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// If the bytes are something else: continuing from there would lose or repeat records.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidPosition> {
        let stored = Stored::decode(bytes).map_err(|_| InvalidPosition)?;
        let mut reached = BTreeMap::new();
        for entry in stored.entries {
            let partition = u8::try_from(entry.partition).map_err(|_| InvalidPosition)?;
            let id = MessageId {
                boot: entry.boot,
                number: entry.number,
            };
            if id.core() != partition || reached.insert(partition, (id, entry.life)).is_some() {
                return Err(InvalidPosition);
            }
        }
        for Group {
            boot,
            life,
            numbers,
        } in stored.groups
        {
            for number in numbers {
                let id = MessageId { boot, number };
                if reached.insert(id.core(), (id, life)).is_some() {
                    return Err(InvalidPosition);
                }
            }
        }
        Ok(Self { reached })
    }

    /// Whether the record has arrived.
    pub(super) fn covers(&self, id: MessageId) -> bool {
        let reached = self.reached.get(&id.core());
        reached.is_some_and(|(reached, _)| id <= *reached)
    }

    /// Records that this record has arrived, and with it all earlier ones of its partition.
    pub(super) fn advance(&mut self, id: MessageId, lives: &Lives) {
        if !self.covers(id) {
            self.reached.insert(id.core(), (id, lives.of(id.boot)));
        }
    }

    /// Removes entries of unknown starts, and returns their number.
    pub(super) fn retain(&mut self, lives: &Lives) -> usize {
        let before = self.reached.len();
        self.reached
            .retain(|_, (id, life)| lives.of(id.boot) == *life);
        before - self.reached.len()
    }
}

/// The bytes are not the position of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not the position of an outbox; return them exactly as they were stored")]
pub struct InvalidPosition;

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(boot: u32, number: u64, core: u8) -> MessageId {
        MessageId {
            boot,
            number: number << 8 | core as u64,
        }
    }

    #[test]
    fn a_position_covers_each_partition_by_itself() {
        let lives = Lives::of_tests(&[(1, 10), (2, 20)]);
        let mut position = SinkPosition::default();
        position.advance(id(1, 5, 0), &lives);
        position.advance(id(2, 1, 1), &lives);
        position.advance(id(1, 3, 0), &lives);
        assert!(position.covers(id(1, 5, 0)) && position.covers(id(1, 1, 0)));
        assert!(!position.covers(id(1, 6, 0)) && !position.covers(id(2, 1, 0)));
        assert!(position.covers(id(1, 900, 1)), "of an earlier start");
        assert!(!position.covers(id(1, 1, 2)), "nothing came from there");
        let stored = SinkPosition::from_bytes(&position.to_bytes()).unwrap();
        assert_eq!(stored, position);
    }

    #[test]
    fn what_was_reached_in_another_life_covers_nothing() {
        let before = Lives::of_tests(&[(1, 10), (2, 20)]);
        let mut position = SinkPosition::default();
        position.advance(id(1, 5, 0), &before);
        position.advance(id(2, 5, 1), &before);
        // The folder was brought back from a backup made after its first start.
        let restored = Lives::of_tests(&[(1, 10), (2, 21)]);
        assert_eq!(position.retain(&restored), 1);
        assert!(position.covers(id(1, 5, 0)) && !position.covers(id(2, 5, 1)));
    }

    #[test]
    fn positions_of_earlier_versions_are_read() {
        let entry = |partition, number| Entry {
            partition,
            boot: 3,
            number,
            life: 77,
        };
        let old = Stored {
            entries: vec![entry(0, 0x500), entry(1, 0x601)],
            groups: Vec::new(),
        };
        let read = SinkPosition::from_bytes(&old.encode_to_vec()).unwrap();
        let mut expected = SinkPosition::default();
        let lives = Lives::of_tests(&[(3, 77)]);
        expected.advance(id(3, 5, 0), &lives);
        expected.advance(id(3, 6, 1), &lives);
        assert_eq!(read, expected);
    }

    /// Kafka's brokers store 4,096 bytes of metadata by default, in which the position is text of base 64.
    #[test]
    fn the_position_of_every_partition_fits_where_brokers_store_it() {
        let lives = Lives::of_tests(&[(40, u64::MAX), (41, u64::MAX - 1)]);
        let mut position = SinkPosition::default();
        for core in 0..=u8::MAX {
            position.advance(id(40 + u32::from(core % 2), 1 << 40, core), &lives);
        }
        let bytes = position.to_bytes();
        assert!(bytes.len() < 2_400, "{}", bytes.len());
        assert_eq!(SinkPosition::from_bytes(&bytes), Ok(position));
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(SinkPosition::from_bytes(b""), Ok(SinkPosition::default()));
        assert_eq!(SinkPosition::from_bytes(b"\xff"), Err(InvalidPosition));
        // The same partition twice.
        let twice = Stored {
            entries: Vec::new(),
            groups: vec![Group {
                boot: 1,
                life: 2,
                numbers: vec![0x100, 0x200],
            }],
        };
        let twice = SinkPosition::from_bytes(&twice.encode_to_vec());
        assert_eq!(twice, Err(InvalidPosition));
        // An entry whose id is of another partition.
        let entry = b"\x0a\x06\x08\x01\x10\x01\x18\x02";
        assert_eq!(SinkPosition::from_bytes(entry), Err(InvalidPosition));
    }
}
