//! The rows of the store against what the schedule knows: equal while the cores live, a consistent cut after a crash.

use std::collections::BTreeMap;

use super::ensure;
use super::image::Image;
use super::model::{AddressIndex, Boot, Cell, Entry, Id, Model, Status};
use super::reply::LIFE;
use crate::runtime::core::idempotency::{Outcome, StoredAnswer};
use crate::time::Timestamp;

/// The store holds exactly what the schedule expects.
pub(super) fn equal(image: &Image, model: &Model, now: Timestamp) -> Result<(), String> {
    for (id, entry) in model.entries.iter().enumerate() {
        let found = status(image, id);
        let expected = match entry.status {
            Status::Done => Status::Gone,
            status => status,
        };
        ensure(found == expected, || {
            format!(
                "message {id} is {:?}, and stored as {found:?}",
                entry.status
            )
        })?;
        check_row(image, id, entry)?;
    }
    ensure(image.logs == model.logs, || {
        format!("logs: {:?} stored, {:?} expected", image.logs, model.logs)
    })?;
    let notes = model.notes.keys();
    let notes: BTreeMap<AddressIndex, u64> = notes
        .filter_map(|index| Some((*index, model.note(*index)?)))
        .collect();
    ensure(image.notes == notes, || {
        format!("notes: {:?} stored, {notes:?} expected", image.notes)
    })?;
    let alive = |cells: &BTreeMap<(AddressIndex, &'static str), Cell>| {
        let mut cells = cells.clone();
        cells.retain(|_, cell| !is_over(cell, now));
        cells
    };
    let (found, expected) = (alive(&image.cells), alive(&model.cells));
    ensure(found == expected, || {
        format!("values: {found:?} stored, {expected:?} expected")
    })?;
    let kept = model.records.iter().enumerate();
    let kept = kept.filter(|(_, record)| record.is_kept).map(|(id, _)| id);
    ensure(image.records.keys().copied().eq(kept), || {
        format!("outbox: {:?} stored", image.records)
    })?;
    ensure(image.parked == model.parked, || {
        format!("parked: {:?}, not {:?}", image.parked, model.parked)
    })?;
    check_keys(image, model, now)
}

/// Whether a value that expires is gone.
pub(super) fn is_over(cell: &Cell, now: Timestamp) -> bool {
    now.as_millis() >= cell.stamp.as_millis() + LIFE
}

fn status(image: &Image, id: Id) -> Status {
    match (image.waiting.get(&id), image.timers.get(&id)) {
        (None, None) => Status::Gone,
        (Some(_), None) => Status::Waiting,
        (None, Some(_)) => Status::Armed,
        // Neither is true of it: no comparison holds.
        (Some(_), Some(_)) => Status::Done,
    }
}

/// A message waits where it was sent to, a timer has its time and its token.
fn check_row(image: &Image, id: Id, entry: &Entry) -> Result<(), String> {
    if let Some(index) = image.waiting.get(&id) {
        ensure(*index == entry.target, || {
            format!(
                "message {id} waits at {index}, and was sent to {}",
                entry.target
            )
        })?;
    }
    if let Some((due, token)) = image.timers.get(&id) {
        ensure(entry.due == Some(*due), || {
            format!("message {id} is due at {due}, and not at {:?}", entry.due)
        })?;
        ensure(token.is_some() == entry.token.is_some(), || {
            format!("message {id} has lost its token {:?}", entry.token)
        })?;
    }
    Ok(())
}

/// Valid idempotency keys are as expected; of expired ones only their gateways must match.
fn check_keys(image: &Image, model: &Model, now: Timestamp) -> Result<(), String> {
    let counting = |keys: &BTreeMap<_, StoredAnswer>| {
        let mut keys = keys.clone();
        keys.retain(|_, answer| answer.until > now);
        keys
    };
    let (found, expected) = (counting(&image.keys), counting(&model.keys));
    ensure(found == expected, || {
        format!("keys: {found:?} stored, {expected:?} expected")
    })?;
    for (gateway, row) in &image.gateways {
        let pending = image.keys.get(row).map(|answer| &answer.outcome);
        let is_its_own = matches!(pending, Some(Outcome::Pending(other)) if other == gateway);
        ensure(is_its_own, || {
            format!("gateway {gateway} is kept for a key that has {pending:?}")
        })?;
    }
    for answer in expected.values() {
        if let Outcome::Pending(gateway) = &answer.outcome {
            ensure(image.gateways.contains_key(gateway), || {
                format!("gateway {gateway} is forgotten while its call is pending")
            })?;
        }
    }
    Ok(())
}

/// A crash leaves a consistent cut: all effects of each processed message, none of the others, and everything acknowledged.
pub(super) fn cut(image: &Image, model: &Model, synced: u64, now: Timestamp) -> Result<(), String> {
    let cut = Cut::of(image, model)?;
    for (id, entry) in model.entries.iter().enumerate() {
        let text = |what: &str| format!("after the crash message {id} {what}");
        let is_there = cut.exists(id);
        check_row(image, id, entry)?;
        if !is_there {
            let was_promised =
                entry.acknowledged || entry.is_relied_on || (entry.made <= synced && exists(entry));
            let is_cancelled = cut.cancelled(id);
            ensure(!was_promised || is_cancelled, || text("is lost"))?;
            continue;
        }
        ensure(!cut.cancelled(id), || text("is back, and was cancelled"))?;
        let is_legitimate = match entry.parent {
            None => entry.status != Status::Gone,
            Some(parent) => {
                cut.is_done(parent) && model.entry(parent).outcome.children.contains(&id)
            }
        };
        ensure(is_legitimate, || text("is there, and was never sent"))?;
        if cut.is_done(id) {
            check_effects(&cut, image, model, id)?;
        } else {
            let was_done = entry.is_shown || (entry.status == Status::Done && entry.done <= synced);
            ensure(!was_done, || text("is to be processed again"))?;
        }
    }
    for record in image.records.keys() {
        let made = model.records.get(*record).map(|record| record.maker);
        let is_legitimate = made.is_some_and(|maker| {
            cut.is_done(maker) && model.entry(maker).outcome.records.contains(record)
        });
        ensure(is_legitimate, || {
            format!("after the crash record {record} is there, and was never sent")
        })?;
    }
    check_notes(image, model)?;
    check_promised_keys(image, model, now)
}

/// Whether the schedule holds that the message exists.
fn exists(entry: &Entry) -> bool {
    entry.status != Status::Gone
}

/// A processed message has all its effects.
fn check_effects(cut: &Cut<'_>, image: &Image, model: &Model, id: Id) -> Result<(), String> {
    let outcome = &model.entry(id).outcome;
    for child in &outcome.children {
        ensure(cut.exists(*child) || cut.cancelled(*child), || {
            format!("after the crash message {id} is processed, and its message {child} is lost")
        })?;
    }
    for record in &outcome.records {
        let is_taken = model.records.get(*record).is_some_and(|it| it.is_taken);
        ensure(is_taken || image.records.contains_key(record), || {
            format!("after the crash message {id} is processed, and its record {record} is lost")
        })?;
    }
    Ok(())
}

/// The note is that of the last change that was acknowledged, or of a later one.
fn check_notes(image: &Image, model: &Model) -> Result<(), String> {
    for (index, notes) in &model.notes {
        let promised = notes.iter().rposition(|note| note.acknowledged);
        let found = image.notes.get(index);
        let found = found.and_then(|ticket| notes.iter().position(|note| note.ticket == *ticket));
        ensure(found >= promised, || {
            format!("after the crash the note of address {index} is lost")
        })?;
    }
    Ok(())
}

fn check_promised_keys(image: &Image, model: &Model, now: Timestamp) -> Result<(), String> {
    for (id, entry) in model.entries.iter().enumerate() {
        let Some((key, until)) = entry.key.as_ref().filter(|_| entry.acknowledged) else {
            continue;
        };
        let kept = image.keys.get(key).map(|answer| answer.until);
        ensure(*until <= now || kept == Some(*until), || {
            format!("after the crash the key of message {id} is forgotten")
        })?;
    }
    for (gateway, row) in &image.gateways {
        ensure(image.keys.contains_key(row), || {
            format!("after the crash gateway {gateway} has no key")
        })?;
    }
    Ok(())
}

/// The messages that a crash left.
struct Cut<'a> {
    image: &'a Image,
    done: BTreeMap<Id, AddressIndex>,
    /// Cancelled by messages that are done.
    cancelled: Vec<Id>,
}

impl<'a> Cut<'a> {
    fn of(image: &'a Image, model: &Model) -> Result<Self, String> {
        let mut done = BTreeMap::new();
        for (index, log) in &image.logs {
            for id in log {
                ensure(done.insert(*id, *index).is_none(), || {
                    format!("after the crash message {id} is processed twice")
                })?;
                let target = model.entries.get(*id).map(|entry| entry.target);
                ensure(target == Some(*index), || {
                    format!("after the crash message {id} is processed at address {index}")
                })?;
            }
        }
        let cancelled = done
            .keys()
            .flat_map(|id| model.entry(*id).outcome.cancelled.clone());
        Ok(Self {
            image,
            cancelled: cancelled.collect(),
            done,
        })
    }

    fn is_done(&self, id: Id) -> bool {
        self.done.contains_key(&id)
    }

    fn cancelled(&self, id: Id) -> bool {
        self.cancelled.contains(&id)
    }

    fn exists(&self, id: Id) -> bool {
        self.is_done(id) || status(self.image, id) != Status::Gone
    }
}

/// Updates the model to what the crash left. All of it is on disk.
pub(super) fn adopt(image: Image, model: &mut Model) -> Result<(), String> {
    let done: Vec<Id> = image.logs.values().flatten().copied().collect();
    let mut is_done = vec![false; model.entries.len()];
    for id in done {
        if let Some(is_done) = is_done.get_mut(id) {
            *is_done = true;
        }
    }
    for (id, (entry, is_done)) in model.entries.iter_mut().zip(is_done).enumerate() {
        entry.status = match (is_done, status(&image, id)) {
            (true, Status::Gone) => Status::Done,
            (false, status) if status != Status::Done => status,
            _ => return Err(format!("after the crash message {id} is there twice")),
        };
        entry.since = 0;
    }
    for (id, record) in model.records.iter_mut().enumerate() {
        record.is_kept = image.records.contains_key(&id);
        // Egresses read the outbox themselves at a start.
        record.is_out = record.is_kept;
    }
    for answer in &mut model.answers {
        answer.is_owed = false;
    }
    for (index, notes) in &mut model.notes {
        let left = image.notes.get(index);
        let left = left.and_then(|ticket| notes.iter().position(|note| note.ticket == *ticket));
        notes.truncate(left.map_or(0, |last| last + 1));
    }
    model.logs = image.logs;
    model.cells = image.cells;
    model.keys = image.keys;
    model.gateways = image.gateways;
    model.parked = image.parked;
    model.boot = Boot {
        rows: image.records,
        ..Boot::default()
    };
    model.rebuild_order()
}

/// Checks that everything that can be completed has been completed.
pub(super) fn at_rest(model: &Model) -> Result<(), String> {
    for (id, entry) in model.entries.iter().enumerate() {
        let is_over = matches!(entry.status, Status::Done | Status::Gone);
        ensure(is_over, || {
            format!("at rest message {id} is still {:?}", entry.status)
        })?;
    }
    for (id, answer) in model.answers.iter().enumerate() {
        ensure(!answer.is_owed, || {
            format!("at rest answer {id} to {} was not given", answer.gateway)
        })?;
    }
    for (id, record) in model.records.iter().enumerate() {
        ensure(!record.is_kept || record.is_out, || {
            format!("at rest record {id} was not given to its egress")
        })?;
    }
    Ok(())
}
