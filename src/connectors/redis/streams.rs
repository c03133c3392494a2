//! An ingress that reads streams with a consumer group.
//!
//! The position of a stream is the id of its last entry that was brought, and is stored with the state. Entries are acknowledged when they are on
//! disk; those that were handed out and not acknowledged before a crash are read again first, and brought if they come after the position.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::client::{CALL, Connecting, Connection, Failure};
use super::record::{Entry, EntryId};
use super::resp::{Command, Value};
use crate::module::{RedisIngress, RedisStart, Route};
use crate::runtime::{Batch, Inlet, Receipt};
use crate::sdk::BoxError;

/// Entries of a read.
const COUNT: usize = 512;
/// A read without entries ends after this.
const BLOCK: Duration = Duration::from_secs(2);
/// Batches that are not on disk yet.
const AHEAD: usize = 16;
/// The lag is asked for at most this often.
const LAG_EVERY: Duration = Duration::from_secs(2);

/// Entries that were brought and are to be acknowledged.
struct Brought {
    stream: String,
    ids: Vec<EntryId>,
    receipt: Receipt,
}

/// Reads streams until something fails.
pub(super) async fn run(
    spec: &RedisIngress,
    connecting: &Connecting,
    inlet: &Inlet,
) -> Result<(), BoxError> {
    let (brought, acknowledged) = mpsc::channel(AHEAD);
    let reader = Reader::open(spec, connecting, inlet, brought).await?;
    let confirmer = Confirmer {
        spec,
        inlet,
        connection: connecting.open().await?,
        asked: Instant::now(),
    };
    info!(ingress = %spec.id, server = %spec.server.name(), "reads streams");
    tokio::select! {
        ended = reader.run() => ended,
        ended = confirmer.run(acknowledged) => ended,
    }
}

struct Reader<'a> {
    spec: &'a RedisIngress,
    inlet: &'a Inlet,
    connection: Connection,
    positions: BTreeMap<String, EntryId>,
    brought: mpsc::Sender<Brought>,
}

impl<'a> Reader<'a> {
    async fn open(
        spec: &'a RedisIngress,
        connecting: &Connecting,
        inlet: &'a Inlet,
        brought: mpsc::Sender<Brought>,
    ) -> Result<Self, BoxError> {
        let mut positions = BTreeMap::new();
        for (stream, position) in inlet.positions()? {
            let id = str::from_utf8(&position).ok().and_then(EntryId::parse);
            let id = id.ok_or_else(|| format!("the stored position of stream {stream} is not an id of Redis: another ingress had this name"))?;
            positions.insert(stream, id);
        }
        let mut reader = Self {
            spec,
            inlet,
            connection: connecting.open().await?,
            positions,
            brought,
        };
        for route in &spec.streams {
            reader.join(&route.source).await?;
        }
        inlet.recovers();
        Ok(reader)
    }

    /// Makes the consumer group of a stream, if it is not there.
    async fn join(&mut self, stream: &str) -> Result<(), BoxError> {
        let last = self.last_id(stream).await?;
        let known = self.positions.get(stream).copied();
        let known = match (known, last) {
            (Some(position), last) if last.unwrap_or_default() < position => {
                warn!(
                    ingress = %self.spec.id, stream, %position,
                    "the stream is another one than before, or has lost its last entries: what its group was not given yet is read"
                );
                self.positions.remove(stream);
                _ = self.inlet.bring(Batch::new().forget(stream)).await?;
                Some(EntryId::default())
            }
            (known, _) => known,
        };
        let start = match (known, self.spec.start) {
            (Some(position), _) => position.to_string(),
            (None, RedisStart::Latest) => "$".to_owned(),
            (None, RedisStart::Earliest) => "0".to_owned(),
        };
        let create = Command::new("XGROUP").with("CREATE").with(stream);
        let create = create.with(&self.spec.group).with(start).with("MKSTREAM");
        match self.connection.call(&create).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is("BUSYGROUP") => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The last id that the stream has given; `None` if there is no stream.
    async fn last_id(&mut self, stream: &str) -> Result<Option<EntryId>, BoxError> {
        let asked = Command::new("XINFO").with("STREAM").with(stream);
        match self.connection.call(&asked).await {
            Ok(told) => {
                let last = told.at("last-generated-id").and_then(Value::text);
                Ok(last.and_then(EntryId::parse))
            }
            Err(failure) if failure.is("ERR no such key") => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn run(mut self) -> Result<(), BoxError> {
        let streams = self.spec.streams.iter();
        let streams: Vec<&'a str> = streams.map(|route| route.source.as_str()).collect();
        self.take_pending(&streams).await?;
        let command = self.read(
            &streams
                .iter()
                .map(|stream| (*stream, ">"))
                .collect::<Vec<_>>(),
        );
        let command_limit = BLOCK + CALL;
        loop {
            let reply = self.connection.call_within(&command, command_limit).await?;
            for (stream, entries) in answered(&reply)? {
                self.bring(&stream, entries).await?;
            }
        }
    }

    /// What this consumer was handed out before and did not acknowledge.
    async fn take_pending(&mut self, streams: &[&str]) -> Result<(), BoxError> {
        for stream in streams {
            let mut after = EntryId::default();
            loop {
                let command = self.read(&[(stream, &after.to_string())]);
                let reply = self.connection.call_within(&command, BLOCK + CALL).await?;
                let entries = answered(&reply)?.into_iter().next();
                let entries = entries.map(|(_, entries)| entries).unwrap_or_default();
                let Some(last) = entries.last() else { break };
                after = last.id;
                self.bring(stream, entries).await?;
            }
        }
        Ok(())
    }

    fn read(&self, streams: &[(&str, &str)]) -> Command {
        let command = Command::new("XREADGROUP").with("GROUP");
        let command = command.with(&self.spec.group).with(&self.spec.consumer);
        let command = command.with("COUNT").with(COUNT.to_string());
        let command = command.with("BLOCK").with(BLOCK.as_millis().to_string());
        let mut command = command.with("STREAMS");
        for (stream, _) in streams {
            command.push(stream);
        }
        for (_, after) in streams {
            command.push(after);
        }
        command
    }

    /// Brings the entries that come after the position; all of them are acknowledged when they are on disk.
    async fn bring(&mut self, stream: &str, entries: Vec<Entry>) -> Result<(), BoxError> {
        let mut routes = self.spec.streams.iter();
        let Some(route) = routes.find(|route| route.source == stream) else {
            return Err(format!(
                "the server has sent entries of stream {stream}, which was not asked for"
            )
            .into());
        };
        let position = self.positions.get(stream).copied();
        let ids = entries.iter().map(|entry| entry.id).collect();
        let is_new = |entry: &&Entry| position.is_none_or(|position| entry.id > position);
        let mut batch = Batch::new();
        let mut last = None;
        for entry in entries.iter().filter(is_new) {
            self.add(route, entry, &mut batch);
            last = Some(entry.id);
        }
        let Some(position) = last.or(position) else {
            return Ok(());
        };
        // Entries up to the position were brought by an earlier run, which may have ended before they were on disk.
        batch.set_position(stream, position.to_string());
        let receipt = self.inlet.bring(batch).await?;
        self.positions.insert(stream.to_owned(), position);
        let brought = Brought {
            stream: stream.to_owned(),
            ids,
            receipt,
        };
        let sent = self.brought.send(brought).await;
        Ok(sent.map_err(|_| "acknowledgements have ended")?)
    }

    /// Makes messages of an entry, or sets it aside.
    fn add(&self, route: &Route, entry: &Entry, batch: &mut Batch) {
        let (stream, spec) = (&route.source, self.spec);
        if entry.is_deleted() {
            let id = entry.id;
            warn!(ingress = %spec.id, %stream, %id, "an entry was deleted or trimmed before it was taken in");
            return;
        }
        let missing = |field: &str| format!("the entry has no field `{field}`");
        let value = entry.field(&spec.value_field);
        let value = value.ok_or_else(|| missing(&spec.value_field));
        let id = match &spec.id_field {
            None => Ok(stream.as_str()),
            Some(field) => match entry.field(field).map(|id| str::from_utf8(id)) {
                Some(Ok(id)) if !id.is_empty() => Ok(id),
                Some(Ok(_)) => Err(format!("the field `{field}` is empty")),
                Some(Err(_)) => Err(format!("the field `{field}` is not UTF-8")),
                None => Err(missing(field)),
            },
        };
        match value.and_then(|value| Ok((value, id?))) {
            Ok((value, id)) => {
                for target in &route.targets {
                    batch.add(target, id, &route.value_type, value);
                }
            }
            Err(why) => {
                let origin = format!("stream {stream}, entry {}", entry.id);
                batch.set_aside(origin, why, &entry.shown());
            }
        }
    }
}

/// The streams of a reply with their entries.
fn answered(reply: &Value) -> Result<Vec<(String, Vec<Entry>)>, BoxError> {
    if reply.is_nil() {
        return Ok(Vec::new());
    }
    let stream = |answer: &Value| match answer.list()? {
        [name, entries] => Some((name.text()?.to_owned(), Entry::read_all(entries)?)),
        _ => None,
    };
    let streams = reply.list().unwrap_or_default().iter().map(stream);
    let streams: Option<Vec<_>> = streams.collect();
    Ok(streams.ok_or("the server has not answered with entries of streams")?)
}

/// Acknowledges what is on disk, and reports what is left.
struct Confirmer<'a> {
    spec: &'a RedisIngress,
    inlet: &'a Inlet,
    connection: Connection,
    asked: Instant,
}

impl Confirmer<'_> {
    async fn run(mut self, mut brought: mpsc::Receiver<Brought>) -> Result<(), BoxError> {
        loop {
            match timeout(LAG_EVERY, brought.recv()).await {
                Ok(Some(one)) => self.acknowledge(one).await?,
                Ok(None) => return Err("reading has ended".into()),
                Err(_) => {}
            }
            if self.asked.elapsed() >= LAG_EVERY {
                self.tell_lag().await?;
            }
        }
    }

    async fn acknowledge(&mut self, brought: Brought) -> Result<(), BoxError> {
        brought.receipt.durable().await?;
        let command = Command::new("XACK").with(&brought.stream);
        let mut command = command.with(&self.spec.group);
        for id in &brought.ids {
            command.push(id.to_string());
        }
        self.connection.call(&command).await?;
        Ok(())
    }

    /// Redis 7 and later count the entries that a group has not been given.
    async fn tell_lag(&mut self) -> Result<(), Failure> {
        self.asked = Instant::now();
        for route in &self.spec.streams {
            let asked = Command::new("XINFO").with("GROUPS").with(&route.source);
            let groups = self.connection.call(&asked).await?;
            let mut groups = groups.list().unwrap_or_default().iter();
            let ours = groups.find(|group| {
                group.at("name").and_then(Value::text) == Some(self.spec.group.as_str())
            });
            let lag = ours.and_then(|group| group.at("lag")?.number());
            if let Some(lag) = lag.and_then(|lag| u64::try_from(lag).ok()) {
                self.inlet.behind(&route.source, lag);
            }
        }
        Ok(())
    }
}
