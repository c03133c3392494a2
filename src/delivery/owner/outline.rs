//! The parts of a stored delivery that are counted.

use prost::Message;

use super::super::engine::DeliveryState;
use super::numbered::{STATES, numbered, time};
use super::old_row::OldHead;
use super::row::{FORM, InvalidItem};
use crate::sdk::BoxError;
use crate::time::Timestamp;

/// The parts of a row that are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) target: String,
    pub(crate) state: Option<DeliveryState>,
    pub(crate) submitted_at: Option<Timestamp>,
}

/// The same parts of a [`WireItem`](super::item_form::WireItem).
#[derive(Clone, PartialEq, Message)]
struct WireOutline {
    #[prost(string, tag = "3")]
    target: String,
    #[prost(uint32, tag = "5")]
    state: u32,
    #[prost(uint64, optional, tag = "11")]
    submitted_at: Option<u64>,
}

impl Outline {
    /// Reads it from a row, and skips the rest.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, BoxError> {
        if row.first() == Some(&b'{') {
            let OldHead { delivery, .. } = serde_json::from_slice(row)?;
            return Ok(Self {
                target: delivery.target,
                state: delivery.state,
                submitted_at: delivery.submitted_at,
            });
        }
        let Some((&FORM, row)) = row.split_first() else {
            return Err(InvalidItem::new("its form is not known").into());
        };
        let wire = WireOutline::decode(row)?;
        Ok(Self {
            target: wire.target,
            state: numbered(&STATES, wire.state, "state")?,
            submitted_at: time(wire.submitted_at),
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
        let row = Stored::new(Item::new(delivery), unit).encode();
        let outline = Outline::decode(&row).unwrap();
        let expected = Outline {
            target: "http://h:80".to_owned(),
            state: Some(DeliveryState::Discarded),
            submitted_at: Some(Timestamp::from_millis(7)),
        };
        assert_eq!(outline, expected);
        let old = br#"{"delivery":{"id":"a","kind":"job","target":"http://h:80","state":"discarded","submitted_at":"1970-01-01T00:00:00.007Z"}}"#;
        assert_eq!(Outline::decode(old).unwrap(), expected);
        assert!(Outline::decode(b"\x02x").is_err());
    }
}
