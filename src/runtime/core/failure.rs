//! What happens to an address whose batch failed: it waits and is tried again, or it is set aside. Others go on.

use std::fmt;
use std::num::NonZeroU32;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::retry::Backoff;
use crate::timestamp::Timestamp;

/// Why a batch has no effects: the call failed, or its answer could not be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
}

impl Failure {
    /// A failure with its text. Where StateFun fails too, the text keeps its key words.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// How long a failed address waits, and when it is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FailurePolicy {
    /// Waits between attempts. Default 1 s, doubling, at most 1 min.
    pub backoff: Backoff,
    /// Attempts after which the address is parked. Default none: it is tried for ever.
    pub attempts: Option<NonZeroU32>,
}

/// Why and since when an address is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// When it was set aside.
    pub since: Timestamp,
    /// Attempts made.
    pub attempts: u32,
    /// The last failure.
    pub reason: String,
}

impl Parked {
    /// The stored row: time, attempts, text.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(12 + self.reason.len());
        out.put_u64(self.since.as_millis());
        out.put_u32(self.attempts);
        out.put_slice(self.reason.as_bytes());
        out.freeze()
    }

    /// Reads a stored row.
    pub fn decode(row: &Bytes) -> Option<Self> {
        let mut rest = row.clone();
        let since = Timestamp::from_millis(rest.try_get_u64().ok()?);
        let attempts = rest.try_get_u32().ok()?;
        Some(Self {
            since,
            attempts,
            reason: String::from_utf8_lossy(&rest).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_row_survives_its_encoding() {
        let parked = Parked {
            since: Timestamp::from_millis(5),
            attempts: 3,
            reason: "no answer".into(),
        };
        assert_eq!(Parked::decode(&parked.encode()), Some(parked));
    }
}
