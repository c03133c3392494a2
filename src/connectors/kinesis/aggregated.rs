//! Aggregated records: several records that the Kinesis Producer Library, or our egress, has packed into one.

use std::ops::RangeInclusive;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use prost::Message as _;

use super::record::Outgoing;

/// The first bytes of an aggregated record.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
/// The last bytes are the MD5 of those in between.
const DIGEST: usize = 16;

#[derive(Clone, PartialEq, prost::Message)]
struct Aggregated {
    #[prost(string, repeated, tag = "1")]
    partition_keys: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Part>,
}

/// Other readers insist on the required fields, also where they have the default values.
#[derive(Clone, PartialEq, prost::Message)]
struct Part {
    #[prost(uint64, required, tag = "1")]
    partition_key: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key: Option<u64>,
    #[prost(bytes = "bytes", required, tag = "3")]
    data: Bytes,
}

/// The records in `data`, each with its partition key; `None` if it is an ordinary record. Like AWS's consumers, leaves out
/// records whose hash is not among those of the shard: their producer has sent them again to the right one.
pub(super) fn parts(data: &Bytes, hashes: &RangeInclusive<u128>) -> Option<Vec<(String, Bytes)>> {
    let inner = data.strip_prefix(&MAGIC)?;
    let end = inner.len().checked_sub(DIGEST)?;
    let (message, digest) = inner.split_at_checked(end)?;
    if Md5::digest(message)[..] != *digest {
        return None;
    }
    let aggregated = Aggregated::decode(data.slice_ref(message)).ok()?;
    let at = |table: &[String], index: u64| table.get(usize::try_from(index).ok()?).cloned();
    let mut parts = Vec::with_capacity(aggregated.records.len());
    for part in aggregated.records {
        let key = at(&aggregated.partition_keys, part.partition_key)?;
        let hash = match part.explicit_hash_key {
            Some(index) => at(&aggregated.explicit_hash_keys, index)?.parse().ok()?,
            None => hash(&key),
        };
        if hashes.contains(&hash) {
            parts.push((key, part.data));
        }
    }
    Some(parts)
}

/// Packs records with the same keys into one, in their order.
pub(super) fn packed(records: &[&Outgoing]) -> Bytes {
    let mut aggregated = Aggregated::default();
    if let Some(first) = records.first() {
        aggregated.partition_keys.push(first.partition_key.clone());
        aggregated
            .explicit_hash_keys
            .extend(first.explicit_hash_key.clone());
    }
    aggregated.records = records
        .iter()
        .map(|record| Part {
            partition_key: 0,
            explicit_hash_key: record.explicit_hash_key.as_ref().map(|_| 0),
            data: record.value.clone(),
        })
        .collect();
    framed(&aggregated.encode_to_vec())
}

/// A message with what marks it as an aggregated record.
fn framed(message: &[u8]) -> Bytes {
    let digest: [u8; DIGEST] = Md5::digest(message).into();
    [&MAGIC[..], message, &digest].concat().into()
}

/// The hash of a partition key.
fn hash(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RangeInclusive<u128> = 0..=u128::MAX;

    fn aggregated(hash: Option<&str>) -> Bytes {
        let part = |key, data: &'static str| Part {
            partition_key: key,
            explicit_hash_key: hash.map(|_| 0),
            data: Bytes::from_static(data.as_bytes()),
        };
        let message = Aggregated {
            partition_keys: vec!["bob".to_owned(), "eve".to_owned()],
            explicit_hash_keys: hash.iter().map(|hash| (*hash).to_owned()).collect(),
            records: vec![part(1, "one"), part(0, "two"), part(1, "three")],
        };
        framed(&message.encode_to_vec())
    }

    fn texts(data: &Bytes, hashes: RangeInclusive<u128>) -> Option<Vec<(String, String)>> {
        let text = |(key, data): (String, Bytes)| (key, String::from_utf8(data.to_vec()).unwrap());
        Some(parts(data, &hashes)?.into_iter().map(text).collect())
    }

    #[test]
    fn an_aggregated_record_is_taken_apart() {
        let expected = [("eve", "one"), ("bob", "two"), ("eve", "three")];
        let expected = expected.map(|(key, text)| (key.to_owned(), text.to_owned()));
        assert_eq!(texts(&aggregated(None), ALL).unwrap(), expected);
    }

    #[test]
    fn what_is_packed_is_taken_apart_in_its_order_and_with_its_keys() {
        let record = |hash: Option<&str>, text: &'static str| Outgoing {
            stream: "s".to_owned(),
            partition_key: "bob".to_owned(),
            explicit_hash_key: hash.map(str::to_owned),
            value: Bytes::from_static(text.as_bytes()),
        };
        for hash in [None, Some("7")] {
            let records = ["one", "", "three"].map(|text| record(hash, text));
            let packed = packed(&records.iter().collect::<Vec<_>>());
            let expected = ["one", "", "three"].map(|text| ("bob".to_owned(), text.to_owned()));
            assert_eq!(texts(&packed, ALL).unwrap(), expected, "{hash:?}");
            let whole: usize = records.iter().map(Outgoing::packed_bytes).sum();
            assert!(packed.len() <= whole + 32 + 2 * 3 + 1, "{}", packed.len());
            // It is for the shard that the explicit hash key names.
            let there = texts(&packed, 7..=7).unwrap().len();
            assert_eq!(there, if hash.is_some() { 3 } else { 0 });
        }
    }

    #[test]
    fn a_packed_record_has_all_fields_that_other_readers_require() {
        let records = ["x", ""].map(|text| Outgoing {
            stream: "s".to_owned(),
            partition_key: "k".to_owned(),
            explicit_hash_key: None,
            value: Bytes::from_static(text.as_bytes()),
        });
        let packed = packed(&records.iter().collect::<Vec<_>>());
        let message = &packed[MAGIC.len()..packed.len() - DIGEST];
        // The table of keys; key 0 and `x`; key 0 and no bytes.
        let expected = b"\x0a\x01k\x1a\x05\x08\x00\x1a\x01x\x1a\x04\x08\x00\x1a\x00";
        assert_eq!(message, expected);
    }

    #[test]
    fn parts_that_belong_to_another_shard_are_left_out() {
        // The hash of `bob` is below that of `eve`.
        let (bob, eve) = (hash("bob"), hash("eve"));
        assert!(bob < eve, "{bob:x} {eve:x}");
        let found = texts(&aggregated(None), 0..=eve - 1).unwrap();
        assert_eq!(found, [("bob".to_owned(), "two".to_owned())]);
        assert_eq!(texts(&aggregated(Some("7")), 0..=7).unwrap().len(), 3);
        assert_eq!(texts(&aggregated(Some("7")), 8..=9).unwrap().len(), 0);
    }

    #[test]
    fn anything_else_is_an_ordinary_record() {
        let mut damaged = aggregated(None).to_vec();
        damaged[10] ^= 1;
        for data in [
            Bytes::from(damaged),
            Bytes::new(),
            Bytes::from_static(b"text"),
            Bytes::from_static(&MAGIC),
            framed(b"\xff"),
            // A key that is not in the table.
            framed(&[0x1a, 4, 8, 9, 0x1a, 0]),
        ] {
            assert_eq!(texts(&data, ALL), None, "{data:?}");
        }
    }
}
