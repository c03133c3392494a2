//! The parts of a stored delivery that are counted.

use std::sync::Arc;

use prost::Message;

use super::super::engine::{DeliveryState, Reason};
use super::numbered::{REASONS, STATES, numbered, time};
use super::old_row::OldHead;
use super::row::{FORM, InvalidItem};
use super::stock::Stock;
use crate::sdk::BoxError;
use crate::time::Timestamp;

/// The parts of a row that are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) target: String,
    pub(crate) state: Option<DeliveryState>,
    pub(crate) reason: Option<Reason>,
    pub(crate) submitted_at: Option<Timestamp>,
    /// The size of the row, and of a unit that is stored separately.
    pub(crate) bytes: u64,
    /// That of the pipeline that keeps it, if it still has the stage.
    pub(crate) stock: Option<Arc<Stock>>,
}

/// The same parts of a [`WireItem`](super::item_form::WireItem).
#[derive(Clone, PartialEq, Message)]
struct WireOutline {
    #[prost(string, tag = "3")]
    target: String,
    #[prost(uint32, tag = "5")]
    state: u32,
    #[prost(uint32, tag = "10")]
    reason: u32,
    #[prost(uint64, optional, tag = "11")]
    submitted_at: Option<u64>,
    #[prost(uint64, tag = "22")]
    unit_bytes: u64,
}

impl Outline {
    /// Reads it from a row, and skips the rest.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, BoxError> {
        let bytes = row.len() as u64;
        if row.first() == Some(&b'{') {
            let OldHead { delivery, .. } = serde_json::from_slice(row)?;
            return Ok(Self {
                target: delivery.target,
                state: delivery.state,
                reason: delivery.reason,
                submitted_at: delivery.submitted_at,
                bytes,
                stock: None,
            });
        }
        let Some((&FORM, row)) = row.split_first() else {
            return Err(InvalidItem::new("its form is not known").into());
        };
        let wire = WireOutline::decode(row)?;
        Ok(Self {
            target: wire.target,
            state: numbered(&STATES, wire.state, "state")?,
            reason: numbered(&REASONS, wire.reason, "reason")?,
            submitted_at: time(wire.submitted_at),
            bytes: bytes + wire.unit_bytes,
            stock: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::super::engine::Delivery;
    use super::super::item::Item;
    use super::super::row::Stored;
    use super::*;

    #[test]
    fn an_outline_says_what_the_row_says() {
        let mut delivery = Delivery::job("a", "http://h:80", None);
        delivery.state = Some(DeliveryState::Discarded);
        delivery.submitted_at = Some(Timestamp::from_millis(7));
        let unit = Some(Bytes::from_static(b"unit"));
        delivery.reason = Some(Reason::Full);
        let mut item = Item::new(delivery);
        item.unit_bytes = 9_000;
        let row = Stored::new(item, unit).encode();
        let outline = Outline::decode(&row).unwrap();
        let mut expected = Outline {
            target: "http://h:80".to_owned(),
            state: Some(DeliveryState::Discarded),
            reason: Some(Reason::Full),
            submitted_at: Some(Timestamp::from_millis(7)),
            bytes: row.len() as u64 + 9_000,
            stock: None,
        };
        assert_eq!(outline, expected);
        let old = br#"{"delivery":{"id":"a","kind":"job","target":"http://h:80","state":"discarded","submitted_at":"1970-01-01T00:00:00.007Z"}}"#;
        (expected.reason, expected.bytes) = (None, old.len() as u64);
        assert_eq!(Outline::decode(old).unwrap(), expected);
        assert!(Outline::decode(b"\x02x").is_err());
    }
}
