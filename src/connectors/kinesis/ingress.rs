//! `io.statefun.kinesis.v1/ingress`: records of streams become messages.
//!
//! The sequence number after a batch is stored together with the batch. A shard without a stored position begins at the document's startup
//! position if the ingress has never run, otherwise at its oldest record, as with StateFun.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{error, info};

use super::aggregated::parts;
use super::api::{Fetched, StoredRecord};
use super::client::Lazy;
use super::failure::{Failure, Meaning};
use super::listing::{Listing, look};
use super::poll::Poll;
use super::position::{Position, Split, Stored};
use super::settings::{Dependencies, Reading};
use super::shards::{Shards, Start};
use super::troubles::Troubles;
use crate::module::{KinesisIngress, KinesisStart, Route};
use crate::runtime::{Batch, HttpListeners, Inlet, Listener, Source, StartError};
use crate::sdk::{Address, BoxError, Message, MessageBuilder, TypeName};

/// The messages of a batch at which no further record is added.
const BATCH_MESSAGES: usize = 2_000;
/// The same, for bytes.
const BATCH_BYTES: usize = 4 << 20;
/// Calls for records in progress. Each answer may have 10 MiB.
const CALLS: usize = 16;
/// The interval of checks for streams that are missing or do not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Failures in a row from which on throttling is shown to operators.
const OFTEN: u32 = 3;

const RENEWED: &str = "the stored position does not belong to the shard, because its stream was deleted and created again: records of the old stream that were not read are lost; the shard is read from its oldest record";

/// Reads streams.
#[derive(Debug)]
pub(crate) struct KinesisSource {
    spec: KinesisIngress,
    dependencies: Dependencies,
    opened: Option<(Reading, Arc<Lazy>)>,
}

impl KinesisSource {
    pub(crate) const fn new(spec: KinesisIngress, dependencies: Dependencies) -> Self {
        let opened = None;
        Self {
            spec,
            dependencies,
            opened,
        }
    }
}

#[async_trait]
impl Source for KinesisSource {
    /// Checks the settings, without a connection.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let what = || format!("ingress {} ({})", self.spec.id, self.spec.location);
        let reading = Reading::of(&self.spec).map_err(|why| StartError::connector(what(), why))?;
        let settings = reading.settings.clone();
        let client = Lazy::new(settings, self.dependencies.clone());
        self.opened = Some((reading, Arc::new(client)));
        Ok(None)
    }

    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let (reading, client) = self.opened.clone().ok_or("the source was not opened")?;
        let streams = self.spec.streams.iter().map(Stream::of);
        let mut reader = Reader {
            spec: &self.spec,
            reading,
            client,
            inlet,
            streams: streams.collect(),
            polls: FuturesUnordered::new(),
            permits: Arc::new(Semaphore::new(CALLS)),
            troubles: Troubles::default(),
            looks_soon: false,
        };
        reader.run().await
    }
}

/// The targets of a stream's records, and its shards.
struct Stream {
    route: Route,
    shards: Shards,
    /// Shards that are being read.
    polled: BTreeSet<String>,
    /// Where the shards of the next listing begin.
    begins: Begins,
    /// Whether its last listing failed.
    fails: bool,
}

/// Where new shards of a stream begin.
enum Begins {
    /// At the startup position: the ingress has never run.
    AtStart,
    /// Where the ingress was to begin when the stream was missing.
    At(Position),
    /// At their oldest record.
    Oldest,
}

impl Stream {
    fn of(route: &Route) -> (String, Self) {
        let stream = Self {
            route: route.clone(),
            shards: Shards::default(),
            polled: BTreeSet::new(),
            begins: Begins::Oldest,
            fails: false,
        };
        (route.source.clone(), stream)
    }
}

/// One run of the source.
struct Reader<'a> {
    spec: &'a KinesisIngress,
    reading: Reading,
    client: Arc<Lazy>,
    inlet: &'a Inlet,
    streams: BTreeMap<String, Stream>,
    polls: FuturesUnordered<BoxFuture<'static, Polled>>,
    permits: Arc<Semaphore>,
    troubles: Troubles,
    /// A shard has ended whose children are not known yet.
    looks_soon: bool,
}

type Polled = (Poll, Result<Fetched, Failure>);
type Found = Vec<(String, Result<Listing, Failure>)>;

impl Reader<'_> {
    async fn run(&mut self) -> Result<(), BoxError> {
        self.begin()?;
        let mut looking = std::pin::pin!(self.look(Duration::ZERO));
        loop {
            tokio::select! {
                Some((poll, fetched)) = self.polls.next() => self.polled(poll, fetched).await?,
                found = &mut looking => {
                    self.found(found).await?;
                    let wait = self.pause();
                    looking.set(self.look(wait));
                }
            }
            if std::mem::take(&mut self.looks_soon) {
                looking.set(self.look(Duration::ZERO));
            }
        }
    }

    /// Reads the stored positions.
    fn begin(&mut self) -> Result<(), BoxError> {
        let mut stored = Stored::read(self.inlet.positions()?)?;
        let is_fresh = stored.is_fresh();
        for (name, stream) in &mut self.streams {
            let known = stored.streams.remove(name).unwrap_or_default();
            stream.begins = match (is_fresh, stored.awaited.remove(name)) {
                (true, _) => Begins::AtStart,
                (false, Some(position)) => Begins::At(position),
                (false, None) => Begins::Oldest,
            };
            stream.shards = Shards::stored(known);
        }
        Ok(())
    }

    /// The shards of all streams, after a pause.
    fn look(&self, wait: Duration) -> impl Future<Output = Found> + use<> {
        let client = Arc::clone(&self.client);
        let streams = self.streams.keys().cloned().collect();
        async move {
            sleep(wait).await;
            look(client, streams).await
        }
    }

    fn pause(&self) -> Duration {
        let fails = self.streams.values().any(|stream| stream.fails);
        match fails {
            true => self.reading.discovery.min(LOOK_AGAIN),
            false => self.reading.discovery,
        }
    }

    /// Takes up new shards. Their positions are staged before their first records, so that they are the same after a crash; a stream that is
    /// missing at the first start gets one, too.
    async fn found(&mut self, found: Found) -> Result<(), BoxError> {
        let mut staged = Staged::default();
        for (name, listing) in found {
            let Some(stream) = self.streams.get_mut(&name) else {
                continue;
            };
            stream.fails = listing.is_err();
            match listing {
                Ok(listing) => {
                    staged.take_up(&name, stream, listing, self.spec);
                    self.troubles.remove(self.inlet, &name);
                }
                Err(failure) => {
                    if matches!(stream.begins, Begins::AtStart) {
                        let position = awaited(&failure, self.spec, self.inlet);
                        staged.set(name.clone(), &position);
                        stream.begins = Begins::At(position);
                    }
                    let told = told(&failure, &name);
                    self.troubles.add(self.inlet, &name, told);
                }
            }
        }
        if staged.changes {
            let _receipt = self.inlet.bring(staged.batch).await?;
        }
        self.troubles.end_of_earlier_runs(self.inlet);
        self.read_ready(&staged.from_now);
        Ok(())
    }

    /// Begins to read the shards that may be read.
    fn read_ready(&mut self, from_now: &[Split]) {
        let mut new = Vec::new();
        for (name, stream) in &mut self.streams {
            for (shard, position) in stream.shards.ready() {
                if stream.polled.insert(shard.to_owned()) {
                    let split = Split::new(name, shard);
                    let from_now = from_now.contains(&split);
                    info!(ingress = %self.spec.id, %split, %position, "begins to read a shard");
                    new.push(Poll::new(split, position.clone(), from_now));
                }
            }
        }
        for poll in new {
            self.poll(poll);
        }
    }

    fn poll(&self, poll: Poll) {
        let (client, permits) = (Arc::clone(&self.client), Arc::clone(&self.permits));
        let (max_records, interval) = (self.reading.max_records, self.reading.interval);
        let next = poll.run(client, permits, max_records, interval);
        self.polls.push(Box::pin(next));
    }

    async fn polled(
        &mut self,
        mut poll: Poll,
        fetched: Result<Fetched, Failure>,
    ) -> Result<(), BoxError> {
        let Some(stream) = self.streams.get_mut(&poll.split.stream) else {
            return Ok(());
        };
        // A listing may have shown meanwhile that the shard is gone, or another one with the same name.
        match stream.shards.position(&poll.split.shard) {
            Some(position) if *position == poll.position => {}
            Some(position) => {
                poll.move_to(position.clone());
                self.poll(poll);
                return Ok(());
            }
            None => {
                stream.polled.remove(&poll.split.shard);
                self.troubles.remove(self.inlet, &poll.split.to_string());
                return Ok(());
            }
        }
        match fetched {
            Ok(fetched) => {
                self.troubles.remove(self.inlet, &poll.split.to_string());
                self.bring(poll, fetched).await
            }
            Err(failure) => self.failed(poll, &failure).await,
        }
    }

    /// Brings the records of an answer, in batches, and reads on.
    async fn bring(&mut self, mut poll: Poll, fetched: Fetched) -> Result<(), BoxError> {
        let split = &poll.split;
        let Some(stream) = self.streams.get_mut(&split.stream) else {
            return Ok(());
        };
        let name = split.to_string();
        let mut gathered = Gathered::default();
        for record in &fetched.records {
            gathered.take(record, stream, split);
            if gathered.is_enough() {
                let full = std::mem::take(&mut gathered);
                full.bring(self.inlet, &name, &split.shard, &mut stream.shards)
                    .await?;
            }
        }
        let Some(next) = fetched.next_shard_iterator else {
            info!(ingress = %self.spec.id, split = %name, "a shard was read to its end");
            let is_done = stream.shards.end(&split.shard);
            self.looks_soon |= !is_done;
            gathered.batch = match is_done {
                true => gathered.batch.forget(name),
                false => gathered.batch.position(name, Position::Ended.to_bytes()),
            };
            stream.polled.remove(&split.shard);
            let _receipt = self.inlet.bring(gathered.batch).await?;
            self.read_ready(&[]);
            return Ok(());
        };
        if gathered.last.is_some() {
            gathered
                .bring(self.inlet, &name, &split.shard, &mut stream.shards)
                .await?;
        }
        if let Some(millis) = fetched.millis_behind_latest {
            self.inlet.behind_by(&name, Duration::from_millis(millis));
        }
        let position = stream.shards.position(&split.shard);
        let position = position.cloned().unwrap_or(Position::Oldest);
        poll.succeeded(position, next);
        self.poll(poll);
        Ok(())
    }

    async fn failed(&mut self, mut poll: Poll, failure: &Failure) -> Result<(), BoxError> {
        let meaning = failure.meaning();
        let of = poll.split.to_string();
        let is_foreign = meaning == Meaning::Invalid
            && failure.call() == Some("GetShardIterator")
            && matches!(poll.position, Position::After(_));
        if is_foreign {
            self.go_on_elsewhere(&mut poll, failure).await?;
            self.poll(poll);
            return Ok(());
        }
        poll.failed(meaning);
        let is_shown = match meaning {
            Meaning::Expired | Meaning::Throttled => poll.failures >= OFTEN,
            _ => true,
        };
        if is_shown {
            let told = told(failure, &poll.split.stream);
            self.troubles.add(self.inlet, &of, told);
        }
        self.looks_soon |= meaning == Meaning::Missing && poll.failures == 1;
        self.poll(poll);
        Ok(())
    }

    /// Continues at the oldest record of a shard that does not know the stored position.
    async fn go_on_elsewhere(
        &mut self,
        poll: &mut Poll,
        failure: &Failure,
    ) -> Result<(), BoxError> {
        let split = &poll.split;
        error!(
            ingress = %self.spec.id, %split, stored = %poll.position, %failure,
            "{RENEWED}"
        );
        let batch = Batch::new().position(split.to_string(), Position::Oldest.to_bytes());
        let _receipt = self.inlet.bring(batch).await?;
        if let Some(stream) = self.streams.get_mut(&split.stream) {
            stream.shards.move_to(&split.shard, Position::Oldest);
        }
        poll.move_to(Position::Oldest);
        Ok(())
    }
}

/// Changes of positions that a listing makes.
#[derive(Default)]
struct Staged {
    batch: Batch,
    changes: bool,
    /// Shards that begin with the records that arrive from now on.
    from_now: Vec<Split>,
}

impl Staged {
    fn set(&mut self, split: String, position: &Position) {
        self.batch.set_position(split, position.to_bytes());
        self.changes = true;
    }

    fn forget(&mut self, split: String) {
        self.batch = std::mem::take(&mut self.batch).forget(split);
        self.changes = true;
    }

    /// Takes the shards of a stream.
    fn take_up(
        &mut self,
        name: &str,
        stream: &mut Stream,
        listing: Listing,
        spec: &KinesisIngress,
    ) {
        let begins = std::mem::replace(&mut stream.begins, Begins::Oldest);
        let start = match &begins {
            Begins::AtStart => match spec.startup_position {
                KinesisStart::Earliest => Start::Oldest,
                KinesisStart::Latest => Start::Latest(listing.at),
                KinesisStart::Date(date) => Start::Since(date),
            },
            Begins::At(Position::Since(time)) => Start::Since(*time),
            Begins::At(_) | Begins::Oldest => Start::Oldest,
        };
        if let Begins::At(_) = begins {
            self.forget(name.to_owned());
        }
        let changes = stream.shards.list(listing.shards, start);
        for (shard, position) in changes.new {
            let split = Split::new(name, shard);
            self.set(split.to_string(), &position);
            if let Start::Latest(_) = start {
                self.from_now.push(split);
            }
        }
        for shard in &changes.lost {
            let split = Split::new(name, &**shard);
            error!(ingress = %spec.id, %split, "the stream no longer has the shard: records of it that were not read are lost");
        }
        for shard in &changes.renewed {
            let split = Split::new(name, &**shard);
            error!(ingress = %spec.id, %split, "{RENEWED}");
            self.set(split.to_string(), &Position::Oldest);
        }
        for shard in changes.forgotten.iter().chain(&changes.lost) {
            self.forget(Split::new(name, &**shard).to_string());
        }
    }
}

/// The position of a stream whose shards cannot be listed at the first start: a missing stream is new when it appears.
fn awaited(failure: &Failure, spec: &KinesisIngress, inlet: &Inlet) -> Position {
    match spec.startup_position {
        _ if failure.meaning() == Meaning::Missing => Position::Oldest,
        KinesisStart::Earliest => Position::Oldest,
        KinesisStart::Latest => Position::Since(inlet.now()),
        KinesisStart::Date(date) => Position::Since(date),
    }
}

/// The failure, for operators.
fn told(failure: &Failure, stream: &str) -> String {
    match failure.meaning() {
        Meaning::Missing => {
            format!("the stream {stream} does not exist; it will be checked for again ({failure})")
        }
        _ => failure.with_causes(),
    }
}

/// Messages on their way into the runtime.
#[derive(Default)]
struct Gathered {
    batch: Batch,
    bytes: usize,
    /// The sequence number of the last record.
    last: Option<String>,
}

impl Gathered {
    /// Adds a record, or those that were packed into it.
    fn take(&mut self, record: &StoredRecord, stream: &Stream, split: &Split) {
        let hashes = stream.shards.hashes(&split.shard);
        match hashes.and_then(|hashes| parts(&record.data, hashes)) {
            Some(parts) => {
                for (key, data) in &parts {
                    self.add(key, data, &stream.route);
                }
            }
            None => self.add(&record.partition_key, &record.data, &stream.route),
        }
        self.bytes += record.data.len();
        self.last = Some(record.sequence_number.clone());
    }

    /// Adds the messages for the targets of a record.
    fn add(&mut self, key: &str, value: &[u8], route: &Route) {
        let id: Arc<str> = key.into();
        let mut first: Option<Message> = None;
        for target in &route.targets {
            let to = |target: &TypeName| {
                MessageBuilder::to(Address::new(target.clone(), Arc::clone(&id)))
            };
            let message = match &first {
                None => to(target).raw(&route.value_type, value),
                Some(first) => to(target).forward(first),
            };
            self.batch.push(&message);
            first.get_or_insert(message);
        }
    }

    fn is_enough(&self) -> bool {
        self.batch.len() >= BATCH_MESSAGES || self.bytes >= BATCH_BYTES
    }

    /// Brings the messages together with the position after them.
    async fn bring(
        mut self,
        inlet: &Inlet,
        split: &str,
        shard: &str,
        shards: &mut Shards,
    ) -> Result<(), BoxError> {
        let Some(last) = self.last else {
            return Ok(());
        };
        let position = Position::After(last);
        self.batch.set_position(split, position.to_bytes());
        let _receipt = inlet.bring(self.batch).await?;
        shards.move_to(shard, position);
        Ok(())
    }
}
