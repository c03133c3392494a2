//! Delayed messages: the window of those due next, and their rows. All others are in the store only.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::keys::{AddressKey, TimerKey, put_text, take_bytes, take_text};
use crate::sdk::put_varint;
use crate::time::Timestamp;

/// A stored delayed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// The target of the message.
    pub target: AddressKey,
    /// The sender.
    pub sender: AddressKey,
    /// The token that cancels it; empty for none.
    pub token: String,
    /// The encoded `ToFunction.Invocation` that will arrive.
    pub invocation: Bytes,
}

impl Timer {
    /// The stored row.
    pub fn encode(&self) -> Bytes {
        let addresses = [&self.target, &self.sender];
        let length = addresses.map(AddressKey::key_len).iter().sum::<usize>();
        let mut out = Vec::with_capacity(length + self.token.len() + self.invocation.len() + 12);
        for address in addresses {
            put_varint(&mut out, address.key_len());
            address.put_key(&mut out);
        }
        put_text(&mut out, &self.token);
        out.extend_from_slice(&self.invocation);
        out.into()
    }

    /// Reads a stored row.
    pub fn decode(row: &Bytes) -> Option<Self> {
        let mut rest = &row[..];
        let target = AddressKey::split(&row.slice_ref(take_bytes(&mut rest)?))?.0;
        let sender = AddressKey::split(&row.slice_ref(take_bytes(&mut rest)?))?.0;
        let token = take_text(&mut rest)?.to_owned();
        Some(Self {
            target,
            sender,
            token,
            invocation: row.slice_ref(rest),
        })
    }
}

/// The timers due next. Invariant: every timer in the store whose key is below `horizon` is in `keys`.
#[derive(Debug)]
pub struct TimerWindow {
    /// Keys read at a time; at most twice as many are held.
    page: usize,
    keys: BTreeSet<TimerKey>,
    /// Timers from this key on are in the store only; `None` if all are in the window.
    horizon: Option<TimerKey>,
}

impl TimerWindow {
    /// An empty window, for which everything is still to be read.
    pub fn unread(page: usize) -> Self {
        let start = TimerKey {
            due: Timestamp::default(),
            id: super::keys::MessageId { boot: 0, number: 0 },
            hash: 0,
        };
        Self {
            page,
            keys: BTreeSet::new(),
            horizon: Some(start),
        }
    }

    /// Adds a timer that was armed.
    pub fn armed(&mut self, key: TimerKey) {
        if self.horizon.is_some_and(|horizon| key >= horizon) {
            return;
        }
        self.keys.insert(key);
        if self.keys.len() > 2 * self.page {
            let kept = self.keys.iter().nth(self.page).copied();
            if let Some(horizon) = kept {
                self.keys.split_off(&horizon);
                self.horizon = Some(horizon);
            }
        }
    }

    /// Removes a timer that was cancelled.
    pub fn cancelled(&mut self, key: TimerKey) {
        self.keys.remove(&key);
    }

    /// Removes the next timer that is due by `now`.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<TimerKey> {
        if self.keys.first()?.due > now {
            return None;
        }
        self.keys.pop_first()
    }

    /// When the window needs attention; in the past if more must be read.
    pub fn next_due(&self) -> Option<Timestamp> {
        match self.keys.first() {
            Some(first) => Some(first.due),
            None => self.horizon.map(|horizon| horizon.due),
        }
    }

    /// Where to continue reading, if the window is empty.
    pub fn unread_from(&self) -> Option<TimerKey> {
        if self.keys.is_empty() {
            self.horizon
        } else {
            None
        }
    }

    /// How many keys to read at a time.
    pub const fn page(&self) -> usize {
        self.page
    }

    /// Adds a page that was read from the horizon on; `horizon` is where the next page begins, `None` at the end.
    pub fn refill(&mut self, page: impl IntoIterator<Item = TimerKey>, horizon: Option<TimerKey>) {
        self.keys.extend(page);
        self.horizon = horizon;
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::MessageId;
    use super::*;

    fn key(due: u64) -> TimerKey {
        TimerKey {
            due: Timestamp::from_millis(due),
            id: MessageId {
                boot: 1,
                number: due,
            },
            hash: 0,
        }
    }

    #[test]
    fn a_row_survives_its_encoding() {
        let timer = Timer {
            target: AddressKey::new("a", "b", "c"),
            sender: AddressKey::new("a", "d", ""),
            token: "t".into(),
            invocation: Bytes::from_static(b"hello"),
        };
        assert_eq!(Timer::decode(&timer.encode()), Some(timer));
    }

    #[test]
    fn timers_leave_in_order_and_never_before_they_are_due() {
        let mut window = TimerWindow::unread(100);
        window.refill([key(5), key(3)], None);
        window.armed(key(4));
        assert_eq!(window.pop_due(Timestamp::from_millis(2)), None);
        let now = Timestamp::from_millis(4);
        assert_eq!(
            (
                window.pop_due(now),
                window.pop_due(now),
                window.pop_due(now)
            ),
            (Some(key(3)), Some(key(4)), None)
        );
    }

    #[test]
    fn memory_holds_a_window_only_and_the_rest_is_read_later() {
        let mut window = TimerWindow::unread(100);
        window.refill([], None);
        for due in 1..1_000 {
            window.armed(key(due));
        }
        assert!(window.keys.len() <= 200);
        let horizon = window.horizon.unwrap();
        assert!(window.keys.iter().all(|key| *key < horizon));
        while window.pop_due(Timestamp::MAX).is_some() {}
        assert_eq!(window.unread_from(), Some(horizon));
    }
}
