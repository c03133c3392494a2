//! The stored form of a history entry: a transition, or several folded rounds.

use prost::Message;

use super::super::engine::{Actor, AttemptError, Detail, Entry, Folded, Transition};
use super::numbered::{REASONS, STATES, millis, number, numbered, required, time};
use super::row::InvalidItem;
use crate::time::Timestamp;

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireActor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    reason: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireError {
    #[prost(string, tag = "1")]
    code: String,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(uint32, optional, tag = "3")]
    status: Option<u32>,
    /// Further details, as JSON.
    #[prost(bytes = "vec", tag = "4")]
    more: Vec<u8>,
}

/// A transition, or several folded rounds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WireEntry {
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

impl WireActor {
    pub(super) fn of(actor: &Actor) -> Self {
        Self {
            name: actor.name.clone(),
            reason: actor.reason.clone(),
        }
    }

    pub(super) fn read(self) -> Actor {
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
            json => {
                serde_json::from_slice(json).map_err(|err| InvalidItem::new(err.to_string()))?
            }
        };
        detail.status_code = self.status.and_then(|status| u16::try_from(status).ok());
        Ok(AttemptError::new(self.code, self.message, detail))
    }
}

impl WireEntry {
    pub(super) fn of(entry: &Entry) -> Self {
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

    pub(super) fn read(self) -> Result<Entry, InvalidItem> {
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
