//! `statefun.redis.v1/egress`: records become entries of streams, or messages of channels.
//!
//! A script writes a batch together with the position after it, so that each record is written once, whatever is killed. The script checks first what
//! could fail for one record only, because Redis does not undo what a script has done.

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, FromRedisValue, RedisError, Value, from_redis_value};
use tokio::sync::Mutex;

use super::client::{Connecting, Connection};
use crate::module::{RedisEgress, RedisOut};
use crate::protocol::reqreply::TypedValue;
use crate::runtime::{
    EgressRecord, HttpListeners, Listener, Sink, SinkBatch, SinkPosition, StartError, values,
};
use crate::sdk::{BoxError, TypeName, types};
use crate::transport::http::client::Network;

/// `KEYS`: the position, then streams. `ARGV`: the position, the number of records, and for each its stream, the number of further arguments, and those.
const ADD: &str = "\
for i = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= 'stream' then return {KEYS[i], kind} end
end
local at = 3
for _ = 1, tonumber(ARGV[2]) do
  local count = tonumber(ARGV[at + 1])
  redis.call('XADD', KEYS[tonumber(ARGV[at])], unpack(ARGV, at + 2, at + 1 + count))
  at = at + 2 + count
end
redis.call('SET', KEYS[1], ARGV[1])
return 'OK'";

/// `KEYS`: the position. `ARGV`: the position, then channels and messages.
const PUBLISH: &str = "\
for at = 2, #ARGV, 2 do redis.call('PUBLISH', ARGV[at], ARGV[at + 1]) end
redis.call('SET', KEYS[1], ARGV[1])
return 'OK'";

/// Bytes of a batch. Redis closes a connection that sends a command of more than a gigabyte.
const BATCH_BYTES: usize = 256 << 20;

/// Writes to streams or channels.
#[derive(Debug)]
pub(crate) struct RedisSink {
    name: TypeName,
    spec: RedisEgress,
    network: Network,
    connecting: Option<Connecting>,
    /// Put back only when it is known to be in order.
    connection: Mutex<Option<Connection>>,
}

/// A record with its destination.
struct Outgoing {
    index: usize,
    to: String,
    key: String,
    value: Bytes,
}

impl RedisSink {
    pub(crate) fn new(name: TypeName, spec: RedisEgress, network: Network) -> Self {
        Self {
            name,
            spec,
            network,
            connecting: None,
            connection: Mutex::default(),
        }
    }

    async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BoxError> {
        let mut place = self.connection.lock().await;
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => {
                let connecting = self.connecting.as_ref().ok_or("the sink was not opened")?;
                connecting.open().await?
            }
        };
        let value = connection.call(command).await?;
        *place = Some(connection);
        Ok(value)
    }

    /// A record as it is written, or why it can never be.
    fn outgoing(&self, index: usize, record: &EgressRecord) -> Result<Outgoing, String> {
        let (to, key, value) = match record.value_type_name == types::KAFKA_RECORD.name().as_str() {
            true => {
                let named = types::KAFKA_RECORD.decode(&record.value);
                let named = named.map_err(|why| format!("not a record with a topic: {why}"))?;
                (named.topic, named.key, named.value_bytes)
            }
            false => (String::new(), String::new(), payload(record)),
        };
        let to = match (to.is_empty(), &self.spec.name) {
            (false, _) => to,
            (true, Some(name)) => name.clone(),
            (true, None) => {
                return Err("it names no stream or channel, and neither does the egress".to_owned());
            }
        };
        let (bytes, limit) = (value.len(), self.spec.max_payload_bytes);
        if bytes > limit {
            return Err(format!(
                "its payload has {bytes} bytes, more than {limit} (maxPayloadBytes)"
            ));
        }
        Ok(Outgoing {
            index,
            to,
            key,
            value,
        })
    }

    /// The arguments after the name of the stream.
    fn entry<'a>(&'a self, record: &'a Outgoing, limit: &'a str) -> Vec<&'a [u8]> {
        let mut entry: Vec<&[u8]> = Vec::with_capacity(8);
        if !limit.is_empty() {
            entry.extend([&b"MAXLEN"[..], b"~", limit.as_bytes()]);
        }
        entry.push(b"*");
        if !record.key.is_empty() {
            entry.extend([self.spec.key_field.as_bytes(), record.key.as_bytes()]);
        }
        entry.extend([self.spec.value_field.as_bytes(), &record.value[..]]);
        entry
    }

    /// The call that writes the records and the position.
    fn script(&self, records: &[Outgoing], position: &[u8]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        if self.spec.out == RedisOut::Channel {
            command.arg(PUBLISH).arg(1).arg(&self.spec.position_key);
            command.arg(position);
            for record in records {
                command.arg(&record.to).arg(&record.value[..]);
            }
            return command;
        }
        let mut streams: Vec<&str> = records.iter().map(|record| record.to.as_str()).collect();
        streams.sort_unstable();
        streams.dedup();
        command.arg(ADD).arg(streams.len() + 1);
        command.arg(&self.spec.position_key).arg(&streams);
        command.arg(position).arg(records.len());
        let limit = self.spec.max_length;
        let limit = limit.map_or_else(String::new, |limit| limit.to_string());
        for record in records {
            let at = streams.iter().position(|stream| *stream == record.to);
            // The position is the first of the script's keys, which are counted from one.
            let at = at.unwrap_or_default() + 2;
            let entry = self.entry(record, &limit);
            command.arg(at).arg(entry.len()).arg(&entry);
        }
        command
    }
}

/// The key that is not a stream, and what it is, in the answer of the script; `None` if it has written everything.
fn refusal(answer: Value) -> Result<Option<(String, String)>, RedisError> {
    match answer {
        Value::Array(_) => Ok(Some(from_redis_value(answer)?)),
        _ => Ok(None),
    }
}

/// The text of built-in types, and the bytes of all others.
fn payload(record: &EgressRecord) -> Bytes {
    let typed = TypedValue {
        typename: record.value_type_name.clone(),
        has_value: true,
        value: record.value.clone(),
    };
    match values::show(typed) {
        (_, Some(text), _) => text.into(),
        (_, None, bytes) => bytes,
    }
}

#[async_trait]
impl Sink for RedisSink {
    /// Checks the settings, without connecting to the server.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let connecting = Connecting::of(&self.spec.server, &self.network);
        let connecting = connecting
            .map_err(|why| StartError::connector(format!("egress {}", self.name), why))?;
        self.connecting = Some(connecting);
        Ok(None)
    }

    async fn position(&self) -> Result<Option<SinkPosition>, BoxError> {
        let key = &self.spec.position_key;
        let mut asked = redis::cmd("GET");
        asked.arg(key);
        match self.call::<Option<Bytes>>(&asked).await? {
            None => Ok(Some(SinkPosition::default())),
            Some(bytes) => {
                let position = SinkPosition::from_bytes(&bytes);
                let position = position.map_err(|why| {
                    format!("`{key}` in Redis is not the position of an egress: {why}")
                })?;
                Ok(Some(position))
            }
        }
    }

    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let mut records = Vec::with_capacity(batch.records().len());
        for (index, record) in batch.records().iter().enumerate() {
            match self.outgoing(index, record) {
                Ok(outgoing) => records.push(outgoing),
                Err(why) => batch.set_aside(index, &why).await,
            }
        }
        let position = batch.position().to_bytes();
        while !records.is_empty() {
            let answer = self.call(&self.script(&records, &position)).await?;
            let Some((key, kind)) = refusal(answer)? else {
                return Ok(());
            };
            let (refused, others): (Vec<_>, Vec<_>) =
                records.into_iter().partition(|record| record.to == key);
            if refused.is_empty() {
                return Err(
                    format!("the server refuses `{key}`, to which nothing was sent").into(),
                );
            }
            let why = format!("`{key}` is a {kind} in Redis, and not a stream");
            for record in refused {
                batch.set_aside(record.index, &why).await;
            }
            records = others;
        }
        Ok(())
    }

    fn max_batch(&self) -> usize {
        (BATCH_BYTES / self.spec.max_payload_bytes.max(1)).clamp(1, 256)
    }
}
