//! The handshake with a function: the values that it declares, and when the states of its type are known.

use bytes::Bytes;

use super::function_types::StatesKnown;
use super::indices::Slot;
use super::keys::{SPECS, type_prefix};
use super::mailbox::Attached;
use super::rows::unreadable;
use super::state::{StateSpec, type_conflict};
use super::{Activity, Core, Failure, Output};
use crate::protocol::reqreply::from_function::IncompleteInvocationContext;
use crate::storage::{Rows as _, StorageError, Write};

/// The batch fails with the last of this many consecutive incomplete answers without a new state.
const STALE_HANDSHAKES: u32 = 10;

impl Core {
    /// The function requests states: they are registered, and the same batch is sent again with them.
    pub(super) fn handshake(
        &mut self,
        slot: Slot,
        missing: IncompleteInvocationContext,
        out: &mut Vec<Output>,
    ) {
        match self.register(slot, missing) {
            Ok(()) => {
                self.note_states_known(slot, out);
                self.call(slot, Attached::States, out);
            }
            Err(failure) => self.fail(slot, failure, out),
        }
    }

    /// Adds declarations. They are stored with the first batch that is applied with them.
    ///
    /// A repeated batch is sent without states, as after a restart of StateFun's job: what its function then declares replaces
    /// the earlier declarations. With StateFun's failure policy, it must match the stored ones; otherwise only an address with a value
    /// of another type fails, when the value is sent with a call.
    fn register(
        &mut self,
        slot: Slot,
        missing: IncompleteInvocationContext,
    ) -> Result<(), Failure> {
        let mailbox = self.mailboxes.of(slot);
        let (type_id, attached) = (mailbox.type_id(), mailbox.attached());
        let function_type = self.types.get(type_id);
        let limits = self.settings.answers;
        limits.check_values(missing.missing_values.len())?;
        let mut declared = Vec::with_capacity(missing.missing_values.len());
        let mut new = 0;
        for wire_spec in missing.missing_values {
            let spec = StateSpec::from_wire(wire_spec)?;
            match function_type.states.get(&spec.name) {
                None => new += 1,
                Some(known) if *known == spec => continue,
                Some(_) if attached == Attached::Nothing => {}
                Some(known) if known.typename == spec.typename => continue,
                Some(known) => {
                    return Err(type_conflict(&spec.name, &known.typename, &spec.typename));
                }
            }
            let row = self
                .store
                .get(SPECS, &spec_key(&function_type.prefix, &spec.name))?;
            let is_saved = row == Some(spec.encode());
            if self.settings.failure.is_strict()
                && let Some(row) = row
            {
                let key = spec_key(&function_type.prefix, &spec.name);
                let before =
                    StateSpec::decode(&spec.name, &row).ok_or_else(|| unreadable(SPECS, &key))?;
                spec.succeeds(&before)?;
            }
            declared.push((spec, is_saved));
        }
        let (rounds, stale_rounds) = self
            .mailboxes
            .change(slot, |mailbox| mailbox.note_round(new > 0));
        let all = function_type.states.len() + new;
        let bounded = limits
            .check_values(all)
            .and_then(|()| limits.check_rounds(rounds));
        let function_type = self.types.get_mut(type_id);
        if let Err(failure) = bounded {
            // The failed declarations must not affect a corrected function.
            function_type.states.forget_unsaved();
            return Err(failure);
        }
        for (spec, is_saved) in declared {
            function_type.states.declare(spec, is_saved);
        }
        // Declarations in the answer to a batch without states are not new, and are expected once.
        let in_order = u32::from(self.mailboxes.of(slot).failures() > 0);
        if stale_rounds >= STALE_HANDSHAKES + in_order {
            return Err(Failure::new(format!(
                "the function answered {STALE_HANDSHAKES} times in a row that values are missing and named none that it was not given; it may declare other values with each call"
            )));
        }
        Ok(())
    }

    /// Records that the states of the type are known: waiting addresses continue.
    pub(super) fn note_states_known(&mut self, slot: Slot, out: &mut Vec<Output>) {
        let function_type = self.types.get_mut(self.mailboxes.of(slot).type_id());
        if function_type.states_known == StatesKnown::Yes {
            return;
        }
        function_type.states_known = StatesKnown::Yes;
        for waiting in std::mem::take(&mut function_type.queue) {
            self.start_waiting(waiting, Activity::AwaitsType, out);
        }
    }

    /// The rows of declarations that are not stored yet, written with the batch of an address of their type.
    pub(super) fn unsaved_specs(&mut self, slot: Slot) -> Vec<Write> {
        let function_type = self.types.get_mut(self.mailboxes.of(slot).type_id());
        let unsaved = function_type.states.take_unsaved().into_iter();
        unsaved
            .map(|spec| {
                Write::put(
                    SPECS,
                    spec_key(&function_type.prefix, &spec.name),
                    spec.encode(),
                )
            })
            .collect()
    }

    /// The declaration of a state by functions of a type, in this run or else in an earlier one.
    pub(super) fn declared(
        &self,
        (namespace, function): (&str, &str),
        name: &str,
    ) -> Result<Option<StateSpec>, StorageError> {
        let function_type = self.types.find(namespace, function);
        let function_type = function_type.map(|id| self.types.get(id));
        if let Some(spec) = function_type.and_then(|function_type| function_type.states.get(name)) {
            return Ok(Some(spec.clone()));
        }
        let key = spec_key(&type_prefix(namespace, function), name);
        let Some(row) = self.store.get(SPECS, &key)? else {
            return Ok(None);
        };
        let spec = StateSpec::decode(name, &row);
        spec.map(Some)
            .ok_or_else(|| StorageError::senseless(SPECS, &key))
    }

    /// Removes the declaration of a state; its values stay. The function declares it again with its next call.
    pub(super) fn forget_declaration(&mut self, (namespace, function): (&str, &str), name: &str) {
        if let Some(id) = self.types.find(namespace, function) {
            self.types.get_mut(id).states.forget(name);
        }
        let key = spec_key(&type_prefix(namespace, function), name);
        self.store.stage(vec![Write::delete(SPECS, key)]);
    }
}

/// The key of a declaration's row.
pub(super) fn spec_key(type_prefix: &[u8], name: &str) -> Bytes {
    [type_prefix, name.as_bytes()].concat().into()
}
