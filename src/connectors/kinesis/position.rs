//! A shard of a stream as a split of the source: its name, and its position.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::sdk::BoxError;
use crate::time::Timestamp;

/// A shard of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Split {
    pub(super) stream: String,
    pub(super) shard: String,
}

impl Split {
    pub(super) fn new(stream: impl Into<String>, shard: impl Into<String>) -> Self {
        let (stream, shard) = (stream.into(), shard.into());
        Self { stream, shard }
    }
}

/// `stream/shard`. No stream has a slash in its name.
impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.shard)
    }
}

/// Where the reading of a shard continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    /// At its oldest record.
    Oldest,
    /// At its first record that is not older.
    Since(Timestamp),
    /// After the record with this sequence number.
    After(String),
    /// Nowhere: it was read to its end.
    Ended,
}

const OLDEST: &str = "TRIM_HORIZON";
const ENDED: &str = "end";
/// Precedes the milliseconds of a point in time.
const SINCE: char = '@';

impl Position {
    /// As text, because operators see positions.
    pub(super) fn to_bytes(&self) -> Bytes {
        self.to_string().into()
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            OLDEST => return Some(Self::Oldest),
            ENDED => return Some(Self::Ended),
            _ => {}
        }
        if let Some(millis) = text.strip_prefix(SINCE) {
            let millis = millis.parse().ok()?;
            return Some(Self::Since(Timestamp::from_millis(millis)));
        }
        let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        is_number.then(|| Self::After(text.to_owned()))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oldest => f.write_str(OLDEST),
            Self::Since(time) => write!(f, "{SINCE}{}", time.as_millis()),
            Self::After(number) => f.write_str(number),
            Self::Ended => f.write_str(ENDED),
        }
    }
}

/// The stored positions of an ingress.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// The positions of the shards of each stream.
    pub(super) streams: BTreeMap<String, BTreeMap<String, Position>>,
    /// Where to begin in streams whose shards could not be listed at the first start.
    pub(super) awaited: BTreeMap<String, Position>,
}

impl Stored {
    /// Reads the positions of an ingress.
    ///
    /// # Errors
    /// If one of them is not a position in a shard: starting anywhere else would lose or repeat records.
    pub(super) fn read(positions: Vec<(String, Bytes)>) -> Result<Self, BoxError> {
        let mut stored = Self::default();
        for (name, position) in positions {
            let position = std::str::from_utf8(&position)
                .ok()
                .and_then(Position::parse);
            let position = position.ok_or_else(|| {
                format!("the stored position of split {name} is not a position in a shard: another kind of source had the id of this ingress before; give the ingress another id")
            })?;
            match name.split_once('/') {
                Some((stream, shard)) => {
                    let shards = stored.streams.entry(stream.to_owned()).or_default();
                    shards.insert(shard.to_owned(), position);
                }
                None => _ = stored.awaited.insert(name, position),
            }
        }
        Ok(stored)
    }

    /// Whether the ingress has never run: only then its startup position applies.
    pub(super) fn is_fresh(&self) -> bool {
        self.streams.is_empty() && self.awaited.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_were_stored() {
        let positions = [
            Position::Oldest,
            Position::Since(Timestamp::from_millis(1_580_530_500_000)),
            Position::After("49590338271490256608559692538361571095921575989136588898".to_owned()),
            Position::Ended,
        ];
        let stored = positions.iter().enumerate().map(|(n, position)| {
            (
                Split::new("a.b-c", n.to_string()).to_string(),
                position.to_bytes(),
            )
        });
        let mut stored: Vec<_> = stored.collect();
        stored.push(("later".to_owned(), Position::Oldest.to_bytes()));
        let stored = Stored::read(stored).unwrap();
        let shards: Vec<&Position> = stored.streams["a.b-c"].values().collect();
        assert_eq!(shards, positions.iter().collect::<Vec<_>>());
        assert_eq!(stored.awaited["later"], Position::Oldest);
        assert!(!stored.is_fresh());
        assert!(Stored::read(Vec::new()).unwrap().is_fresh());
    }

    #[test]
    fn a_position_of_another_source_is_refused() {
        for position in ["", "x", "@", "@x", "-1"] {
            let positions = vec![("a/1".to_owned(), Bytes::from(position))];
            assert!(Stored::read(positions).is_err(), "{position}");
        }
    }
}
