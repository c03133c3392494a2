//! The position of a stream, which is stored with the effect of its entries.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::record::{EntryId, NotAnId};

/// How far a stream is taken in.
///
/// As text, the last id, or `-`; after a space, the ids of entries that were taken over, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct StreamPosition {
    /// The last entry of those that were handed out to this consumer; `None` before the first.
    pub(super) last: Option<EntryId>,
    /// Entries of other consumers that were brought, and whose acknowledgement is open.
    pub(super) taken_over: BTreeSet<EntryId>,
}

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) => write!(f, "{last}")?,
            None => f.write_str("-")?,
        }
        for (index, id) in self.taken_over.iter().enumerate() {
            let before = if index == 0 { ' ' } else { ',' };
            write!(f, "{before}{id}")?;
        }
        Ok(())
    }
}

impl FromStr for StreamPosition {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (last, taken_over) = text.split_once(' ').unwrap_or((text, ""));
        let last = match last {
            "-" => None,
            id => Some(id.parse()?),
        };
        let ids = taken_over.split(',').filter(|id| !id.is_empty());
        let taken_over = ids.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { last, taken_over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for text in ["1716-2", "-", "1716-2 3-0,4-1", "- 3-0"] {
            let position: StreamPosition = text.parse().unwrap();
            assert_eq!(position.to_string(), text);
        }
        for text in ["", "x", "1-0 x", "12"] {
            assert!(text.parse::<StreamPosition>().is_err(), "{text}");
        }
    }
}
