//! Which shards of a stream are read, and when: a shard is read once all its parents are finished.
//!
//! A shard has a position from when it is first seen, and is forgotten when it was read to its end and all its children have positions. So a
//! listed shard without a position is either new, or an ancestor of one that has a position, and then it was finished long ago.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::api::ShardListing;
use super::position::Position;
use crate::time::Timestamp;

/// A shard as the stream lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: String,
    /// Two after a merge. Some may not be listed any more.
    pub(super) parents: Vec<String>,
    /// The hashes of its keys.
    pub(super) hashes: RangeInclusive<u128>,
    /// The sequence number at which it begins.
    pub(super) first: String,
}

impl Listed {
    /// `None` if the hashes are not numbers.
    pub(super) fn read(listing: ShardListing) -> Option<Self> {
        let range = listing.hash_key_range;
        let parents = [listing.parent_shard_id, listing.adjacent_parent_shard_id];
        Some(Self {
            id: listing.shard_id,
            parents: parents.into_iter().flatten().collect(),
            hashes: range.starting_hash_key.parse().ok()?..=range.ending_hash_key.parse().ok()?,
            first: listing.sequence_number_range.starting_sequence_number,
        })
    }
}

/// Where new shards begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At their oldest record.
    Oldest,
    /// At the first record that is not older.
    Since(Timestamp),
    /// Shards that have ended are left out; the others begin at this time, which is now.
    Latest(Timestamp),
}

/// The shards of one stream that have positions.
#[derive(Debug, Default)]
pub(super) struct Shards {
    known: BTreeMap<String, Position>,
    listed: BTreeMap<String, Listed>,
}

/// The changes that a new listing makes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Shards that got their first positions.
    pub(super) new: Vec<(String, Position)>,
    /// Finished shards whose positions are no longer needed.
    pub(super) forgotten: Vec<String>,
    /// Shards that the stream no longer has, and that were not read to their end.
    pub(super) lost: Vec<String>,
    /// Shards that continue at their oldest records, because their positions are older than they are: the stream was deleted and
    /// created again.
    pub(super) renewed: Vec<String>,
}

impl Shards {
    /// The shards with these stored positions.
    pub(super) fn stored(known: BTreeMap<String, Position>) -> Self {
        let listed = BTreeMap::new();
        Self { known, listed }
    }

    /// Takes all shards that the stream has now.
    pub(super) fn list(&mut self, listing: Vec<Listed>, start: Start) -> Changes {
        self.listed = listing
            .into_iter()
            .map(|shard| (shard.id.clone(), shard))
            .collect();
        let mut changes = Changes::default();
        let past = self.ancestors_of_known();
        let is_parent: BTreeSet<&String> = self
            .listed
            .values()
            .flat_map(|shard| &shard.parents)
            .collect();
        for id in self.listed.keys() {
            let begins = match start {
                Start::Latest(_) if is_parent.contains(id) => continue,
                Start::Latest(now) => Position::Since(now),
                Start::Since(time) => Position::Since(time),
                Start::Oldest => Position::Oldest,
            };
            if !self.known.contains_key(id) && !past.contains(id) {
                changes.new.push((id.clone(), begins));
            }
        }
        self.known.extend(changes.new.iter().cloned());
        for (id, position) in &self.known {
            match (self.listed.contains_key(id), position) {
                (true, Position::Ended) if self.is_done(id) => changes.forgotten.push(id.clone()),
                (true, _) => {}
                (false, Position::Ended) => changes.forgotten.push(id.clone()),
                (false, _) => changes.lost.push(id.clone()),
            }
        }
        for id in changes.forgotten.iter().chain(&changes.lost) {
            self.known.remove(id);
        }
        for (id, position) in &mut self.known {
            let first = self.listed.get(id).map(|shard| shard.first.as_str());
            if let (Position::After(number), Some(first)) = (&*position, first)
                && is_before(number, first)
            {
                *position = Position::Oldest;
                changes.renewed.push(id.clone());
            }
        }
        changes
    }

    /// Listed shards of whose children, or children's children, one has a position.
    fn ancestors_of_known(&self) -> BTreeSet<String> {
        let mut ancestors = BTreeSet::new();
        let mut next: Vec<&String> = self.known.keys().collect();
        while let Some(id) = next.pop() {
            let Some(shard) = self.listed.get(id) else {
                continue;
            };
            for parent in &shard.parents {
                if !self.known.contains_key(parent) && ancestors.insert(parent.clone()) {
                    next.push(parent);
                }
            }
        }
        ancestors
    }

    /// Whether its children are listed. They have positions then, or were finished.
    fn is_done(&self, id: &str) -> bool {
        let mut all = self.listed.values();
        all.any(|shard| shard.parents.iter().any(|parent| parent == id))
    }

    /// The shards that may be read now: they have not ended, and no parent of theirs is still to be read.
    pub(super) fn ready(&self) -> impl Iterator<Item = (&str, &Position)> {
        let is_open = |id: &String| self.known.get(id).is_some_and(|at| *at != Position::Ended);
        let known = self.known.iter();
        known
            .filter(move |(id, position)| {
                let shard = self.listed.get(*id);
                **position != Position::Ended
                    && shard.is_some_and(|shard| !shard.parents.iter().any(is_open))
            })
            .map(|(id, position)| (id.as_str(), position))
    }

    /// The position of a shard that is still to be read.
    pub(super) fn position(&self, id: &str) -> Option<&Position> {
        self.known.get(id).filter(|at| **at != Position::Ended)
    }

    /// The hashes of the keys of a shard.
    pub(super) fn hashes(&self, id: &str) -> Option<&RangeInclusive<u128>> {
        self.listed.get(id).map(|shard| &shard.hashes)
    }

    /// Continues a shard elsewhere.
    pub(super) fn move_to(&mut self, id: &str, position: Position) {
        if let Some(known) = self.known.get_mut(id) {
            *known = position;
        }
    }

    /// A shard was read to its end. True if its position is no longer needed; otherwise its children are not listed yet.
    pub(super) fn end(&mut self, id: &str) -> bool {
        let is_done = self.is_done(id);
        match is_done {
            true => _ = self.known.remove(id),
            false => self.move_to(id, Position::Ended),
        }
        is_done
    }
}

/// Compares sequence numbers, which have more digits than a `u128`.
fn is_before(one: &str, other: &str) -> bool {
    (one.len(), one) < (other.len(), other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, parents: &[&str]) -> Listed {
        Listed {
            id: id.to_owned(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            hashes: 0..=u128::MAX,
            first: "5".to_owned(),
        }
    }

    fn ready(shards: &Shards) -> Vec<&str> {
        shards.ready().map(|(id, _)| id).collect()
    }

    fn new(changes: &Changes) -> Vec<&str> {
        changes.new.iter().map(|(id, _)| id.as_str()).collect()
    }

    /// `a` was split into `b` and `c`; those were merged into `d`.
    fn resharded() -> Vec<Listed> {
        vec![
            listed("a", &[]),
            listed("b", &["a"]),
            listed("c", &["a"]),
            listed("d", &["b", "c"]),
        ]
    }

    #[test]
    fn a_child_is_read_once_all_its_parents_are_finished() {
        let mut shards = Shards::default();
        let changes = shards.list(resharded(), Start::Oldest);
        assert_eq!(new(&changes), ["a", "b", "c", "d"]);
        assert_eq!(ready(&shards), ["a"]);
        assert!(shards.end("a"), "its children have positions");
        assert_eq!(ready(&shards), ["b", "c"]);
        assert!(shards.end("c"));
        assert_eq!(ready(&shards), ["b"]);
        assert!(shards.end("b"));
        assert_eq!(ready(&shards), ["d"]);
        // The finished ones are still listed, and are not new.
        assert_eq!(shards.list(resharded(), Start::Oldest), Changes::default());
    }

    #[test]
    fn an_end_is_kept_until_the_children_are_listed() {
        let mut shards = Shards::default();
        shards.list(vec![listed("a", &[])], Start::Oldest);
        assert!(!shards.end("a"));
        assert_eq!(ready(&shards), [""; 0]);
        let changes = shards.list(resharded(), Start::Oldest);
        assert_eq!(new(&changes), ["b", "c", "d"]);
        assert_eq!(changes.forgotten, ["a"]);
        assert_eq!(ready(&shards), ["b", "c"]);
    }

    #[test]
    fn what_was_stored_goes_on_where_it_was() {
        let known = [("b", "5"), ("d", "7")];
        let known = known.map(|(id, at)| (id.to_owned(), Position::After(at.to_owned())));
        let mut shards = Shards::stored(known.into());
        let changes = shards.list(resharded(), Start::Oldest);
        // `a` and `c` are ancestors of `d`, which has a position.
        assert_eq!(changes, Changes::default());
        assert_eq!(ready(&shards), ["b"]);
    }

    #[test]
    fn the_latest_position_leaves_out_what_has_ended() {
        let now = Timestamp::from_millis(7);
        let mut shards = Shards::default();
        let mut listing = resharded();
        listing.push(listed("e", &[]));
        let changes = shards.list(listing.clone(), Start::Latest(now));
        let since = |id: &str| (id.to_owned(), Position::Since(now));
        assert_eq!(changes.new, [since("d"), since("e")]);
        assert_eq!(ready(&shards), ["d", "e"]);
        // `e` is split later: its children are read to their beginning.
        listing.extend([listed("f", &["e"]), listed("g", &["e"])]);
        let changes = shards.list(listing, Start::Oldest);
        assert_eq!(
            changes.new,
            ["f", "g"].map(|id| (id.to_owned(), Position::Oldest))
        );
        assert_eq!(ready(&shards), ["d", "e"]);
    }

    #[test]
    fn a_shard_that_is_no_longer_listed_is_lost_unless_it_had_ended() {
        let known = [("a", Position::Ended), ("x", Position::Oldest)];
        let known = known.map(|(id, at)| (id.to_owned(), at));
        let mut shards = Shards::stored(known.into());
        let changes = shards.list(vec![listed("y", &["x"])], Start::Oldest);
        assert_eq!(
            (changes.forgotten, changes.lost),
            (vec!["a".to_owned()], vec!["x".to_owned()])
        );
        assert_eq!(ready(&shards), ["y"]);
    }

    #[test]
    fn a_position_before_the_begin_of_a_shard_is_of_a_stream_that_is_gone() {
        let known = [("a", "4"), ("b", "5"), ("c", "10")];
        let known = known.map(|(id, at)| (id.to_owned(), Position::After(at.to_owned())));
        let mut shards = Shards::stored(known.into());
        let listing = ["a", "b", "c"].map(|id| listed(id, &[]));
        let changes = shards.list(listing.to_vec(), Start::Oldest);
        assert_eq!(changes.renewed, ["a"]);
        assert_eq!(shards.position("a"), Some(&Position::Oldest));
        assert_eq!(
            shards.position("c"),
            Some(&Position::After("10".to_owned()))
        );
    }

    /// Random reshardings and listings, with losses of memory: each shard is read once, after its parents.
    #[test]
    fn any_history_of_splits_and_merges_is_read_in_order_and_once() {
        use crate::random::Random;
        for seed in 0..300 {
            let mut random = Random::seeded(seed);
            let mut all = vec![listed("s00", &[]), listed("s01", &[])];
            let mut open = vec!["s00".to_owned(), "s01".to_owned()];
            let mut shards = Shards::default();
            let mut finished: Vec<String> = Vec::new();
            let mut steps = 0;
            while finished.len() < all.len() || all.len() < 30 {
                steps += 1;
                assert!(steps < 10_000, "seed {seed} hangs: {shards:?}");
                match random.below(4) {
                    0 if all.len() < 30 => reshard(&mut all, &mut open, &mut random),
                    1 => drop(shards.list(all.clone(), Start::Oldest)),
                    2 => shards = Shards::stored(shards.known),
                    _ => {
                        let ready: Vec<String> =
                            ready(&shards).into_iter().map(str::to_owned).collect();
                        // An open shard does not end.
                        let ends = ready
                            .iter()
                            .find(|id| !open.contains(id) || all.len() >= 30);
                        if let Some(id) = ends {
                            let shard = all.iter().find(|shard| shard.id == *id).unwrap();
                            assert!(
                                shard.parents.iter().all(|parent| finished.contains(parent)),
                                "seed {seed}: {id}"
                            );
                            assert!(!finished.contains(id), "seed {seed}: {id} twice");
                            finished.push(id.clone());
                            shards.end(id);
                        }
                    }
                }
            }
        }
    }

    fn reshard(all: &mut Vec<Listed>, open: &mut Vec<String>, random: &mut crate::random::Random) {
        let mut take = |open: &mut Vec<String>| {
            let at = usize::try_from(random.below(open.len() as u64)).unwrap();
            open.remove(at)
        };
        let name = |all: &Vec<Listed>| format!("s{:02}", all.len());
        if open.len() > 2 {
            let (one, two) = (take(open), take(open));
            open.push(name(all));
            all.push(listed(&name(all), &[&one, &two]));
        } else {
            let parent = take(open);
            for _ in 0..2 {
                open.push(name(all));
                all.push(listed(&name(all), &[&parent]));
            }
        }
    }
}
