//! The other side: what makes streams, writes to them and reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::{Value, json};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use stateful_functions::types;

use super::server::Server;
use crate::support::until::until;

/// The server looks at its form only.
const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=b";

#[derive(Clone)]
pub(super) struct Client {
    pub(super) server: &'static Server,
    http: HttpClient,
}

/// A record in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    pub(super) shard: String,
}

impl Read {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.value.clone()).unwrap()
    }
}

impl Client {
    pub(super) fn of(server: &'static Server) -> Self {
        let http = HttpClient::new(HttpClientConfig::default()).unwrap();
        Self { server, http }
    }

    /// A name that no other test has.
    pub(super) fn name(&self, of: &str) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        format!("{of}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a call.
    pub(super) async fn try_call(&self, name: &str, body: Value) -> Result<Value, Value> {
        let url = format!("http://{}/", self.server.address).parse().unwrap();
        let mut request = HttpRequest::post(url, body.to_string());
        for (header, value) in [
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", format!("Kinesis_20131202.{name}")),
            ("x-amz-date", "20150830T123600Z".to_owned()),
            ("authorization", SIGNED.to_owned()),
        ] {
            let value = HeaderValue::try_from(value).unwrap();
            request.headers.insert(header, value);
        }
        let answer = self
            .http
            .send(request, Duration::from_secs(30))
            .await
            .unwrap();
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        match answer.status.is_success() {
            true => Ok(body),
            false => Err(body),
        }
    }

    pub(super) async fn call(&self, name: &str, body: Value) -> Value {
        self.try_call(name, body).await.unwrap()
    }

    /// Makes a stream under a name that no other test has.
    pub(super) async fn stream(&self, of: &str, shards: u32) -> String {
        let name = self.name(of);
        self.make(&name, shards).await;
        name
    }

    pub(super) async fn make(&self, name: &str, shards: u32) {
        let made = json!({"StreamName": name, "ShardCount": shards});
        self.call("CreateStream", made).await;
        self.settled(name).await;
    }

    /// Waits until the stream is there, and not being changed.
    async fn settled(&self, name: &str) {
        until("the stream to be active", async || {
            let described = json!({"StreamName": name});
            let described = self.try_call("DescribeStream", described).await.ok()?;
            (described["StreamDescription"]["StreamStatus"] == "ACTIVE").then_some(())
        })
        .await;
    }

    async fn delete(&self, name: &str) {
        self.call("DeleteStream", json!({"StreamName": name})).await;
        until("the stream to be gone", async || {
            let described = json!({"StreamName": name});
            self.try_call("DescribeStream", described).await.err()
        })
        .await;
    }

    /// Deletes a stream and creates it again, until its sequence numbers are others: they contain the second of its creation.
    pub(super) async fn make_again(&self, name: &str) {
        let first = async || self.shards(name).await[0].first_number.clone();
        let before = first().await;
        until("another stream", async || {
            self.delete(name).await;
            self.make(name, 1).await;
            (first().await != before).then_some(())
        })
        .await;
    }

    /// Writes bytes.
    pub(super) async fn write(&self, stream: &str, key: &str, value: &[u8]) {
        let record =
            json!({"StreamName": stream, "PartitionKey": key, "Data": STANDARD.encode(value)});
        self.call("PutRecord", record).await;
    }

    /// Writes a text as a value of StateFun's type for texts.
    pub(super) async fn text(&self, stream: &str, key: &str, text: &str) {
        let value = types::STRING.encode(&text.to_owned()).unwrap();
        self.write(stream, key, &value).await;
    }

    /// The ids of the shards, and their parents.
    pub(super) async fn shards(&self, stream: &str) -> Vec<Shard> {
        let listed = self.call("ListShards", json!({"StreamName": stream})).await;
        let shards = listed["Shards"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        shards
            .map(|shard| Shard {
                id: text(&shard["ShardId"]).unwrap(),
                parents: ["ParentShardId", "AdjacentParentShardId"]
                    .iter()
                    .filter_map(|key| text(&shard[key]))
                    .collect(),
                is_open: shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null(),
                first_number: text(&shard["SequenceNumberRange"]["StartingSequenceNumber"])
                    .unwrap(),
                first_hash: number(&shard["HashKeyRange"]["StartingHashKey"]),
                last_hash: number(&shard["HashKeyRange"]["EndingHashKey"]),
            })
            .collect()
    }

    /// Splits an open shard in the middle.
    pub(super) async fn split(&self, stream: &str, at: usize) {
        let shards = self.shards(stream).await;
        let shard = shards.iter().filter(|shard| shard.is_open).nth(at).unwrap();
        let middle = shard.first_hash + (shard.last_hash - shard.first_hash) / 2;
        let split = json!({"StreamName": stream, "ShardToSplit": shard.id, "NewStartingHashKey": middle.to_string()});
        self.call("SplitShard", split).await;
        self.settled(stream).await;
    }

    /// Merges the first two neighbouring open shards.
    pub(super) async fn merge(&self, stream: &str) {
        let mut shards = self.shards(stream).await;
        shards.retain(|shard| shard.is_open);
        shards.sort_by_key(|shard| shard.first_hash);
        let merged = json!({"StreamName": stream, "ShardToMerge": shards[0].id, "AdjacentShardToMerge": shards[1].id});
        self.call("MergeShards", merged).await;
        self.settled(stream).await;
    }

    /// All records of a stream, those of parents before those of their children.
    pub(super) async fn read(&self, stream: &str) -> Vec<Read> {
        let mut reader = Reader::of(self, stream);
        reader.read().await;
        reader.records
    }

    /// Waits until a stream has that many records, and reads them.
    pub(super) async fn await_records(&self, stream: &str, count: usize) -> Vec<Read> {
        let mut reader = Reader::of(self, stream);
        until(&format!("{count} records of {stream}"), async || {
            reader.read().await;
            (reader.records.len() >= count).then_some(())
        })
        .await;
        reader.records
    }
}

#[derive(Debug)]
pub(super) struct Shard {
    pub(super) id: String,
    parents: Vec<String>,
    pub(super) is_open: bool,
    first_number: String,
    first_hash: u128,
    last_hash: u128,
}

fn number(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

/// Reads a stream from its beginning on.
pub(super) struct Reader<'a> {
    client: &'a Client,
    stream: String,
    pub(super) records: Vec<Read>,
    iterators: BTreeMap<String, String>,
    ended: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn of(client: &'a Client, stream: &str) -> Self {
        Self {
            client,
            stream: stream.to_owned(),
            records: Vec::new(),
            iterators: BTreeMap::new(),
            ended: BTreeSet::new(),
        }
    }

    /// Takes what is there. A child is read once its parents have ended.
    pub(super) async fn read(&mut self) {
        for shard in self.client.shards(&self.stream).await {
            let is_ready = shard
                .parents
                .iter()
                .all(|parent| self.ended.contains(parent));
            if is_ready && !self.ended.contains(&shard.id) {
                self.read_shard(&shard.id).await;
            }
        }
    }

    async fn read_shard(&mut self, shard: &str) {
        let mut iterator = match self.iterators.remove(shard) {
            Some(iterator) => iterator,
            None => {
                let asked = json!({"StreamName": self.stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
                let answer = self.client.call("GetShardIterator", asked).await;
                answer["ShardIterator"].as_str().unwrap().to_owned()
            }
        };
        loop {
            let asked = json!({"ShardIterator": iterator});
            let answer = self.client.call("GetRecords", asked).await;
            let records = answer["Records"].as_array().unwrap();
            self.records.extend(records.iter().map(|record| Read {
                key: record["PartitionKey"].as_str().unwrap().to_owned(),
                value: STANDARD.decode(record["Data"].as_str().unwrap()).unwrap(),
                shard: shard.to_owned(),
            }));
            let Some(next) = answer["NextShardIterator"].as_str() else {
                self.ended.insert(shard.to_owned());
                return;
            };
            iterator = next.to_owned();
            if records.is_empty() {
                self.iterators.insert(shard.to_owned(), iterator);
                return;
            }
        }
    }
}
