//! The stored form of an item: one binary row that includes the unit. Rows of earlier versions, JSON in three values, are read, too.

use bytes::Bytes;
use prost::Message;
use serde::Deserialize;
use uuid::Uuid;

use super::super::engine::{
    Actor, AttemptError, Delivery, DeliveryKind, DeliveryState, Detail, Entry, Folded, History,
    Purpose, Reason, Token, Transition,
};
use super::item::Item;
use crate::sdk::BoxError;
use crate::time::Timestamp;

/// The first byte of this form of the row. Rows of an earlier version begin with a brace.
const FORM: u8 = 1;

/// The numbers under which states are stored, from 1.
const STATES: [DeliveryState; 8] = [
    DeliveryState::Acknowledged,
    DeliveryState::Awaiting,
    DeliveryState::Executing,
    DeliveryState::Succeeded,
    DeliveryState::Failed,
    DeliveryState::Discarded,
    DeliveryState::Unknown,
    DeliveryState::Cancelled,
];

/// The numbers under which reasons are stored, from 1. Add new ones at the end.
const REASONS: [Reason; 20] = [
    Reason::Scheduled,
    Reason::Turn,
    Reason::Retry,
    Reason::Blocked,
    Reason::Requeued,
    Reason::Exhausted,
    Reason::Elapsed,
    Reason::Expired,
    Reason::Permanent,
    Reason::Forced,
    Reason::Operator,
    Reason::Skipped,
    Reason::TooLarge,
    Reason::Decode,
    Reason::NoOutcome,
    Reason::StageGone,
    Reason::Damaged,
    Reason::StageError,
    Reason::NoPersist,
    Reason::Full,
];

/// An item, and the unit that it delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// The delivery.
    pub item: Item,
    /// The unit, as its target keeps it; `None` if it is stored separately.
    pub unit: Option<Bytes>,
}

/// The row is not an item.
#[derive(Debug, thiserror::Error)]
#[error("stored delivery cannot be read: {0}")]
pub struct InvalidItem(String);

/// A row as read.
#[derive(Debug, Clone)]
pub(crate) enum Row {
    Stored(Box<Stored>),
    /// Of an earlier version: history and unit are separate values.
    Old(Box<OldHead>),
}

/// The parts of a row that are counted.
#[cfg(feature = "runtime")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) target: String,
    pub(crate) state: Option<DeliveryState>,
    pub(crate) submitted_at: Option<Timestamp>,
}

/// The same parts of a [`WireItem`].
#[cfg(feature = "runtime")]
#[derive(Clone, PartialEq, Message)]
struct WireOutline {
    #[prost(string, tag = "3")]
    target: String,
    #[prost(uint32, tag = "5")]
    state: u32,
    #[prost(uint64, optional, tag = "11")]
    submitted_at: Option<u64>,
}

#[cfg(feature = "runtime")]
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
            return Err(InvalidItem("its form is not known".to_owned()).into());
        };
        let wire = WireOutline::decode(row)?;
        Ok(Self {
            target: wire.target,
            state: numbered(&STATES, wire.state, "state")?,
            submitted_at: time(wire.submitted_at),
        })
    }
}

/// The state of a delivery, as earlier versions stored it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OldHead {
    delivery: Delivery,
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
        }
    }
}

impl Row {
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) {
        if let Self::Stored(stored) = self {
            stored.encode_to(out);
        }
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, BoxError> {
        Ok(match bytes.first() {
            Some(b'{') => Self::Old(serde_json::from_slice(&bytes)?),
            _ => Self::Stored(Box::new(Stored::decode(bytes)?)),
        })
    }
}

impl Stored {
    /// An item and its unit.
    pub const fn new(item: Item, unit: Option<Bytes>) -> Self {
        Self { item, unit }
    }

    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    fn encode_to(&self, out: &mut Vec<u8>) {
        let wire = WireItem::of(self);
        out.reserve(1 + wire.encoded_len());
        out.push(FORM);
        wire.encode_raw(out);
    }

    /// Reads a row; the unit is a part of `bytes`, not a copy.
    ///
    /// # Errors
    /// If the bytes are not an item.
    pub fn decode(bytes: Bytes) -> Result<Self, InvalidItem> {
        match bytes.first() {
            Some(&FORM) => {}
            Some(form) => return Err(InvalidItem(format!("form {form} is not known"))),
            None => return Err(InvalidItem("it is empty".to_owned())),
        }
        let wire = WireItem::decode(bytes.slice(1..));
        wire.map_err(|err| InvalidItem(err.to_string()))?.read()
    }
}

#[derive(Clone, PartialEq, Message)]
struct WireItem {
    #[prost(bytes = "bytes", optional, tag = "1")]
    unit: Option<Bytes>,
    /// Sixteen bytes if it is a UUID, otherwise text.
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(string, tag = "3")]
    target: String,
    #[prost(string, optional, tag = "4")]
    key: Option<String>,
    #[prost(uint32, tag = "5")]
    state: u32,
    #[prost(uint32, tag = "6")]
    attempt: u32,
    #[prost(uint32, tag = "7")]
    spent: u32,
    #[prost(uint64, tag = "8")]
    seq: u64,
    #[prost(uint64, optional, tag = "9")]
    due: Option<u64>,
    #[prost(uint32, tag = "10")]
    reason: u32,
    #[prost(uint64, optional, tag = "11")]
    submitted_at: Option<u64>,
    #[prost(uint64, optional, tag = "12")]
    first_at: Option<u64>,
    #[prost(uint64, optional, tag = "13")]
    last_at: Option<u64>,
    #[prost(uint32, tag = "14")]
    interruptions: u32,
    /// One bit each, see `flags`.
    #[prost(uint32, tag = "15")]
    flags: u32,
    #[prost(message, repeated, tag = "16")]
    entries: Vec<WireEntry>,
    #[prost(uint64, tag = "17")]
    arm: u64,
    #[prost(message, optional, tag = "18")]
    armed: Option<WireToken>,
    #[prost(message, optional, tag = "19")]
    cancel: Option<WireActor>,
    /// Streams only.
    #[prost(string, optional, tag = "20")]
    position: Option<String>,
    #[prost(uint64, tag = "21")]
    epoch: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WireActor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    reason: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct WireToken {
    /// 0: retry, 1: deadline, 2: flush.
    #[prost(uint32, tag = "1")]
    purpose: u32,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint32, tag = "3")]
    n: u32,
}

#[derive(Clone, PartialEq, Message)]
struct WireError {
    #[prost(string, tag = "1")]
    code: String,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(uint32, optional, tag = "3")]
    status: Option<u32>,
    /// What else is known, as JSON.
    #[prost(bytes = "vec", tag = "4")]
    more: Vec<u8>,
}

/// A transition, or several rounds that were folded.
#[derive(Clone, PartialEq, Message)]
struct WireEntry {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint32, tag = "2")]
    attempt: u32,
    #[prost(uint32, tag = "3")]
    before: u32,
    #[prost(uint32, tag = "4")]
    after: u32,
    #[prost(uint32, tag = "5")]
    reason: u32,
    #[prost(message, optional, tag = "6")]
    error: Option<WireError>,
    #[prost(message, optional, tag = "7")]
    by: Option<WireActor>,
    #[prost(uint64, optional, tag = "8")]
    due: Option<u64>,
    #[prost(uint64, tag = "9")]
    at: u64,
    #[prost(bool, tag = "10")]
    probe: bool,
    #[prost(string, optional, tag = "11")]
    worker: Option<String>,
    /// Set if several rounds were folded; then `seq` is that of the last, and `at` is when its wait began.
    #[prost(message, optional, tag = "12")]
    folded: Option<WireFolded>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct WireFolded {
    #[prost(uint64, tag = "1")]
    from_seq: u64,
    #[prost(uint64, tag = "2")]
    count: u64,
    #[prost(uint64, tag = "3")]
    first_at: u64,
    #[prost(uint32, tag = "4")]
    spent: u32,
    #[prost(uint32, tag = "5")]
    interruptions: u32,
}

fn number<T: PartialEq>(all: &[T], one: Option<&T>) -> u32 {
    let at = one.and_then(|one| all.iter().position(|other| other == one));
    at.and_then(|at| u32::try_from(at + 1).ok()).unwrap_or(0)
}

/// The entry with that number; 0 means none.
fn numbered<T: Copy>(all: &[T], number: u32, what: &str) -> Result<Option<T>, InvalidItem> {
    let Some(at) = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)) else {
        return Ok(None);
    };
    let found = all.get(at).copied();
    found
        .map(Some)
        .ok_or_else(|| InvalidItem(format!("{what} {number} is not known")))
}

fn required<T>(value: Option<T>, what: &str) -> Result<T, InvalidItem> {
    value.ok_or_else(|| InvalidItem(format!("it has no {what}")))
}

fn millis(time: Option<Timestamp>) -> Option<u64> {
    time.map(Timestamp::as_millis)
}

fn time(millis: Option<u64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}

/// Whether `bit` is set.
const fn is_set(flags: u32, bit: u32) -> bool {
    flags & (1 << bit) != 0
}

impl WireItem {
    fn of(stored: &Stored) -> Self {
        let Item {
            delivery,
            history,
            has_destination,
            is_listed,
            is_listed_held,
            is_woken,
        } = &stored.item;
        let flags = [
            *has_destination,
            *is_listed,
            *is_woken,
            delivery.paused,
            delivery.held,
            delivery.probing,
            delivery.in_lane,
            delivery.kind == DeliveryKind::Stream,
            *is_listed_held,
        ];
        let bits = flags.into_iter().rev();
        Self {
            unit: stored.unit.clone(),
            id: match Uuid::try_parse(&delivery.id) {
                // Only the canonical spelling is restored unchanged.
                Ok(id) if id.to_string() == delivery.id => id.as_bytes().to_vec(),
                _ => delivery.id.clone().into_bytes(),
            },
            target: delivery.target.clone(),
            key: delivery.key.clone(),
            state: number(&STATES, delivery.state.as_ref()),
            attempt: delivery.attempt,
            spent: delivery.spent,
            seq: delivery.seq,
            due: millis(delivery.due),
            reason: number(&REASONS, delivery.reason.as_ref()),
            submitted_at: millis(delivery.submitted_at),
            first_at: millis(delivery.first_at),
            last_at: millis(delivery.last_at),
            interruptions: delivery.interruptions,
            flags: bits.fold(0, |flags, is_set| (flags << 1) | u32::from(is_set)),
            entries: history.entries().iter().map(WireEntry::of).collect(),
            arm: delivery.arm,
            armed: delivery.armed.map(|token| WireToken {
                purpose: token.purpose as u32,
                epoch: token.epoch,
                n: token.n,
            }),
            cancel: delivery.cancel.as_ref().map(WireActor::of),
            position: delivery.position.clone(),
            epoch: delivery.epoch,
        }
    }

    fn read(self) -> Result<Stored, InvalidItem> {
        let id = match <[u8; 16]>::try_from(self.id.as_slice()) {
            Ok(id) => Uuid::from_bytes(id).to_string(),
            Err(_) => String::from_utf8(self.id)
                .map_err(|_| InvalidItem("its id is not text".to_owned()))?,
        };
        let flag = |bit| is_set(self.flags, bit);
        let mut delivery = Delivery::job(id, self.target, self.key);
        if flag(7) {
            delivery.kind = DeliveryKind::Stream;
        }
        (delivery.position, delivery.epoch) = (self.position, self.epoch);
        delivery.state = numbered(&STATES, self.state, "state")?;
        delivery.reason = numbered(&REASONS, self.reason, "reason")?;
        (delivery.attempt, delivery.spent) = (self.attempt, self.spent);
        (delivery.seq, delivery.due) = (self.seq, time(self.due));
        delivery.submitted_at = time(self.submitted_at);
        (delivery.first_at, delivery.last_at) = (time(self.first_at), time(self.last_at));
        delivery.interruptions = self.interruptions;
        delivery.cancel = self.cancel.map(WireActor::read);
        (delivery.paused, delivery.held) = (flag(3), flag(4));
        (delivery.probing, delivery.in_lane) = (flag(5), flag(6));
        delivery.arm = self.arm;
        delivery.armed = self.armed.map(WireToken::read).transpose()?;
        let entries = self.entries.into_iter().map(WireEntry::read);
        let entries: Result<Vec<Entry>, InvalidItem> = entries.collect();
        Ok(Stored {
            item: Item {
                delivery,
                history: History::stored(entries?),
                has_destination: is_set(self.flags, 0),
                is_listed: is_set(self.flags, 1),
                is_listed_held: is_set(self.flags, 8),
                is_woken: is_set(self.flags, 2),
            },
            unit: self.unit,
        })
    }
}

impl WireToken {
    fn read(self) -> Result<Token, InvalidItem> {
        let purposes = [Purpose::Retry, Purpose::Deadline, Purpose::Flush];
        let purpose = numbered(&purposes, self.purpose + 1, "timer")?;
        Ok(Token {
            purpose: required(purpose, "timer")?,
            epoch: self.epoch,
            n: self.n,
        })
    }
}

impl WireActor {
    fn of(actor: &Actor) -> Self {
        Self {
            name: actor.name.clone(),
            reason: actor.reason.clone(),
        }
    }

    fn read(self) -> Actor {
        Actor {
            name: self.name,
            reason: self.reason,
        }
    }
}

impl WireError {
    fn of(error: &AttemptError) -> Self {
        let more = Detail {
            status_code: None,
            ..error.detail.clone()
        };
        Self {
            code: error.code.clone(),
            message: error.message.clone(),
            status: error.detail.status_code.map(u32::from),
            more: match more == Detail::default() {
                true => Vec::new(),
                // Texts and values that were JSON before: writing them cannot fail.
                false => serde_json::to_vec(&more).unwrap_or_default(),
            },
        }
    }

    fn read(self) -> Result<AttemptError, InvalidItem> {
        let mut detail = match self.more.as_slice() {
            [] => Detail::default(),
            json => serde_json::from_slice(json).map_err(|err| InvalidItem(err.to_string()))?,
        };
        detail.status_code = self.status.and_then(|status| u16::try_from(status).ok());
        Ok(AttemptError::new(self.code, self.message, detail))
    }
}

impl WireEntry {
    fn of(entry: &Entry) -> Self {
        match entry {
            Entry::One(one) => Self {
                seq: one.seq,
                attempt: one.attempt,
                before: number(&STATES, one.state_before.as_ref()),
                after: number(&STATES, Some(&one.state_after)),
                reason: number(&REASONS, one.reason.as_ref()),
                error: one.error.as_ref().map(WireError::of),
                by: one.actor.as_ref().map(|name| WireActor {
                    name: name.clone(),
                    reason: one.note.clone().unwrap_or_default(),
                }),
                due: millis(one.due),
                at: one.created_at.as_millis(),
                probe: one.probe,
                worker: one.worker.clone(),
                folded: None,
            },
            Entry::Folded(folded) => Self {
                seq: folded.to_seq,
                attempt: folded.attempt,
                before: 0,
                after: number(&STATES, Some(&folded.state_after)),
                reason: number(&REASONS, Some(&folded.reason)),
                error: Some(WireError::of(&folded.error)),
                by: None,
                due: millis(folded.due),
                at: folded.last_at.as_millis(),
                probe: false,
                worker: None,
                folded: Some(WireFolded {
                    from_seq: folded.from_seq,
                    count: folded.count,
                    first_at: folded.first_at.as_millis(),
                    spent: folded.spent,
                    interruptions: folded.interruptions,
                }),
            },
        }
    }

    fn read(self) -> Result<Entry, InvalidItem> {
        let after = required(numbered(&STATES, self.after, "state")?, "state")?;
        let reason = numbered(&REASONS, self.reason, "reason")?;
        let error = self.error.map(WireError::read).transpose()?;
        let at = Timestamp::from_millis(self.at);
        let Some(folded) = self.folded else {
            let (actor, note) = self.by.map(|by| (by.name, by.reason)).unzip();
            return Ok(Entry::One(Transition {
                seq: self.seq,
                attempt: self.attempt,
                state_before: numbered(&STATES, self.before, "state")?,
                state_after: after,
                reason,
                error,
                actor,
                note,
                probe: self.probe,
                worker: self.worker,
                due: time(self.due),
                created_at: at,
            }));
        };
        Ok(Entry::Folded(Folded {
            from_seq: folded.from_seq,
            to_seq: self.seq,
            count: folded.count,
            first_at: Timestamp::from_millis(folded.first_at),
            last_at: at,
            attempt: self.attempt,
            spent: folded.spent,
            interruptions: folded.interruptions,
            state_after: after,
            reason: required(reason, "reason")?,
            due: time(self.due),
            error: required(error, "error")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_item_is_told() {
        for bytes in [&b""[..], b"\x02x", b"\x01\xff", b"\x01\x28\x63"] {
            assert!(Stored::decode(Bytes::from_static(bytes)).is_err());
        }
    }

    #[cfg(feature = "runtime")]
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
