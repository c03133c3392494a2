//! The streams of an ingress: where their shards begin, and what a listing changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Notify;
use tracing::error;

use super::failure::{Failure, Meaning};
use super::listing::Listing;
use super::position::{Position, Split};
use super::shards::{Shards, Start};
use crate::module::{KinesisIngress, KinesisStart, Route};
use crate::runtime::{Batch, Inlet};

/// What is reported about a position that belongs to an older stream of the same name.
pub(super) const RENEWED: &str = "the stored position does not belong to the shard, because its stream was deleted and created again: records of the old stream that were not read are lost; the shard is read from its oldest record";

/// The targets of a stream's records, and its shards.
pub(super) struct Stream {
    pub(super) route: Route,
    pub(super) shards: Shards,
    /// Shards that are being read.
    pub(super) polled: BTreeSet<String>,
    /// Where the shards of the next listing begin.
    pub(super) begins: Begins,
    /// Whether it has a stored position of its own, because it was not listed when other streams were.
    pub(super) is_awaited: bool,
    /// The last listing of its shards.
    pub(super) looked: Looked,
    /// Asks for a listing now: a shard has ended whose children are not known yet.
    pub(super) soon: Arc<Notify>,
}

/// The last listing of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    NotYet,
    Found,
    Failed,
}

/// Where new shards of a stream begin.
pub(super) enum Begins {
    /// At the startup position: the ingress has never run.
    AtStart,
    /// Where the ingress was to begin when the stream was missing.
    At(Position),
    /// At their oldest record.
    Oldest,
}

impl Stream {
    pub(super) fn of(route: &Route) -> (String, Self) {
        let stream = Self {
            route: route.clone(),
            shards: Shards::default(),
            polled: BTreeSet::new(),
            begins: Begins::Oldest,
            is_awaited: false,
            looked: Looked::NotYet,
            soon: Arc::default(),
        };
        (route.source.clone(), stream)
    }
}

/// Changes of positions that a listing makes.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) batch: Batch,
    pub(super) changes: bool,
    /// Shards that begin with the records that arrive from now on.
    pub(super) from_now: Vec<Split>,
}

impl Staged {
    pub(super) fn set(&mut self, split: String, position: &Position) {
        self.batch.set_position(split, position.to_bytes());
        self.changes = true;
    }

    /// Stores where a stream begins that was not listed yet.
    pub(super) fn awaits(&mut self, name: &str, stream: &mut Stream, position: &Position) {
        stream.is_awaited = true;
        self.set(name.to_owned(), position);
    }

    fn forget(&mut self, split: String) {
        self.batch = std::mem::take(&mut self.batch).forget(split);
        self.changes = true;
    }

    /// Takes the shards of a stream.
    pub(super) fn take_up(
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
        if std::mem::take(&mut stream.is_awaited) {
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

/// Where a stream begins that was not listed at the first start. A missing stream is new when it appears.
pub(super) fn awaited(failure: Option<&Failure>, spec: &KinesisIngress, inlet: &Inlet) -> Position {
    match spec.startup_position {
        _ if failure.is_some_and(|failure| failure.meaning() == Meaning::Missing) => {
            Position::Oldest
        }
        KinesisStart::Earliest => Position::Oldest,
        KinesisStart::Latest => Position::Since(inlet.now()),
        KinesisStart::Date(date) => Position::Since(date),
    }
}
