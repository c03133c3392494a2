//! Reading rows one after the other, and errors about unreadable ones.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::idempotency::StoredAnswer;
use super::keys::{
    ANSWERS, AddressKey, GATEWAYS, INBOX, MessageId, NOT_BROUGHT, OUTBOX, PARKED, Parts, SET_ASIDE,
    SPECS, STATE, TIMERS, TOKENS, TimerKey,
};
use super::{Failure, wire};
use crate::storage::{Rows as _, StorageError, Store, Stretch, Table, stretch};

/// If the store cannot be read, the batch that needed it fails and is retried like any other. If a row is damaged, a retry cannot
/// help: its address is parked.
impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::DamagedRow { table, ref key, .. } => {
                Self::damaged(format!("{} cannot be read: {error}", described(table, key)))
            }
            StorageError::Damaged { .. } | StorageError::DamagedTables { .. } => {
                Self::damaged(format!("{error}"))
            }
            error => Self::new(format!("reading the store failed: {error}")),
        }
    }
}

/// A row exists, but differs from what was written.
pub(super) fn unreadable(table: Table, key: &[u8]) -> Failure {
    Failure::damaged(format!(
        "{} cannot be read: it is damaged; restore the data folder from a backup, or remove what is damaged, and resume the address then",
        described(table, key)
    ))
}

/// The row of a message: its key and the encoded invocation, which share one piece of memory.
pub(super) fn message_row(
    target: &AddressKey,
    id: MessageId,
    caller: Option<Parts<'_>>,
    argument: &[u8],
) -> (Bytes, Bytes) {
    let length = target.key_len() + MessageId::LENGTH;
    let mut row = Vec::with_capacity(length + wire::invocation_len(caller, argument));
    target.put_key(&mut row);
    row.extend_from_slice(&id.encode());
    wire::put_invocation(&mut row, caller, argument);
    let mut invocation = Bytes::from(row);
    let key = invocation.split_to(length);
    (key, invocation)
}

/// The stored answer of an idempotency key.
///
/// # Errors
/// If the row cannot be read.
pub(crate) fn answer_of(store: &Store, row: &[u8]) -> Result<Option<StoredAnswer>, Failure> {
    let Some(kept) = store.get(ANSWERS, row)? else {
        return Ok(None);
    };
    let answer = StoredAnswer::decode(&kept).ok_or_else(|| unreadable(ANSWERS, row))?;
    Ok(Some(answer))
}

/// Describes the row, for messages.
pub(super) fn described(table: Table, key: &[u8]) -> String {
    let key = Bytes::copy_from_slice(key);
    let of = |what: &str, key: &Bytes| match AddressKey::split(key) {
        Some((address, _)) => format!("{what} of {}", address.to_address()),
        None => format!("{what} with the key {}", hex(key)),
    };
    match table {
        INBOX => of("a waiting message", &key),
        STATE => match AddressKey::split(&key) {
            Some((address, name)) => format!(
                "value `{}` of {}",
                String::from_utf8_lossy(&name),
                address.to_address()
            ),
            None => format!("a value with the key {}", hex(&key)),
        },
        PARKED => of("the note why an address is parked,", &key),
        TIMERS => match TimerKey::decode(&key) {
            Some(timer) => format!("the delayed message that is due at {}", timer.due),
            None => format!("a delayed message with the key {}", hex(&key)),
        },
        TOKENS => format!("the cancellation token with the key {}", hex(&key)),
        SPECS => format!("the declaration with the key {}", hex(&key)),
        OUTBOX | SET_ASIDE => format!("the egress record with the key {}", hex(&key)),
        NOT_BROUGHT => format!(
            "the record that a source set aside, with the key {},",
            hex(&key)
        ),
        GATEWAYS | ANSWERS => format!("the kept answer with the key {}", hex(&key)),
        table => format!("a row of {table:?} with the key {}", hex(&key)),
    }
}

/// Bytes, as text where they are readable.
fn hex(key: &[u8]) -> String {
    let shown: Vec<u8> = key.iter().copied().take(80).collect();
    format!("`{}`", shown.escape_ascii())
}

/// Visits the keys of a table in order, from `from` on, until `visit` stops. A damaged row is visited as [`Row::Damaged`], so that
/// it does not block the others. The store has reported it.
pub(super) fn each_key(
    store: &Store,
    table: Table,
    from: &[u8],
    page: usize,
    mut visit: impl FnMut(&Bytes, Row) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let mut from = from.to_vec();
    loop {
        let Stretch { rows, is_last } = stretch(store, table, &from, None, page)?;
        for (key, row) in rows {
            let row = if row.is_ok() {
                Row::Sound
            } else {
                Row::Damaged
            };
            if visit(&key, row).is_break() {
                return Ok(());
            }
            from.clear();
            from.extend_from_slice(&key);
            from.push(0);
        }
        if is_last {
            return Ok(());
        }
    }
}

/// A row found by [`each_key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    Sound,
    Damaged,
}

/// Visits the rows from `from` to `to` in order, page by page, until `visit` stops.
pub(super) fn each_row(
    store: &Store,
    table: Table,
    from: &[u8],
    to: Option<&[u8]>,
    page: usize,
    mut visit: impl FnMut(&Bytes, Bytes) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let mut from = from.to_vec();
    loop {
        let rows = store.scan(table, &from, to, page)?;
        let full = rows.len() == page;
        for (key, value) in rows {
            if visit(&key, value).is_break() {
                return Ok(());
            }
            from.clear();
            from.extend_from_slice(&key);
            from.push(0);
        }
        if !full {
            return Ok(());
        }
    }
}
