//! The stored form of an item, without a large unit, as one protobuf message.

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::super::engine::{Delivery, DeliveryKind, Entry, History, Purpose, Token};
use super::entry_form::{WireActor, WireEntry};
use super::item::Item;
use super::numbered::{REASONS, STATES, millis, number, numbered, required, time};
use super::row::{InvalidItem, Stored};

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireItem {
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
    #[prost(uint64, tag = "22")]
    unit_bytes: u64,
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

/// Whether `bit` is set.
const fn is_set(flags: u32, bit: u32) -> bool {
    flags & (1 << bit) != 0
}

impl WireItem {
    pub(super) fn of(stored: &Stored) -> Self {
        let Item {
            delivery,
            history,
            has_destination,
            is_listed,
            is_listed_held,
            is_woken,
            unit_bytes,
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
            unit_bytes: *unit_bytes,
        }
    }

    pub(super) fn read(self) -> Result<Stored, InvalidItem> {
        let id = match <[u8; 16]>::try_from(self.id.as_slice()) {
            Ok(id) => Uuid::from_bytes(id).to_string(),
            Err(_) => {
                String::from_utf8(self.id).map_err(|_| InvalidItem::new("its id is not text"))?
            }
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
                unit_bytes: self.unit_bytes,
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
