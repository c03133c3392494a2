//! The records that functions send to a Kinesis egress.

use bytes::Bytes;
use prost::Message as _;

use crate::protocol::egress::KinesisEgressRecord;
use crate::runtime::EgressRecord;
use crate::sdk::types::KINESIS_RECORD;

/// In characters.
const MAX_KEY: usize = 256;
const MAX_STREAM: usize = 128;
/// The most that a stream can be set to take. The default of a stream is 1 MiB.
const MAX_BYTES: usize = 10 << 20;

/// The stream, the keys and the value of a record. As in StateFun an empty explicit hash key means none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outgoing {
    pub(super) stream: String,
    pub(super) partition_key: String,
    pub(super) explicit_hash_key: Option<String>,
    pub(super) value: Bytes,
}

/// The stream and the keys of records that keep their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    stream: String,
    partition_key: String,
    explicit_hash_key: Option<String>,
}

impl Outgoing {
    /// Reads a record. The error says why no stream can store it.
    pub(super) fn read(record: &EgressRecord) -> Result<Self, String> {
        let kind = KINESIS_RECORD;
        let expected = kind.name();
        let found = &record.value_type_name;
        if found != expected.as_str() {
            return Err(format!(
                "The generic Kinesis egress expects only messages of type {expected}, found {found}"
            ));
        }
        let record = KinesisEgressRecord::decode(&*record.value)
            .map_err(|why| format!("Unable to unpack message as a {expected}: {why}"))?;
        let outgoing = Self {
            stream: record.stream,
            partition_key: record.partition_key,
            explicit_hash_key: Some(record.explicit_hash_key).filter(|key| !key.is_empty()),
            value: record.value_bytes,
        };
        outgoing.check()?;
        Ok(outgoing)
    }

    /// The rules of Kinesis.
    fn check(&self) -> Result<(), String> {
        let Self {
            stream,
            partition_key,
            ..
        } = self;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if stream.is_empty() {
            return Err("the record names no stream".to_owned());
        }
        if stream.len() > MAX_STREAM || !stream.chars().all(is_name) {
            return Err(format!(
                "`{stream}` is not a name of a stream: 1 to {MAX_STREAM} letters, digits, `_`, `.` and `-`"
            ));
        }
        let length = partition_key.chars().count();
        if length == 0 || length > MAX_KEY {
            return Err(format!(
                "the partition key has {length} characters; Kinesis takes 1 to {MAX_KEY}"
            ));
        }
        if let Some(hash) = self.explicit_hash_key.as_deref() {
            let is_number =
                hash.chars().all(|c| c.is_ascii_digit()) && (hash == "0" || !hash.starts_with('0'));
            if !is_number || hash.parse::<u128>().is_err() {
                return Err(format!(
                    "the explicit hash key `{hash}` is not a number below 2^128"
                ));
            }
        }
        let bytes = self.bytes();
        if bytes > MAX_BYTES {
            return Err(format!(
                "the record has {bytes} bytes; Kinesis takes at most {MAX_BYTES}"
            ));
        }
        Ok(())
    }

    /// What it adds to a record that several are packed into.
    pub(super) const fn packed_bytes(&self) -> usize {
        /// Tags, lengths and the numbers of the keys.
        const AROUND: usize = 16;
        self.value.len() + AROUND
    }

    /// Its lane.
    pub(super) fn lane(&self) -> Lane {
        Lane {
            stream: self.stream.clone(),
            partition_key: self.partition_key.clone(),
            explicit_hash_key: self.explicit_hash_key.clone(),
        }
    }

    /// What counts against the limits of Kinesis.
    pub(super) const fn bytes(&self) -> usize {
        self.partition_key.len() + self.value.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &str, key: &str, hash: &str) -> Result<Outgoing, String> {
        let record = KinesisEgressRecord {
            partition_key: key.to_owned(),
            value_bytes: Bytes::from_static(b"v"),
            stream: stream.to_owned(),
            explicit_hash_key: hash.to_owned(),
        };
        Outgoing::read(&EgressRecord {
            id: "1".to_owned(),
            value_type_name: KINESIS_RECORD.name().to_string(),
            value: record.encode_to_vec().into(),
        })
    }

    #[test]
    fn an_empty_explicit_hash_key_is_none() {
        let record = read("s", "k", "").unwrap();
        assert_eq!(
            (record.explicit_hash_key, &*record.value),
            (None, &b"v"[..])
        );
        let most = u128::MAX.to_string();
        assert_eq!(read("s", "k", &most).unwrap().explicit_hash_key, Some(most));
    }

    #[test]
    fn what_no_stream_stores_is_refused_with_its_reason() {
        let long = "ä".repeat(MAX_KEY + 1);
        for (stream, key, hash, words) in [
            ("", "k", "", "names no stream"),
            ("a/b", "k", "", "`a/b` is not a name of a stream"),
            ("s", "", "", "the partition key has 0 characters"),
            ("s", &*long, "", "the partition key has 257 characters"),
            ("s", "k", "x", "`x` is not a number"),
            ("s", "k", "01", "`01` is not a number"),
            (
                "s",
                "k",
                "340282366920938463463374607431768211456",
                "is not a number below 2^128",
            ),
        ] {
            let told = read(stream, key, hash).unwrap_err();
            assert!(told.contains(words), "{told}");
        }
        assert!(read("s", &long[2..], "0").is_ok());
    }
}
