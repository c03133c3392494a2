//! Starts batches: when an address may be called, and what is sent with the request.

use bytes::Bytes;

use super::function_types::StatesKnown;
use super::indices::Slot;
use super::keys::{AddressKey, STATE};
use super::mailbox::{Attached, Mailbox};
use super::rows::unreadable;
use super::state::{StateRow, StateSpec};
use super::watch::Given;
use super::{Activity, CallId, Core, Failure, FunctionBinding, Output, wire};
use crate::storage::{Rows as _, Write};

impl Core {
    /// Starts a call for `address` if it is idle and has waiting messages; removes the address if there is no work left.
    pub(super) fn start(&mut self, slot: Slot, out: &mut Vec<Output>) {
        self.start_in_order(slot, false, out);
    }

    /// With `from_queue` it goes before the addresses in the queue for call slots.
    fn start_in_order(&mut self, slot: Slot, from_queue: bool, out: &mut Vec<Output>) {
        if self.draining {
            return;
        }
        let mailbox = self.mailboxes.of(slot);
        if mailbox.activity() != Activity::Idle {
            return;
        }
        if mailbox.waiting().is_empty()
            && mailbox.has_stored()
            && let Err(failure) = self.load(slot)
        {
            return self.fail(slot, failure, out);
        }
        let mailbox = self.mailboxes.of(slot);
        if mailbox.is_done() {
            self.mailboxes.remove(slot);
            return;
        }
        if mailbox.waiting().is_empty() {
            return;
        }
        match self.binding(slot) {
            Ok(binding) => self.start_bound(slot, binding, from_queue, out),
            Err(failure) => {
                self.mailboxes
                    .change(slot, |mailbox| mailbox.take_batch(None));
                self.fail(slot, failure, out);
            }
        }
    }

    /// Starts an address whose wait, given by `activity`, is over.
    pub(super) fn start_waiting(&mut self, slot: Slot, activity: Activity, out: &mut Vec<Output>) {
        debug_assert_eq!(
            self.mailboxes.of(slot).activity(),
            activity,
            "a waiting address is started once"
        );
        self.set_activity(slot, Activity::Idle);
        self.start_in_order(slot, activity == Activity::AwaitsCallSlot, out);
    }

    fn set_activity(&mut self, slot: Slot, activity: Activity) {
        self.mailboxes
            .change(slot, |mailbox| mailbox.set_activity(activity));
    }

    pub(super) fn binding(&self, slot: Slot) -> Result<FunctionBinding, Failure> {
        let function_type = self.types.get(self.mailboxes.of(slot).type_id());
        function_type.binding().ok_or_else(|| {
            let (namespace, name) = function_type.names();
            Failure::unbound_function(namespace, name)
        })
    }

    fn start_bound(
        &mut self,
        slot: Slot,
        binding: FunctionBinding,
        from_queue: bool,
        out: &mut Vec<Output>,
    ) {
        let durable = binding.after_durable.then_some(self.durable);
        let mailbox = self.mailboxes.of(slot);
        let type_id = mailbox.type_id();
        let first = mailbox.waiting().front().map(|message| message.position);
        if let (Some(durable), Some(first)) = (durable, first)
            && first > durable
        {
            self.set_activity(slot, Activity::AwaitsDisk);
            return self.held.start(first, slot);
        }
        let others_wait = !from_queue && !self.call_queue.is_empty();
        if others_wait || self.calls >= self.settings.max_calls {
            self.set_activity(slot, Activity::AwaitsCallSlot);
            return self.call_queue.push_back(slot);
        }
        let function_type = self.types.get_mut(type_id);
        match function_type.states_known {
            StatesKnown::Yes => {}
            StatesKnown::Asking(asking) if asking != slot => {
                function_type.queue.push_back(slot);
                return self.set_activity(slot, Activity::AwaitsType);
            }
            StatesKnown::Asking(_) | StatesKnown::No => {
                function_type.states_known = StatesKnown::Asking(slot);
            }
        }
        self.mailboxes
            .change(slot, |mailbox| mailbox.take_batch(durable));
        self.call(slot, Attached::States, out);
    }

    /// Whether another address may be called.
    pub(super) const fn may_call(&self) -> bool {
        self.calls < self.settings.max_calls && !self.draining
    }

    /// Queues an address that waited for its type, before all others.
    pub(super) fn queue_first(&mut self, slot: Slot) {
        self.set_activity(slot, Activity::AwaitsCallSlot);
        self.call_queue.push_front(slot);
    }

    /// Starts addresses that waited for a call slot.
    pub(super) fn start_queued(&mut self, out: &mut Vec<Output>) {
        while self.may_call()
            && let Some(slot) = self.call_queue.pop_front()
        {
            self.start_waiting(slot, Activity::AwaitsCallSlot, out);
        }
    }

    /// Calls the function of `address` with its batch. Without states the function will request them.
    pub(super) fn call(&mut self, slot: Slot, attached: Attached, out: &mut Vec<Output>) {
        match self.request(slot, attached) {
            Ok((request, invocations, given)) => {
                let number = self.next_call;
                self.next_call += 1;
                let call = CallId { number, slot };
                self.calls += 1;
                self.mailboxes
                    .change(slot, |mailbox| mailbox.called(call, attached, given));
                out.push(Output::Call {
                    call,
                    target: self.mailboxes.address(slot).clone(),
                    request,
                    invocations,
                });
            }
            Err(failure) => self.fail(slot, failure, out),
        }
    }

    fn request(&self, slot: Slot, attached: Attached) -> Result<(Bytes, usize, Given), Failure> {
        let (mailbox, address) = (self.mailboxes.of(slot), self.mailboxes.address(slot));
        let (states, given) = match attached {
            Attached::States => self.attached_states(address, mailbox)?,
            Attached::Nothing => (Vec::new(), Given::Unread),
        };
        let batch = mailbox.batch();
        let invocations = batch.iter().map(|message| &message.invocation);
        let request = wire::request(address, &states, invocations);
        Ok((request, mailbox.batch_messages(), given))
    }

    /// All known states of the type, with the values of `address`. Being sent with a request renews some values.
    fn attached_states(
        &self,
        address: &AddressKey,
        mailbox: &Mailbox,
    ) -> Result<(Vec<wire::AttachedState<'_>>, Given), Failure> {
        let function_type = self.types.get(mailbox.type_id());
        if function_type.states.len() == 0 {
            return Ok((Vec::new(), Given::Unread));
        }
        let mut states = Vec::with_capacity(function_type.states.len());
        let mut writes = Vec::new();
        let specs = function_type.states.iter();
        let names: Vec<&[u8]> = specs.clone().map(|spec| spec.name.as_bytes()).collect();
        let rows = self.store.get_all(STATE, &address.to_bytes(), &names)?;
        let mut given = Given::Unread;
        for (spec, row) in specs.zip(rows) {
            if self.is_watched(&spec.name) {
                given = Given::Row(row.clone());
            }
            let value = match row {
                None => None,
                Some(row) => {
                    let key = || address.row(spec.name.as_bytes());
                    let row = StateRow::decode(&row).ok_or_else(|| unreadable(STATE, &key()))?;
                    self.attached_value(spec, key, row, &mut writes)?
                }
            };
            states.push((spec.name.as_str(), value));
        }
        if !writes.is_empty() {
            self.store.stage(writes);
        }
        Ok((states, given))
    }

    /// A stored value as it goes with a request: expired ones do not, and the stamps of others may change.
    ///
    /// The declaration may be younger than the value. A value of another type stops its address; whether and when one expires is as it is
    /// declared now.
    fn attached_value(
        &self,
        spec: &StateSpec,
        key: impl Fn() -> Bytes,
        row: StateRow,
        writes: &mut Vec<Write>,
    ) -> Result<Option<Bytes>, Failure> {
        spec.check_type(&row.value)?;
        if spec.ttl.is_over(row.stamp, self.now) {
            writes.push(Write::delete(STATE, key()));
            return Ok(None);
        }
        if spec.ttl.is_touched_by_call(row.stamp, self.now) {
            let touched = StateRow {
                stamp: Some(self.now),
                value: row.value.clone(),
            };
            writes.push(Write::put(STATE, key(), touched.encode()));
        }
        Ok(Some(row.value))
    }
}
