//! How a batch gets on its way: when its address may call, and what goes with the request.

use bytes::Bytes;

use super::function_types::Acquaintance;
use super::keys::{AddressKey, STATE};
use super::mailbox::{Mailbox, Waiting};
use super::state::{StateRow, TimeToLive};
use super::{Activity, CallId, Core, Failure, FunctionBinding, Output, Release, wire};
use crate::storage::{Position, Rows as _, Write};

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
        let Some(mailbox) = self.mailboxes.get(address) else {
            return;
        };
        if mailbox.activity != Activity::Idle {
            return;
        }
        if mailbox.waiting.is_empty()
            && mailbox.stored > 0
            && let Err(failure) = self.load(address)
        {
            return self.fail(address, failure, out);
        }
        let Some(mailbox) = self.mailboxes.get(address) else {
            return;
        };
        if mailbox.is_done() {
            self.mailboxes.remove(address);
            return;
        }
        if mailbox.waiting.is_empty() {
            return;
        }
        match self.binding(address) {
            Ok(binding) => self.start_bound(address, binding, has_turn, out),
            Err(failure) => {
                self.take_batch(address, None);
                self.fail(address, failure, out);
            }
        }
    }

    /// Starts `address` if it still does what it did when it began to wait.
    pub(super) fn start_if(
        &mut self,
        address: &AddressKey,
        activity: Activity,
        out: &mut Vec<Output>,
    ) {
        match self.mailboxes.get_mut(address) {
            Some(mailbox) if mailbox.activity == activity => mailbox.activity = Activity::Idle,
            _ => return,
        }
        self.start_in_turn(address, activity == Activity::AwaitsTurn, out);
    }

    fn binding(&self, address: &AddressKey) -> Result<FunctionBinding, Failure> {
        let (namespace, name, _) = address.parts();
        self.bindings
            .function(namespace, name)
            .ok_or_else(|| Failure::unbound_function(namespace, name))
    }

    fn start_bound(
        &mut self,
        address: &AddressKey,
        binding: FunctionBinding,
        has_turn: bool,
        out: &mut Vec<Output>,
    ) {
        let durable = binding.after_durable.then_some(self.durable);
        let Some(mailbox) = self.mailboxes.get_mut(address) else {
            return;
        };
        let first = mailbox.waiting.front().map(|message| message.position);
        if let (Some(durable), Some(first)) = (durable, first)
            && first > durable
        {
            mailbox.activity = Activity::AwaitsDisk;
            self.held
                .push_back((first, Release::Start(address.clone())));
            return;
        }
        let others_wait = !has_turn && !self.turns.is_empty();
        if others_wait || self.calls.len() >= self.settings.max_calls {
            mailbox.activity = Activity::AwaitsTurn;
            self.turns.push_back(address.clone());
            return;
        }
        let kind = self.types.get_mut(mailbox.type_id);
        match &kind.acquaintance {
            Acquaintance::Known => {}
            Acquaintance::Asking(asking) if asking != address => {
                mailbox.activity = Activity::AwaitsType;
                kind.queue.push_back(address.clone());
                return;
            }
            _ => kind.acquaintance = Acquaintance::Asking(address.clone()),
        }
        self.take_batch(address, durable);
        self.call(address, true, out);
    }

    /// Whether another address may be called.
    pub(super) fn may_call(&self) -> bool {
        self.calls.len() < self.settings.max_calls && !self.draining
    }

    /// An address that waited for its type begins with what follows from this step.
    pub(super) fn give_turn(&mut self, address: Option<AddressKey>) {
        if let Some(address) = address
            && let Some(mailbox) = self.mailboxes.get_mut(&address)
        {
            mailbox.activity = Activity::AwaitsTurn;
            self.turns.push_front(address);
        }
    }

    /// Starts addresses that waited for others to return.
    pub(super) fn take_turns(&mut self, out: &mut Vec<Output>) {
        while self.may_call() {
            let Some(address) = self.turns.pop_front() else {
                return;
            };
            self.start_if(&address, Activity::AwaitsTurn, out);
        }
    }

    /// Makes what waits the batch: all of it, or what is on disk.
    fn take_batch(&mut self, address: &AddressKey, durable: Option<Position>) {
        let Some(mailbox) = self.mailboxes.get_mut(address) else {
            return;
        };
        let ready = match durable {
            None => mailbox.waiting.len(),
            Some(durable) => mailbox
                .waiting
                .iter()
                .take_while(|message| message.position <= durable)
                .count(),
        };
        mailbox.batch = mailbox.waiting.drain(..ready).collect();
        let bytes: usize = mailbox.batch.iter().map(Waiting::size).sum();
        mailbox.waiting_bytes = mailbox.waiting_bytes.saturating_sub(bytes);
    }

    /// Calls the function of `address` with its batch. Without states the function will ask for them.
    pub(super) fn call(&mut self, address: &AddressKey, with_states: bool, out: &mut Vec<Output>) {
        match self.request(address, with_states) {
            Ok((request, invocations)) => {
                let call = CallId(self.next_call);
                self.next_call += 1;
                self.calls.insert(call, address.clone());
                if let Some(mailbox) = self.mailboxes.get_mut(address) {
                    mailbox.activity = Activity::InFlight(call);
                }
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

    fn request(&self, address: &AddressKey, with_states: bool) -> Result<(Bytes, usize), Failure> {
        let Some(mailbox) = self.mailboxes.get(address) else {
            return Err(Failure::new("the address has no messages"));
        };
        let states = if with_states {
            self.attached_states(address, mailbox)?
        } else {
            Vec::new()
        };
        let request = wire::request(
            address,
            &states,
            mailbox.batch.iter().map(|message| &message.invocation),
        );
        Ok((request, mailbox.batch.len()))
    }

    /// All known states of the type, with the values that `address` has. Going with a request keeps some values alive.
    fn attached_states(
        &self,
        address: &AddressKey,
        mailbox: &Mailbox,
    ) -> Result<Vec<wire::AttachedState<'_>>, Failure> {
        let kind = self.types.get(mailbox.type_id);
        let mut states = Vec::with_capacity(kind.states.len());
        let mut writes = Vec::new();
        for spec in &kind.states {
            let key = address.row(spec.name.as_bytes());
            let row = match self.store.get(STATE, &key)? {
                Some(row) => StateRow::decode(&row),
                None => None,
            };
            let value = match row {
                Some(row) if spec.ttl.is_over(row.stamp, self.now) => {
                    writes.push(Write::delete(STATE, key));
                    None
                }
                Some(row) => {
                    if matches!(spec.ttl, TimeToLive::AfterInvoke(_)) && row.stamp < Some(self.now)
                    {
                        let touched = StateRow {
                            stamp: Some(self.now),
                            value: row.value.clone(),
                        };
                        writes.push(Write::put(STATE, key, touched.encode()));
                    }
                    Some(row.value)
                }
                None => None,
            };
            states.push((spec.name.as_str(), value));
        }
        if !writes.is_empty() {
            self.store.stage(writes);
        }
        Ok(states)
    }
}
