//! The calls of Kinesis that are used here, and their answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A call: its name, and the type of its answer.
pub(super) trait Call: Serialize + Sync {
    const NAME: &'static str;
    type Response: DeserializeOwned;
}

/// The shards of a stream; further pages are asked for by `next_token` alone.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListShards<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardPage {
    pub(super) shards: Vec<ShardListing>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardListing {
    pub(super) shard_id: String,
    pub(super) parent_shard_id: Option<String>,
    pub(super) adjacent_parent_shard_id: Option<String>,
    pub(super) hash_key_range: HashKeyRange,
    pub(super) sequence_number_range: SequenceNumberRange,
}

/// The hashes of the keys of a shard, in digits.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HashKeyRange {
    pub(super) starting_hash_key: String,
    pub(super) ending_hash_key: String,
}

/// The sequence numbers of a shard; the last one is known once it has ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SequenceNumberRange {
    pub(super) starting_sequence_number: String,
}

impl Call for ListShards<'_> {
    const NAME: &'static str = "ListShards";
    type Response = ShardPage;
}

/// The names of streams. What it answers is of no interest: it shows that the service knows the caller.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListStreams {
    pub(super) limit: usize,
}

impl Call for ListStreams {
    const NAME: &'static str = "ListStreams";
    type Response = IgnoredAny;
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetShardIterator<'a> {
    pub(super) stream_name: &'a str,
    pub(super) shard_id: &'a str,
    pub(super) shard_iterator_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) starting_sequence_number: Option<&'a str>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardIterator {
    pub(super) shard_iterator: String,
}

impl Call for GetShardIterator<'_> {
    const NAME: &'static str = "GetShardIterator";
    type Response = ShardIterator;
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetRecords<'a> {
    pub(super) shard_iterator: &'a str,
    pub(super) limit: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Fetched {
    pub(super) records: Vec<StoredRecord>,
    /// `None`: the shard has ended.
    pub(super) next_shard_iterator: Option<String>,
    pub(super) millis_behind_latest: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StoredRecord {
    #[serde(deserialize_with = "from_base64")]
    pub(super) data: Bytes,
    pub(super) partition_key: String,
    pub(super) sequence_number: String,
}

impl Call for GetRecords<'_> {
    const NAME: &'static str = "GetRecords";
    type Response = Fetched;
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecords<'a> {
    pub(super) stream_name: &'a str,
    pub(super) records: Vec<PutRecord<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecord<'a> {
    #[serde(serialize_with = "to_base64")]
    pub(super) data: Bytes,
    pub(super) partition_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explicit_hash_key: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutResults {
    /// In the order of the records.
    pub(super) records: Vec<PutResult>,
}

/// The result of one record: its place in a shard, or an error.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutResult {
    pub(super) sequence_number: Option<String>,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
}

impl Call for PutRecords<'_> {
    const NAME: &'static str = "PutRecords";
    type Response = PutResults;
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = STANDARD.decode(text);
    bytes.map(Bytes::from).map_err(serde::de::Error::custom)
}

fn to_base64<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_from_an_answer_of_kinesis() {
        let answer = r#"{"MillisBehindLatest":2100,"NextShardIterator":"AAA","Records":[{"ApproximateArrivalTimestamp":1.441215410867E9,"Data":"XzxkYXRhPl8w","PartitionKey":"partitionKey","SequenceNumber":"21269319989652663814458848515492872193"}]}"#;
        let fetched: Fetched = serde_json::from_str(answer).unwrap();
        assert_eq!(fetched.millis_behind_latest, Some(2100));
        let [record] = &fetched.records[..] else {
            panic!("one record");
        };
        assert_eq!(record.data, "_<data>_0");
        assert_eq!(
            record.sequence_number,
            "21269319989652663814458848515492872193"
        );
    }

    #[test]
    fn a_call_has_the_names_of_kinesis() {
        let data = Bytes::from_static(b"_<data>_1");
        let records = vec![PutRecord {
            data,
            partition_key: "k",
            explicit_hash_key: None,
        }];
        let call = PutRecords {
            stream_name: "s",
            records,
        };
        assert_eq!(
            serde_json::to_string(&call).unwrap(),
            r#"{"StreamName":"s","Records":[{"Data":"XzxkYXRhPl8x","PartitionKey":"k"}]}"#
        );
    }
}
