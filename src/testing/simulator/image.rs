//! The content of the store, in the terms of a schedule.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::model::{AddressIndex, Cell, Id};
use super::plan::{OUTBOX as EGRESS, Plan};
use super::request::{number, numbers};
use crate::protocol::reqreply::to_function::Invocation;
use crate::runtime::core::AddressKey;
use crate::runtime::core::idempotency::StoredAnswer;
use crate::runtime::core::keys::{
    ANSWERS, GATEWAYS, INBOX, MessageId, OUTBOX, PARKED, STATE, TIMERS, TOKENS, TimerKey,
    egress_prefix, token_key,
};
use crate::runtime::core::state::StateRow;
use crate::runtime::core::timers::Timer;
use crate::storage::{Rows as _, Store, Table};
use crate::time::Timestamp;

/// The rows of a store.
#[derive(Debug, Default)]
pub(super) struct Image {
    /// Where each message waits.
    pub(super) waiting: BTreeMap<Id, AddressIndex>,
    /// When each delayed message is due, and the key of its token.
    pub(super) timers: BTreeMap<Id, (Timestamp, Option<Bytes>)>,
    pub(super) logs: BTreeMap<AddressIndex, Vec<Id>>,
    pub(super) notes: BTreeMap<AddressIndex, u64>,
    pub(super) cells: BTreeMap<(AddressIndex, &'static str), Cell>,
    /// The row keys of the records in the outbox.
    pub(super) records: BTreeMap<usize, Bytes>,
    pub(super) parked: BTreeSet<AddressIndex>,
    pub(super) keys: BTreeMap<Bytes, StoredAnswer>,
    pub(super) gateways: BTreeMap<String, Bytes>,
}

impl Image {
    /// Reads all rows. A damaged or duplicate row is an error.
    pub(super) fn read(store: &Store, plan: &Plan) -> Result<Self, String> {
        let mut image = Self::default();
        for (key, value) in rows(store, INBOX)? {
            image.read_message(&key, &value, plan)?;
        }
        image.read_timers(store)?;
        for (key, value) in rows(store, STATE)? {
            image.read_state(&key, &value, plan)?;
        }
        let prefix = egress_prefix(EGRESS.0, EGRESS.1);
        for (key, value) in rows(store, OUTBOX)? {
            let id = key.strip_prefix(&prefix[..]).and_then(MessageId::decode);
            let record = id.and(number(&value)).ok_or("a damaged outbox row")?;
            if image.records.insert(record, key).is_some() {
                return Err(format!("record {record} is twice in the outbox"));
            }
        }
        for (key, _) in rows(store, PARKED)? {
            image.parked.insert(address_index(&key, plan)?.0);
        }
        for (key, value) in rows(store, ANSWERS)? {
            let answer = StoredAnswer::decode(&value).ok_or("a damaged answer")?;
            image.keys.insert(key, answer);
        }
        for (key, value) in rows(store, GATEWAYS)? {
            let gateway = String::from_utf8_lossy(&key).into_owned();
            image.gateways.insert(gateway, value);
        }
        Ok(image)
    }

    fn read_message(&mut self, key: &Bytes, value: &Bytes, plan: &Plan) -> Result<(), String> {
        let index = address_index(key, plan)?.0;
        let id = message_number(value)?;
        match self.waiting.insert(id, index) {
            None => Ok(()),
            Some(_) => Err(format!("message {id} waits twice")),
        }
    }

    fn read_timers(&mut self, store: &Store) -> Result<(), String> {
        let mut tokens = BTreeMap::new();
        for (key, value) in rows(store, TOKENS)? {
            let timer = TimerKey::decode(&value).ok_or("a damaged token")?.encode();
            tokens.insert(timer, key);
        }
        for (key, value) in rows(store, TIMERS)? {
            let timer = Timer::decode(&value).ok_or("a damaged timer")?;
            let due = TimerKey::decode(&key).ok_or("a damaged timer key")?.due;
            let id = message_number(&timer.invocation)?;
            let token = tokens.remove(&key);
            let expected = token_key(timer.sender.id(), &timer.token);
            let expected = (!timer.token.is_empty()).then_some(expected);
            if token != expected {
                return Err(format!("timer {id} and its token do not agree"));
            }
            if self.timers.insert(id, (due, token)).is_some() {
                return Err(format!("message {id} is delayed twice"));
            }
        }
        match tokens.first_key_value() {
            None => Ok(()),
            Some(_) => Err("a token is pending, and its timer is gone".into()),
        }
    }

    fn read_state(&mut self, key: &Bytes, value: &Bytes, plan: &Plan) -> Result<(), String> {
        let (index, name) = address_index(key, plan)?;
        let row = StateRow::decode(value).ok_or("a damaged state")?;
        let content = numbers(&row.value).ok_or("a damaged value")?;
        let first = content
            .first()
            .map(|first| u64::try_from(*first).unwrap_or_default());
        let mut cell = |name| {
            let stamp = row.stamp.ok_or("a value without stamp")?;
            let value = first.ok_or("an empty value")?;
            self.cells.insert((index, name), Cell { value, stamp });
            Ok(())
        };
        match &name[..] {
            b"log" => _ = self.logs.insert(index, content),
            b"note" => _ = self.notes.insert(index, first.ok_or("an empty note")?),
            b"written" => return cell("written"),
            b"called" => return cell("called"),
            _ => return Err("a state nobody declared".into()),
        }
        Ok(())
    }
}

/// The delayed messages that are due by `now` and did not fire.
pub(super) fn unfired(store: &Store, now: Timestamp) -> Result<BTreeSet<Id>, String> {
    let end = (now.as_millis() + 1).to_be_bytes();
    let due = store
        .scan(TIMERS, &[], Some(&end), usize::MAX)
        .map_err(|error| error.to_string())?;
    due.iter()
        .map(|(_, value)| {
            let timer = Timer::decode(value).ok_or("a damaged timer")?;
            message_number(&timer.invocation)
        })
        .collect()
}

fn rows(store: &Store, table: Table) -> Result<Vec<(Bytes, Bytes)>, String> {
    store
        .scan(table, &[], None, usize::MAX)
        .map_err(|error| error.to_string())
}

fn address_index(key: &Bytes, plan: &Plan) -> Result<(AddressIndex, Bytes), String> {
    let (address, rest) = AddressKey::split(key).ok_or("a damaged address")?;
    let index = plan.index(&address).ok_or("a row of an unknown address")?;
    Ok((index, rest))
}

pub(super) fn message_number(invocation: &Bytes) -> Result<Id, String> {
    let invocation: Invocation =
        prost::Message::decode(invocation.clone()).map_err(|error| error.to_string())?;
    let number = invocation.argument.as_ref().and_then(number);
    number.ok_or_else(|| "a message without number".to_owned())
}
