//! An ingress that reads streams with a consumer group.
//!
//! The position of a stream is the id of its last entry that was brought, and is stored with the state. Entries are acknowledged when they are on
//! disk; those that were handed out and not acknowledged before a crash are read again first, and brought if they come after the position.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redis::{Cmd, Value, from_redis_value_ref};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::client::{CALL, Connecting, Connection, Failure};
use super::position::StreamPosition;
use super::record::{Entry, EntryId};
use crate::module::{RedisIngress, RedisStart, Route};
use crate::runtime::{Batch, Inlet, Receipt};
use crate::sdk::BoxError;

/// Entries of a read.
pub(super) const COUNT: usize = 512;
/// A read without entries ends after this.
const BLOCK: Duration = Duration::from_secs(2);
/// Batches that are not on disk yet.
const AHEAD: usize = 16;
/// The lag is asked for at most this often.
const LAG_EVERY: Duration = Duration::from_secs(2);

/// The answer to a read: streams with their entries; none if nothing has come.
pub(super) type Answered = Option<Vec<(String, Vec<Entry>)>>;

/// Entries that were brought and are to be acknowledged.
struct Brought {
    acknowledgement: Cmd,
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

pub(super) struct Reader<'a> {
    pub(super) spec: &'a RedisIngress,
    pub(super) inlet: &'a Inlet,
    pub(super) connection: Connection,
    pub(super) positions: BTreeMap<String, StreamPosition>,
    /// When entries of other consumers were looked for.
    pub(super) looked: Option<Instant>,
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
            let known = str::from_utf8(&position).ok();
            let known = known.and_then(|text| text.parse().ok());
            let known = known.ok_or_else(|| format!("the stored position of stream {stream} is not an id of Redis: another ingress had this name"))?;
            positions.insert(stream, known);
        }
        let mut reader = Self {
            spec,
            inlet,
            connection: connecting.open().await?,
            positions,
            looked: None,
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
        let last = self.last_id(stream).await?.unwrap_or_default();
        let mut known = self.positions.get(stream).and_then(|known| known.last);
        if let Some(position) = known.filter(|position| last < *position) {
            warn!(
                ingress = %self.spec.id, stream, %position,
                "the stream was created anew, or has lost its last entries: reading goes on with what its group has not received yet"
            );
            self.positions.remove(stream);
            _ = self.inlet.bring(Batch::new().forget(stream)).await?;
            known = Some(EntryId::default());
        }
        let start = match (known, self.spec.start) {
            (Some(position), _) => position.to_string(),
            (None, RedisStart::Latest) => "$".to_owned(),
            (None, RedisStart::Earliest) => "0".to_owned(),
        };
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(stream).arg(&self.spec.group);
        create.arg(start).arg("MKSTREAM");
        match self.connection.call::<()>(&create).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.is("BUSYGROUP") => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The last id that the stream has given; `None` if there is no stream.
    async fn last_id(&mut self, stream: &str) -> Result<Option<EntryId>, BoxError> {
        let mut asked = redis::cmd("XINFO");
        asked.arg("STREAM").arg(stream);
        match self.connection.call::<HashMap<String, Value>>(&asked).await {
            Ok(told) => {
                let last = told.get("last-generated-id");
                Ok(last.and_then(|last| from_redis_value_ref(last).ok()))
            }
            Err(failure) if failure.is("ERR no such key") => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn run(mut self) -> Result<(), BoxError> {
        let streams = self.spec.streams.iter();
        let streams: Vec<&'a str> = streams.map(|route| route.source.as_str()).collect();
        self.take_pending(&streams).await?;
        self.finish_taken_over().await?;
        let new: Vec<_> = streams.iter().map(|stream| (*stream, ">")).collect();
        let command = self.read(&self.spec.consumer, &new);
        loop {
            self.take_over().await?;
            let answer = self.connection.call_within(&command, BLOCK + CALL).await?;
            for (stream, entries) in Answered::unwrap_or_default(answer) {
                self.bring(&stream, &entries).await?;
            }
        }
    }

    /// What this consumer was handed out before and did not acknowledge.
    async fn take_pending(&mut self, streams: &[&str]) -> Result<(), BoxError> {
        for stream in streams {
            let mut after = EntryId::default();
            loop {
                let command = self.read(&self.spec.consumer, &[(stream, &after.to_string())]);
                let answer: Answered = self.connection.call_within(&command, BLOCK + CALL).await?;
                let entries = answer.unwrap_or_default().into_iter().next();
                let entries = entries.map(|(_, entries)| entries).unwrap_or_default();
                let Some(last) = entries.last() else { break };
                after = last.id;
                self.bring(stream, &entries).await?;
            }
        }
        Ok(())
    }

    pub(super) fn read(&self, consumer: &str, streams: &[(&str, &str)]) -> Cmd {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(&self.spec.group).arg(consumer);
        command.arg("COUNT").arg(COUNT);
        command.arg("BLOCK").arg(BLOCK.as_millis().to_string());
        command.arg("STREAMS");
        for (stream, _) in streams {
            command.arg(stream);
        }
        for (_, after) in streams {
            command.arg(after);
        }
        command
    }

    /// Brings the entries that come after the position; all of them are acknowledged when they are on disk.
    async fn bring(&mut self, stream: &str, entries: &[Entry]) -> Result<(), BoxError> {
        let mut routes = self.spec.streams.iter();
        let Some(route) = routes.find(|route| route.source == stream) else {
            return Err(format!(
                "the server has sent entries of stream {stream}, which was not asked for"
            )
            .into());
        };
        let position = self.positions.entry(stream.to_owned()).or_default();
        let before = position.last;
        let is_new = |entry: &&Entry| before.is_none_or(|before| entry.id > before);
        let mut batch = Batch::new();
        for entry in entries.iter().filter(is_new) {
            add(self.spec, route, entry, &mut batch);
            position.last = Some(entry.id);
        }
        // Entries up to the position were brought by an earlier run, which may have ended before they were on disk.
        batch.set_position(stream, position.to_string());
        let receipt = self.inlet.bring(batch).await?;
        let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
        let acknowledgement = self.acknowledgement(stream, &ids);
        let brought = Brought {
            acknowledgement,
            receipt,
        };
        let sent = self.brought.send(brought).await;
        Ok(sent.map_err(|_| "acknowledgements have ended")?)
    }

    pub(super) fn acknowledgement(&self, stream: &str, ids: &[EntryId]) -> Cmd {
        let mut command = redis::cmd("XACK");
        command.arg(stream).arg(&self.spec.group);
        for id in ids {
            command.arg(id.to_string());
        }
        command
    }
}

/// Makes messages of an entry, or sets it aside.
pub(super) fn add(spec: &RedisIngress, route: &Route, entry: &Entry, batch: &mut Batch) {
    let stream = &route.source;
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
                Ok(Some(one)) => {
                    one.receipt.durable().await?;
                    self.connection.call::<()>(&one.acknowledgement).await?;
                }
                Ok(None) => return Err("reading has ended".into()),
                Err(_) => {}
            }
            if self.asked.elapsed() >= LAG_EVERY {
                self.tell_lag().await?;
            }
        }
    }

    /// Redis 7 and later count the entries that a group has not been given.
    async fn tell_lag(&mut self) -> Result<(), Failure> {
        self.asked = Instant::now();
        for route in &self.spec.streams {
            let mut asked = redis::cmd("XINFO");
            asked.arg("GROUPS").arg(&route.source);
            let groups: Vec<HashMap<String, Value>> = self.connection.call(&asked).await?;
            let text = |group: &HashMap<String, Value>| {
                let name = group.get("name")?;
                from_redis_value_ref::<String>(name).ok()
            };
            let mut groups = groups.iter();
            let ours = groups.find(|group| text(group).as_ref() == Some(&self.spec.group));
            let lag = ours.and_then(|group| group.get("lag"));
            if let Some(lag) = lag.and_then(|lag| from_redis_value_ref(lag).ok()) {
                self.inlet.behind(&route.source, lag);
            }
        }
        Ok(())
    }
}
