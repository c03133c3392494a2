//! Idempotency keys: the body with which a key came, and the answer.

use bytes::{Buf, BufMut, Bytes};

use super::keys::{put_text, take_text};
use crate::time::Timestamp;

/// The idempotency key of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Key of the row: ingress, target and the caller's key.
    pub row: Bytes,
    /// Digest of type and body: the same key with another body is refused.
    pub digest: u128,
    /// When the answer expires.
    pub until: Timestamp,
}

/// Whether an id of a caller says that no answer to it is kept: it is a UUID of version 8. Those whose answers are kept have version 4.
pub fn is_unkept(gateway: &str) -> bool {
    let id = gateway.as_bytes();
    let has = |place: usize, wanted| id.get(place) == Some(&wanted);
    id.len() == 36 && has(14, b'8') && [8, 13, 18, 23].iter().all(|place| has(*place, b'-'))
}

/// The outcome of the first message with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was accepted, and needs no answer.
    Accepted,
    /// It is a call whose answer goes to this gateway.
    Pending(String),
    /// It was answered: the encoded `TypedValue`.
    Answered(Bytes),
}

/// The row of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Hash of the target's id; its core deletes the row.
    pub hash: u32,
    /// Digest of the first message.
    pub digest: u128,
    /// When the row may be deleted.
    pub until: Timestamp,
    /// The outcome of the first message.
    pub outcome: Outcome,
}

impl StoredAnswer {
    /// The stored row.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        out.put_u64(self.until.as_millis());
        out.put_u32(self.hash);
        out.put_u128(self.digest);
        match &self.outcome {
            Outcome::Accepted => out.put_u8(0),
            Outcome::Pending(gateway) => {
                out.put_u8(1);
                put_text(&mut out, gateway);
            }
            Outcome::Answered(value) => {
                out.put_u8(2);
                out.put_slice(value);
            }
        }
        out.into()
    }

    /// Reads a stored row.
    pub fn decode(row: &Bytes) -> Option<Self> {
        let mut rest = row.clone();
        let until = Timestamp::from_millis(rest.try_get_u64().ok()?);
        let hash = rest.try_get_u32().ok()?;
        let digest = rest.try_get_u128().ok()?;
        let outcome = match rest.try_get_u8().ok()? {
            0 => Outcome::Accepted,
            1 => Outcome::Pending(take_text(&mut &rest[..])?.to_owned()),
            _ => Outcome::Answered(rest),
        };
        Some(Self {
            hash,
            digest,
            until,
            outcome,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_their_encoding() {
        let outcomes = [
            Outcome::Accepted,
            Outcome::Pending("gate".into()),
            Outcome::Answered(Bytes::from_static(b"x")),
        ];
        for outcome in outcomes {
            let answer = StoredAnswer {
                hash: 7,
                digest: u128::MAX - 3,
                until: Timestamp::from_millis(9),
                outcome,
            };
            assert_eq!(StoredAnswer::decode(&answer.encode()), Some(answer));
        }
    }
}
