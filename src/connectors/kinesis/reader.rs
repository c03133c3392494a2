//! One run of an ingress: which shards are read now, and what is done with the answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{error, info};

use super::api::Fetched;
use super::client::Lazy;
use super::failure::{Failure, Meaning};
use super::gather::Gathered;
use super::listing::{Listing, list};
use super::poll::Poll;
use super::position::{Position, Split, Stored};
use super::settings::Reading;
use super::shards::Shards;
use super::stream::{Begins, Looked, RENEWED, Staged, Stream, awaited};
use super::troubles::Troubles;
use crate::module::KinesisIngress;
use crate::runtime::{Batch, Inlet};
use crate::sdk::BoxError;

/// Calls for records in progress. Each answer may have 10 MiB.
const CALLS: usize = 16;
/// The interval of checks for streams that are missing or do not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Failures in a row from which on throttling is shown to operators.
const OFTEN: u32 = 3;

/// One run of the source.
pub(super) struct Reader<'a> {
    spec: &'a KinesisIngress,
    reading: Reading,
    client: Arc<Lazy>,
    inlet: &'a Inlet,
    streams: BTreeMap<String, Stream>,
    polls: FuturesUnordered<BoxFuture<'static, Polled>>,
    permits: Arc<Semaphore>,
    /// One for each stream: a stream that does not answer delays no other.
    looks: FuturesUnordered<BoxFuture<'static, Found>>,
    troubles: Troubles,
}

type Polled = (Poll, Result<Fetched, Failure>);
type Found = (String, Result<Listing, Failure>);

impl<'a> Reader<'a> {
    pub(super) fn new(
        spec: &'a KinesisIngress,
        reading: Reading,
        client: Arc<Lazy>,
        inlet: &'a Inlet,
    ) -> Self {
        Self {
            spec,
            reading,
            client,
            inlet,
            streams: spec.streams.iter().map(Stream::of).collect(),
            polls: FuturesUnordered::new(),
            permits: Arc::new(Semaphore::new(CALLS)),
            looks: FuturesUnordered::new(),
            troubles: Troubles::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<(), BoxError> {
        self.begin()?;
        for name in self.streams.keys() {
            self.look(name, Duration::ZERO);
        }
        loop {
            tokio::select! {
                Some((poll, fetched)) = self.polls.next() => self.polled(poll, fetched).await?,
                Some((name, listing)) = self.looks.next() => {
                    self.found(&name, listing).await?;
                    self.look(&name, self.pause(&name));
                }
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
            stream.is_awaited = matches!(stream.begins, Begins::At(_));
            stream.shards = Shards::stored(known);
        }
        Ok(())
    }

    /// Asks for the shards of a stream, after a pause or when a shard has ended.
    fn look(&self, name: &str, pause: Duration) {
        let Some(stream) = self.streams.get(name) else {
            return;
        };
        let (client, soon, name) = (
            Arc::clone(&self.client),
            Arc::clone(&stream.soon),
            name.to_owned(),
        );
        self.looks.push(Box::pin(async move {
            tokio::select! {
                () = sleep(pause) => {}
                () = soon.notified() => {}
            }
            let listing = list(&client, &name).await;
            (name, listing)
        }));
    }

    fn pause(&self, name: &str) -> Duration {
        let stream = self.streams.get(name);
        match stream.map(|stream| stream.looked) {
            Some(Looked::Failed) => self.reading.discovery.min(LOOK_AGAIN),
            _ => self.reading.discovery,
        }
    }

    /// Takes up new shards. Their positions are staged before their first records, so that they are the same after a crash; a stream that is
    /// missing at the first start gets one, too.
    async fn found(
        &mut self,
        name: &str,
        listing: Result<Listing, Failure>,
    ) -> Result<(), BoxError> {
        let Some(stream) = self.streams.get_mut(name) else {
            return Ok(());
        };
        let mut staged = Staged::default();
        match listing {
            Ok(listing) => {
                stream.looked = Looked::Found;
                staged.take_up(name, stream, listing, self.spec);
                self.troubles.remove(self.inlet, name);
            }
            Err(failure) => {
                stream.looked = Looked::Failed;
                if matches!(stream.begins, Begins::AtStart) {
                    let position = awaited(Some(&failure), self.spec, self.inlet);
                    staged.awaits(name, stream, &position);
                    stream.begins = Begins::At(position);
                }
                let told = told(&failure, name);
                self.troubles.add(self.inlet, name, told);
            }
        }
        if staged.changes {
            // After a crash the ingress has positions, and streams without one would begin at their oldest record.
            for (name, stream) in &mut self.streams {
                if matches!(stream.begins, Begins::AtStart) && !stream.is_awaited {
                    let position = awaited(None, self.spec, self.inlet);
                    staged.awaits(name, stream, &position);
                }
            }
            let _receipt = self.inlet.bring(staged.batch).await?;
        }
        let mut streams = self.streams.values();
        if streams.all(|stream| stream.looked != Looked::NotYet) {
            self.troubles.end_of_earlier_runs(self.inlet);
        }
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
            if !is_done {
                stream.soon.notify_one();
            }
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
        if meaning == Meaning::Missing
            && poll.failures == 1
            && let Some(stream) = self.streams.get(&poll.split.stream)
        {
            stream.soon.notify_one();
        }
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

/// The failure, for operators.
fn told(failure: &Failure, stream: &str) -> String {
    match failure.meaning() {
        Meaning::Missing => {
            format!("the stream {stream} does not exist; it will be checked for again ({failure})")
        }
        _ => failure.with_causes(),
    }
}
