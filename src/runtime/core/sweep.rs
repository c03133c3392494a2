//! The sweep: finds unneeded rows, a page at a time.

use std::collections::HashSet;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::handshake::spec_key;
use super::idempotency::{Outcome, StoredAnswer};
use super::keys::{ANSWERS, AddressKey, GATEWAYS, SPECS, STATE};
use super::mailbox::Mailbox;
use super::rows::each_key;
use super::state::StateRow;
use super::{Activity, Core, Failure, Output};
use crate::storage::{StorageError, Stretch, Table, Write, stretch};

/// Where the sweep continues.
#[derive(Debug, Default)]
pub(super) struct SweepPosition {
    state: Bytes,
    answers: Bytes,
    /// Keys of declarations with at least one value seen so far in this pass.
    in_use: HashSet<Bytes>,
}

impl Core {
    /// Deletes expired values and answers, a page of rows at a time.
    pub(super) fn sweep(&mut self, out: &mut Vec<Output>) {
        if let Err(failure) = self.sweep_state().and_then(|()| self.sweep_answers()) {
            out.push(Output::Warning(failure.to_string()));
        }
    }

    fn sweep_state(&mut self) -> Result<(), Failure> {
        let (rows, next) = self.page(STATE, &self.sweep.state)?;
        let mut writes = Vec::new();
        for (key, row) in rows {
            let Some((address, name)) = AddressKey::split(&key) else {
                continue;
            };
            // A damaged value stays for an operator to inspect, and so does its declaration.
            let stamp = row.ok().as_ref().and_then(StateRow::decode);
            let stamp = stamp.and_then(|row| row.stamp);
            if stamp.is_some() && self.may_sweep(&address) {
                let name = String::from_utf8_lossy(&name);
                let (namespace, function, _) = address.parts();
                let spec = self.declared((namespace, function), &name)?;
                if spec.is_some_and(|spec| spec.ttl.is_over(stamp, self.now)) {
                    writes.push(Write::delete(STATE, key));
                    continue;
                }
            }
            let declaration = [address.type_prefix(), name].concat();
            if !self.sweep.in_use.contains(&declaration[..]) {
                self.sweep.in_use.insert(declaration.into());
            }
        }
        self.delete(writes);
        let has_ended = next.is_empty();
        self.sweep.state = next;
        if has_ended {
            let in_use = std::mem::take(&mut self.sweep.in_use);
            self.sweep_declarations(&in_use)?;
        }
        Ok(())
    }

    /// Whether this core may delete values of `address` now.
    fn may_sweep(&self, address: &AddressKey) -> bool {
        let is_busy = |mailbox: &Mailbox| mailbox.activity() != Activity::Idle;
        !self.mailboxes.get(address).is_some_and(is_busy)
            && self.owner_of(address.id()) == self.settings.index
    }

    /// Deletes declarations without any value in the whole table that no function has made since the start; the first
    /// core does it for all. It cannot know what others have declared meanwhile, so they write their declarations again.
    fn sweep_declarations(&mut self, in_use: &HashSet<Bytes>) -> Result<(), Failure> {
        let mut stored = HashSet::new();
        let page = self.settings.windows.page;
        each_key(&self.store, SPECS, &[], page, |key, _| {
            stored.insert(key.clone());
            ControlFlow::Continue(())
        })?;
        let mut declared = HashSet::new();
        for function_type in self.types.iter_mut() {
            let names: Vec<_> = function_type
                .states
                .iter()
                .map(|spec| spec.name.clone())
                .collect();
            for name in names {
                let key = spec_key(&function_type.prefix, &name);
                if in_use.contains(&key) && !stored.contains(&key) {
                    function_type.states.note_unsaved(&name);
                }
                declared.insert(key);
            }
        }
        // On StateFun a declaration cannot be undone.
        if self.settings.index == 0 && !self.settings.failure.is_strict() {
            let is_over = |key: &Bytes| !in_use.contains(key) && !declared.contains(key);
            let over = stored.into_iter().filter(is_over);
            self.delete(over.map(|key| Write::delete(SPECS, key)).collect());
        }
        Ok(())
    }

    fn sweep_answers(&mut self) -> Result<(), Failure> {
        let (rows, next) = self.page(ANSWERS, &self.sweep.answers)?;
        self.sweep.answers = next;
        let mut writes = Vec::new();
        for (key, row) in rows {
            // A damaged one stays: using its key gives an error.
            let Some(answer) = row.ok().as_ref().and_then(StoredAnswer::decode) else {
                continue;
            };
            if answer.until > self.now || self.owner_of_hash(answer.hash) != self.settings.index {
                continue;
            }
            writes.push(Write::delete(ANSWERS, key));
            if let Outcome::Pending(gateway) = answer.outcome {
                writes.push(Write::delete(GATEWAYS, gateway));
            }
        }
        self.delete(writes);
        Ok(())
    }

    fn delete(&self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.store.stage(writes);
        }
    }

    /// A page of rows, and the key after it; an empty key when the table has ended. Damaged rows are among them.
    fn page(&self, table: Table, from: &[u8]) -> Result<(Vec<Found>, Bytes), Failure> {
        let page = self.settings.windows.page;
        let Stretch { rows, is_last } = stretch(&self.store, table, from, None, page)?;
        let next = match rows.last() {
            Some((last, _)) if !is_last => [&last[..], &[0]].concat().into(),
            _ => Bytes::new(),
        };
        Ok((rows, next))
    }
}

/// A row as the sweep finds it.
type Found = (Bytes, Result<Bytes, StorageError>);
