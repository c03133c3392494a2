//! How a batch gets on its way: when its address may call, and what goes with the request.

use bytes::Bytes;

use super::function_types::Acquaintance;
use super::keys::{AddressKey, STATE};
use super::mailbox::{Attached, Mailbox};
use super::rows::unreadable;
use super::state::{StateRow, StateSpec};
use super::{Activity, CallId, Core, Failure, FunctionBinding, Output, wire};
use crate::storage::{Rows as _, Write};

impl Core {
    /// Starts a call for `address` if it is idle and something waits; forgets the address if nothing is left to do.
    pub(super) fn start(&mut self, address: &AddressKey, out: &mut Vec<Output>) {
        self.start_in_turn(address, false, out);
    }

    /// With `has_turn` it goes before those that wait for theirs.
    fn start_in_turn(&mut self, address: &AddressKey, has_turn: bool, out: &mut Vec<Output>) {
        if self.draining {
            return;
        }
        let mailbox = self.mailboxes.of(address);
        if mailbox.activity() != Activity::Idle {
            return;
        }
        if mailbox.waiting().is_empty()
            && mailbox.has_stored()
            && let Err(failure) = self.load(address)
        {
            return self.fail(address, failure, out);
        }
        let mailbox = self.mailboxes.of(address);
        if mailbox.is_done() {
            self.mailboxes.remove(address);
            return;
        }
        if mailbox.waiting().is_empty() {
            return;
        }
        match self.binding(address) {
            Ok(binding) => self.start_bound(address, binding, has_turn, out),
            Err(failure) => {
                self.mailboxes
                    .change(address, |mailbox| mailbox.take_batch(None));
                self.fail(address, failure, out);
            }
        }
    }

    /// Starts an address that has waited for what `activity` says.
    pub(super) fn start_waiting(
        &mut self,
        address: &AddressKey,
        activity: Activity,
        out: &mut Vec<Output>,
    ) {
        debug_assert_eq!(
            self.mailboxes.of(address).activity(),
            activity,
            "who waits is told once"
        );
        self.set_activity(address, Activity::Idle);
        self.start_in_turn(address, activity == Activity::AwaitsTurn, out);
    }

    fn set_activity(&mut self, address: &AddressKey, activity: Activity) {
        self.mailboxes
            .change(address, |mailbox| mailbox.set_activity(activity));
    }

    pub(super) fn binding(&self, address: &AddressKey) -> Result<FunctionBinding, Failure> {
        let kind = self.types.get(self.mailboxes.of(address).type_id());
        kind.binding().ok_or_else(|| {
            let (namespace, name) = kind.names();
            Failure::unbound_function(namespace, name)
        })
    }

    fn start_bound(
        &mut self,
        address: &AddressKey,
        binding: FunctionBinding,
        has_turn: bool,
        out: &mut Vec<Output>,
    ) {
        let durable = binding.after_durable.then_some(self.durable);
        let mailbox = self.mailboxes.of(address);
        let type_id = mailbox.type_id();
        let first = mailbox.waiting().front().map(|message| message.position);
        if let (Some(durable), Some(first)) = (durable, first)
            && first > durable
        {
            self.set_activity(address, Activity::AwaitsDisk);
            return self.held.start(first, address.clone());
        }
        let others_wait = !has_turn && !self.turns.is_empty();
        if others_wait || self.calls.len() >= self.settings.max_calls {
            self.set_activity(address, Activity::AwaitsTurn);
            return self.turns.push_back(address.clone());
        }
        let kind = self.types.get_mut(type_id);
        match &kind.acquaintance {
            Acquaintance::Known => {}
            Acquaintance::Asking(asking) if asking != address => {
                kind.queue.push_back(address.clone());
                return self.set_activity(address, Activity::AwaitsType);
            }
            Acquaintance::Asking(_) | Acquaintance::New => {
                kind.acquaintance = Acquaintance::Asking(address.clone());
            }
        }
        self.mailboxes
            .change(address, |mailbox| mailbox.take_batch(durable));
        self.call(address, Attached::States, out);
    }

    /// Whether another address may be called.
    pub(super) fn may_call(&self) -> bool {
        self.calls.len() < self.settings.max_calls && !self.draining
    }

    /// An address that waited for its type begins with what follows from this step.
    pub(super) fn give_turn(&mut self, address: AddressKey) {
        self.set_activity(&address, Activity::AwaitsTurn);
        self.turns.push_front(address);
    }

    /// Starts addresses that waited for others to return.
    pub(super) fn take_turns(&mut self, out: &mut Vec<Output>) {
        while self.may_call()
            && let Some(address) = self.turns.pop_front()
        {
            self.start_waiting(&address, Activity::AwaitsTurn, out);
        }
    }

    /// Calls the function of `address` with its batch. Without states the function will ask for them.
    pub(super) fn call(&mut self, address: &AddressKey, attached: Attached, out: &mut Vec<Output>) {
        match self.request(address, attached) {
            Ok((request, invocations)) => {
                let call = CallId(self.next_call);
                self.next_call += 1;
                self.calls.insert(call, address.clone());
                self.mailboxes
                    .change(address, |mailbox| mailbox.called(call, attached));
                out.push(Output::Call {
                    call,
                    target: address.clone(),
                    request,
                    invocations,
                });
            }
            Err(failure) => self.fail(address, failure, out),
        }
    }

    fn request(&self, address: &AddressKey, attached: Attached) -> Result<(Bytes, usize), Failure> {
        let mailbox = self.mailboxes.of(address);
        let states = match attached {
            Attached::States => self.attached_states(address, mailbox)?,
            Attached::Nothing => Vec::new(),
        };
        let batch = mailbox.batch();
        let invocations = batch.iter().map(|message| &message.invocation);
        Ok((wire::request(address, &states, invocations), batch.len()))
    }

    /// All known states of the type, with the values that `address` has. Going with a request keeps some values alive.
    fn attached_states(
        &self,
        address: &AddressKey,
        mailbox: &Mailbox,
    ) -> Result<Vec<wire::AttachedState<'_>>, Failure> {
        let kind = self.types.get(mailbox.type_id());
        let mut states = Vec::with_capacity(kind.states.len());
        let mut writes = Vec::new();
        for spec in kind.states.iter() {
            let key = address.row(spec.name.as_bytes());
            let value = match self.store.get(STATE, &key)? {
                None => None,
                Some(row) => {
                    let row = StateRow::decode(&row).ok_or_else(|| unreadable(STATE, &key))?;
                    self.attached_value(spec, key, row, &mut writes)?
                }
            };
            states.push((spec.name.as_str(), value));
        }
        if !writes.is_empty() {
            self.store.stage(writes);
        }
        Ok(states)
    }

    /// A stored value as it goes with a request: expired ones do not, and the stamps of others may change.
    ///
    /// The declaration may be younger than the value. A value of another type stops its address; whether and when one expires is as it is
    /// declared now.
    fn attached_value(
        &self,
        spec: &StateSpec,
        key: Bytes,
        row: StateRow,
        writes: &mut Vec<Write>,
    ) -> Result<Option<Bytes>, Failure> {
        spec.check_type(&row.value)?;
        if spec.ttl.is_over(row.stamp, self.now) {
            writes.push(Write::delete(STATE, key));
            return Ok(None);
        }
        if spec.ttl.is_touched_by_call(row.stamp, self.now) {
            let touched = StateRow {
                stamp: Some(self.now),
                value: row.value.clone(),
            };
            writes.push(Write::put(STATE, key, touched.encode()));
        }
        Ok(Some(row.value))
    }
}
