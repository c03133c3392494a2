//! A partition of a topic as a split of the source: its name, and its position.

use std::fmt;

use bytes::Bytes;

use crate::sdk::BoxError;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Split {
    pub(super) topic: String,
    pub(super) partition: i32,
}

impl Split {
    pub(super) fn new(topic: impl Into<String>, partition: i32) -> Self {
        let topic = topic.into();
        Self { topic, partition }
    }
}

/// `topic/partition`. No topic has a slash in its name.
impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The offset of the next record, in digits, because operators see positions.
pub(super) fn position(next: i64) -> Bytes {
    next.to_string().into()
}

/// The stored positions of an ingress.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// The offset of the next record of each partition.
    pub(super) next: std::collections::BTreeMap<Split, i64>,
    /// Topics that were missing at the first check: they are read from their first record.
    pub(super) awaited: Vec<String>,
}

impl Stored {
    /// Reads the positions of an ingress.
    ///
    /// # Errors
    /// If one of them is not an offset: starting anywhere else would lose or repeat records.
    pub(super) fn read(positions: Vec<(String, Bytes)>) -> Result<Self, BoxError> {
        let mut stored = Self::default();
        for (name, position) in positions {
            let Some((topic, partition)) = name.rsplit_once('/') else {
                stored.awaited.push(name);
                continue;
            };
            let next = std::str::from_utf8(&position).ok();
            let next = next.and_then(|next| next.parse().ok());
            let (Ok(partition), Some(next)) = (partition.parse(), next) else {
                return Err(format!(
                    "the stored position of split {name} is not an offset: another kind of source had the id of this ingress before; give the ingress another id"
                )
                .into());
            };
            stored.next.insert(Split::new(topic, partition), next);
        }
        Ok(stored)
    }

    /// Whether the ingress has never run: only then its startup position applies.
    pub(super) fn is_fresh(&self) -> bool {
        self.next.is_empty() && self.awaited.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_were_stored() {
        let split = Split::new("a.b-c", 12);
        let positions = vec![
            (split.to_string(), position(70)),
            ("later".to_owned(), Bytes::new()),
        ];
        let stored = Stored::read(positions).unwrap();
        assert_eq!(stored.next.get(&split), Some(&70));
        assert_eq!(stored.awaited, ["later"]);
        assert!(!stored.is_fresh());
        assert!(Stored::read(Vec::new()).unwrap().is_fresh());
    }

    #[test]
    fn a_position_of_another_source_is_refused() {
        for (name, position) in [("a/1", "x"), ("a/x", "1"), ("a/1", "")] {
            let positions = vec![(name.to_owned(), Bytes::from(position))];
            assert!(Stored::read(positions).is_err(), "{name} {position}");
        }
    }
}
