//! What an ingress knows of its session with the broker: subscriptions, and publications whose acknowledgement is open. Without I/O.
//!
//! A broker sends a publication again, with the same packet id and the flag `dup`, until it has the acknowledgement. So the ingress keeps a
//! digest of each publication with its packet id: in memory with QoS 1, and with QoS 2 as positions, because the broker promises to deliver such
//! a publication only once.

use std::collections::BTreeMap;

use bytes::Bytes;
use rumqttc::{Publish, QoS};
use sha1::{Digest as _, Sha1};

use crate::runtime::Batch;
use crate::sdk::BoxError;

/// The split whose position is the subscriptions that the broker has confirmed.
const SUBSCRIPTIONS: &str = "subscriptions";
/// The splits of publications with QoS 2 begin with this.
const PACKET: &str = "packet-";
/// A packet id is used again after this many publications at the earliest. If the end of a handshake was lost in a crash, its id is forgotten then.
const OLD: u64 = 1000;

/// Filters, with the QoS of their subscriptions.
pub(super) type Subscriptions = BTreeMap<String, u8>;

#[derive(Debug, Default)]
pub(super) struct Session {
    /// Confirmed by the broker; `None` if it never was.
    subscribed: Option<Subscriptions>,
    /// Publications with QoS 1, by packet id, that were brought and whose acknowledgement is not sent.
    brought: BTreeMap<u16, u64>,
    /// Publications with QoS 2, by packet id, whose handshake is open.
    received: BTreeMap<u16, Received>,
    /// Counts publications with QoS 2.
    count: u64,
}

#[derive(Debug)]
struct Received {
    digest: u64,
    count: u64,
}

impl Session {
    /// Reads the positions of an ingress.
    ///
    /// # Errors
    /// If they are not positions of an MQTT ingress.
    pub(super) fn read(positions: Vec<(String, Bytes)>) -> Result<Self, BoxError> {
        let mut session = Self::default();
        for (split, position) in positions {
            let foreign = || {
                format!(
                    "the stored position of split {split} is not one of MQTT: another kind of source had the id of this ingress before; give the ingress another id"
                )
            };
            if split == SUBSCRIPTIONS {
                let subscribed = serde_json::from_slice(&position);
                session.subscribed = Some(subscribed.map_err(|_| foreign())?);
                continue;
            }
            let id = split.strip_prefix(PACKET).and_then(|id| id.parse().ok());
            let digest = std::str::from_utf8(&position).ok();
            let digest = digest.and_then(|digest| u64::from_str_radix(digest, 16).ok());
            let (Some(id), Some(digest)) = (id, digest) else {
                return Err(foreign().into());
            };
            session.received.insert(id, Received { digest, count: 0 });
        }
        Ok(session)
    }

    /// The subscriptions to ask for and the filters to leave, when the broker has the session, or has not.
    pub(super) fn changes(&self, wanted: &Subscriptions) -> (Subscriptions, Vec<String>) {
        let nothing = Subscriptions::new();
        let has = self.subscribed.as_ref().unwrap_or(&nothing);
        let mut new = wanted.clone();
        new.retain(|filter, qos| has.get(filter) != Some(qos));
        let left = has.keys().filter(|filter| !wanted.contains_key(*filter));
        (new, left.cloned().collect())
    }

    /// The broker has no session any more. True if it had one.
    pub(super) fn is_lost(&mut self, batch: &mut Batch) -> bool {
        self.brought.clear();
        for (id, _) in std::mem::take(&mut self.received) {
            forget(batch, id);
        }
        match self.subscribed.take() {
            Some(subscribed) => {
                batch.end(SUBSCRIPTIONS);
                !subscribed.is_empty()
            }
            None => false,
        }
    }

    /// The broker has confirmed `wanted`.
    pub(super) fn confirmed(&mut self, wanted: &Subscriptions, batch: &mut Batch) {
        let position = serde_json::to_vec(wanted).unwrap_or_default();
        batch.set_position(SUBSCRIPTIONS, position);
        self.subscribed = Some(wanted.clone());
    }

    /// Notes a publication. False if it was brought before.
    pub(super) fn is_new(&mut self, publish: &Publish, batch: &mut Batch) -> bool {
        let (id, digest) = (publish.pkid, digest(publish));
        let repeats = |known: Option<u64>| publish.dup && known == Some(digest);
        match publish.qos {
            QoS::AtMostOnce => true,
            QoS::AtLeastOnce => {
                let known = self.brought.insert(id, digest);
                !repeats(known)
            }
            QoS::ExactlyOnce => {
                self.count += 1;
                self.forget_old(batch);
                let count = self.count;
                let known = self.received.insert(id, Received { digest, count });
                if repeats(known.map(|known| known.digest)) {
                    return false;
                }
                batch.set_position(split(id), format!("{digest:016x}"));
                true
            }
        }
    }

    fn forget_old(&mut self, batch: &mut Batch) {
        let limit = self.count.saturating_sub(OLD);
        if limit == 0 {
            return;
        }
        let is_old = |known: &Received| known.count < limit;
        let old = self.received.iter().filter(|(_, known)| is_old(known));
        for id in old.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.received.remove(&id);
            forget(batch, id);
        }
    }

    /// The acknowledgement of a publication with QoS 1 is sent.
    pub(super) fn acknowledged(&mut self, id: u16) {
        self.brought.remove(&id);
    }

    /// The handshake of a publication with QoS 2 is over.
    pub(super) fn released(&mut self, id: u16, batch: &mut Batch) {
        if self.received.remove(&id).is_some() {
            forget(batch, id);
        }
    }

    /// The packet ids whose handshakes are open.
    pub(super) fn open(&self) -> impl Iterator<Item = u16> + '_ {
        self.received.keys().copied()
    }
}

fn split(id: u16) -> String {
    format!("{PACKET}{id}")
}

fn forget(batch: &mut Batch, id: u16) {
    batch.end(split(id));
}

/// Tells publications with one packet id apart.
fn digest(publish: &Publish) -> u64 {
    let mut digest = Sha1::new();
    digest.update(publish.topic.as_bytes());
    digest.update([0]);
    digest.update(&publish.payload);
    let digest = digest.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(qos: QoS, id: u16, dup: bool, payload: &str) -> Publish {
        let mut publish = Publish::new("t", qos, payload);
        (publish.pkid, publish.dup) = (id, dup);
        publish
    }

    fn is_new(session: &mut Session, publish: &Publish) -> bool {
        session.is_new(publish, &mut Batch::new())
    }

    #[test]
    fn a_publication_that_comes_again_is_known_by_its_packet_id_and_its_content() {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut session = Session::default();
            assert!(is_new(&mut session, &publication(qos, 1, false, "a")));
            assert!(!is_new(&mut session, &publication(qos, 1, true, "a")));
            // The first copy of another publication was lost, and its packet id was free again.
            assert!(is_new(&mut session, &publication(qos, 1, true, "b")));
            assert!(is_new(&mut session, &publication(qos, 2, false, "b")));
            session.acknowledged(2);
            session.released(2, &mut Batch::new());
            assert!(is_new(&mut session, &publication(qos, 2, true, "b")));
        }
    }

    #[test]
    fn equal_publications_in_a_row_are_all_new() {
        let mut session = Session::default();
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for _ in 0..3 {
                assert!(is_new(&mut session, &publication(qos, 7, false, "1")));
            }
        }
    }

    #[test]
    fn a_session_is_the_same_after_a_restart() {
        let mut session = Session::default();
        let mut batch = Batch::new();
        let wanted = Subscriptions::from([("a/#".to_owned(), 2)]);
        session.confirmed(&wanted, &mut batch);
        let publish = publication(QoS::ExactlyOnce, 9, false, "x");
        assert!(session.is_new(&publish, &mut batch));
        let known = digest(&publish);
        let mut again = Session::read(vec![
            (SUBSCRIPTIONS.to_owned(), r#"{"a/#":2}"#.into()),
            (split(9), format!("{known:016x}").into()),
        ])
        .unwrap();
        assert_eq!(again.subscribed, session.subscribed);
        assert!(!is_new(
            &mut again,
            &publication(QoS::ExactlyOnce, 9, true, "x")
        ));
        assert_eq!(again.open().collect::<Vec<_>>(), [9]);
        assert!(again.is_lost(&mut Batch::new()));
        assert!(!again.is_lost(&mut Batch::new()));
    }

    #[test]
    fn only_what_differs_is_subscribed_to_or_left() {
        let mut session = Session::default();
        let wanted = |filters: &[(&str, u8)]| -> Subscriptions {
            let owned = |(filter, qos): &(&str, u8)| ((*filter).to_owned(), *qos);
            filters.iter().map(owned).collect()
        };
        let first = wanted(&[("a", 1), ("b", 1)]);
        assert_eq!(session.changes(&first), (first.clone(), Vec::new()));
        session.confirmed(&first, &mut Batch::new());
        assert_eq!(session.changes(&first), (wanted(&[]), Vec::new()));
        let second = wanted(&[("b", 2), ("c", 1)]);
        assert_eq!(
            session.changes(&second),
            (second.clone(), vec!["a".to_owned()])
        );
    }

    #[test]
    fn a_handshake_without_an_end_is_forgotten_after_a_thousand_others() {
        let mut session = Session::default();
        assert!(is_new(
            &mut session,
            &publication(QoS::ExactlyOnce, 1, false, "a")
        ));
        for _ in 0..=OLD {
            let mut batch = Batch::new();
            assert!(session.is_new(&publication(QoS::ExactlyOnce, 2, false, "b"), &mut batch));
            session.released(2, &mut batch);
        }
        assert_eq!(session.open().count(), 0);
    }

    #[test]
    fn positions_of_another_source_are_refused() {
        for (split, position) in [
            ("topic/0", "12"),
            ("subscriptions", "x"),
            ("packet-x", "00"),
        ] {
            let positions = vec![(split.to_owned(), Bytes::from(position))];
            assert!(Session::read(positions).is_err(), "{split}");
        }
    }
}
