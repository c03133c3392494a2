//! Items of earlier versions: JSON in three values.

use serde::Deserialize;

use super::super::engine::{Delivery, DeliveryState, History};
use super::item::Item;

/// The state of a delivery, as earlier versions stored it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OldHead {
    pub(super) delivery: Delivery,
    #[serde(default)]
    is_listed: bool,
    #[serde(default)]
    is_held_back: bool,
}

impl OldHead {
    /// The item, with the history that was stored separately.
    pub(crate) fn into_item(self, history: History) -> Item {
        let mut delivery = self.delivery;
        // It has a timer as well; whichever comes first starts the attempt.
        delivery.held = self.is_held_back && delivery.state == Some(DeliveryState::Awaiting);
        Item {
            has_destination: delivery.target.contains("://"),
            delivery,
            history,
            is_listed: self.is_listed,
            is_listed_held: false,
            is_woken: false,
            unit_bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::row::Row;
    use super::*;

    #[test]
    fn an_item_of_an_earlier_version_is_read() {
        let head = r#"{"delivery":{"id":"a","kind":"job","target":"http://h:80","state":"awaiting","attempt":0,"spent":0,"seq":1,"due":"1970-01-01T00:00:09.000Z","reason":"scheduled","submitted_at":"1970-01-01T00:00:01.000Z","last_at":"1970-01-01T00:00:01.000Z","interruptions":0,"arm":1,"armed":{"purpose":"retry","epoch":0,"n":1}},"is_listed":true,"is_held_back":true}"#;
        let Row::Old(old) = Row::decode(Bytes::from_static(head.as_bytes())).unwrap() else {
            panic!("an earlier form");
        };
        let item = old.into_item(History::default());
        assert!(item.delivery.can_be_woken() && item.is_listed && item.has_destination);
        assert_eq!(item.delivery.armed.unwrap().n, 1);
    }
}
