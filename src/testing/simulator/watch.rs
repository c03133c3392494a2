//! Compares every output of a core with what the schedule expects, and checks the invariants after every step.

use std::time::Duration;

use bytes::Bytes;

use super::audit::is_over;
use super::ensure;
use super::image::{message_number, unfired};
use super::model::{AddressIndex, Call, Id, Sender, Status};
use super::request::{Request, log, number, numbered};
use super::world::World;
use crate::runtime::core::idempotency::Outcome;
use crate::runtime::core::keys::id_hash;
use crate::runtime::core::{CallId, Message, Output, owner};
use crate::time::Timestamp;

impl World {
    /// Checks the outputs of a step of `core`.
    pub(super) fn follow(&mut self, core: u8, out: Vec<Output>) -> Result<(), String> {
        self.find_fired(core)?;
        for output in out {
            self.watch(core, output)?;
        }
        if let Some(at) = self.cores.get(usize::from(core)) {
            ensure(at.counts() == at.recount(), || {
                format!(
                    "core {core} counts {:?}, and has {:?}",
                    at.counts(),
                    at.recount()
                )
            })?;
        }
        self.check_again()?;
        if !self.plan.is_tight && !self.is_draining {
            self.check_idle(core)?;
            self.check_deadline(core)?;
        }
        Ok(())
    }

    /// Finds out which timers have fired in this step.
    fn find_fired(&mut self, core: u8) -> Result<(), String> {
        let due = |id: &Id| self.model.entry(*id).due <= Some(self.now);
        let due: Vec<Id> = self.model.with(Status::Armed).filter(due).collect();
        if due.is_empty() {
            return Ok(());
        }
        let unfired = unfired(&self.store, self.now)?;
        for id in due {
            if !unfired.contains(&id) {
                self.tell(|_| format!("  timer {id} fires"));
                self.fire(core, id)?;
            }
        }
        Ok(())
    }

    fn watch(&mut self, core: u8, output: Output) -> Result<(), String> {
        match output {
            Output::Call {
                call,
                target,
                request,
                invocations,
            } => {
                let read = Request::read(&request, &self.plan, &self.model)?;
                ensure(self.plan.index(&target) == Some(read.index), || {
                    format!("the call of {target:?} goes to address {}", read.index)
                })?;
                ensure(invocations == read.batch.len(), || {
                    format!("{invocations} invocations, and {}", read.batch.len())
                })?;
                self.watch_call(core, call, read)
            }
            Output::Forward(to, message) => self.watch_forward(core, to, message),
            Output::Accepted(ticket) => self.watch_accepted(ticket),
            Output::Refused(..) => Ok(()),
            Output::Replayed(ticket, answer) => {
                self.tell(|_| format!("  message {ticket} is replayed"));
                let told = answer.map_or(Outcome::Accepted, Outcome::Answered);
                self.watch_repeat(ticket, &told)
            }
            Output::Attached(ticket, gateway) => {
                self.tell(|_| format!("  message {ticket} is attached to {gateway}"));
                self.watch_repeat(ticket, &Outcome::Pending(gateway))
            }
            Output::Answer(gateway, value) => self.watch_answer(&gateway, &value),
            Output::Egress {
                egress, id, record, ..
            } => {
                let row = [&egress[..], &id.encode()].concat();
                self.watch_record(row.into(), &record)
            }
            Output::Changed(ticket, result) => self.watch_changed(ticket, &result),
            Output::Failed {
                address,
                attempt,
                invocations,
                verdict,
                failure,
            } => {
                self.tell(|_| format!("  {address:?} failed: {failure}"));
                let index = self.plan.index(&address);
                ensure(index.is_some() && index == self.must_fail.take(), || {
                    format!("{address:?} failed: {failure}")
                })?;
                self.watch_failed(
                    index.unwrap_or_default(),
                    attempt,
                    invocations,
                    verdict.retry_at(),
                )
            }
            Output::Warning(text) => Err(format!("core {core} warns: {text}")),
        }
    }

    /// A call: of messages that wait, once, at the right core, with the right states, and not too early.
    fn watch_call(&mut self, core: u8, id: CallId, request: Request) -> Result<(), String> {
        let Request {
            index,
            states,
            batch,
        } = request;
        self.tell(|_| format!("  {id:?} calls {index} with {batch:?}"));
        let what = |text: &str| format!("call of address {index} with {batch:?}: {text}");
        ensure(self.owner(index) == core, || what("of another core"))?;
        ensure(!batch.is_empty(), || what("no message"))?;
        ensure(self.model.call_of(index).is_none(), || {
            what("another call is in progress")
        })?;
        ensure(!self.model.parked.contains(&index), || what("it is parked"))?;
        for message in &batch {
            self.check_message(core, index, *message)?;
        }
        let again = self.model.boot.again.remove(&index);
        let finishes = again.as_ref().is_some_and(|(_, has_states)| *has_states);
        ensure(finishes || !self.is_draining, || what("nothing may begin"))?;
        match again {
            Some((same, has_states)) => {
                ensure(same == batch, || {
                    what(&format!("{same:?} should be sent again"))
                })?;
                ensure(has_states || states.is_empty(), || {
                    what("a batch that is sent again after a failure carries states")
                })?;
                if has_states {
                    self.check_states(core, index, &states)?;
                } else if let Some(at) = self.model.boot.backoffs.remove(&index) {
                    ensure(at <= self.now, || what("it should wait longer"))?;
                }
            }
            None => {
                self.check_states(core, index, &states)?;
                self.check_whole(index, &batch)?;
                self.check_turn(core)?;
            }
        }
        let names = states.into_iter().map(|(name, _)| name).collect();
        let call = Call {
            index,
            batch,
            names,
        };
        let before = self.model.boot.calls.insert((core, id), call);
        ensure(before.is_none(), || format!("{id:?} is used twice"))
    }

    fn check_message(&mut self, core: u8, index: AddressIndex, id: Id) -> Result<(), String> {
        let (now, synced, step) = (self.now, self.synced, self.step);
        let steps_back = self.plan.steps_back;
        let acts_outside = self.plan.is_after_durable(index);
        let entry = self.model.entry_mut(id);
        let what =
            |text: &str| format!("core {core} calls address {index} with message {id}: {text}");
        ensure(entry.status == Status::Waiting, || {
            what(&format!("it is {:?}", entry.status))
        })?;
        ensure(entry.target == index, || what("sent to another address"))?;
        ensure(entry.since <= step, || what("still on its way"))?;
        // A clock that steps back may do so between the firing and the call.
        let is_due = steps_back || entry.due.is_none_or(|due| due <= now);
        ensure(is_due, || what("too early"))?;
        if acts_outside {
            entry.is_relied_on = true;
            ensure(entry.turn.order.0 <= synced, || what("not on disk"))?;
        }
        Ok(())
    }

    /// All states that the type has asked for, in that order, with the values that the address has.
    fn check_states(
        &mut self,
        core: u8,
        index: AddressIndex,
        states: &[(String, Option<Bytes>)],
    ) -> Result<(), String> {
        let known = self.model.boot.known.get(&(core, self.plan.kind(index)));
        let known = known.cloned().unwrap_or_default();
        let names: Vec<_> = states.iter().map(|(name, _)| name.clone()).collect();
        ensure(known == names, || {
            format!("address {index} is called with states {names:?}, not {known:?}")
        })?;
        for (name, value) in states {
            let expected = match &**name {
                "log" => self.model.logs.get(&index).map(|ids| log(ids)),
                "note" => self
                    .model
                    .note(index)
                    .map(|note| numbered("note", cast(note))),
                "written" => self.value(index, "written"),
                _ => self.value(index, "called"),
            };
            ensure(*value == expected, || {
                format!(
                    "address {index} is called with {name} {:?}, not {:?}",
                    value.as_ref().and_then(number),
                    expected.as_ref().and_then(number)
                )
            })?;
        }
        Ok(())
    }

    /// An expiring value as a call sees it. The call renews one of the two kinds.
    fn value(&mut self, index: AddressIndex, name: &'static str) -> Option<Bytes> {
        let now = self.now;
        let cell = self.model.cells.get_mut(&(index, name))?;
        if is_over(cell, now) {
            self.model.cells.remove(&(index, name));
            return None;
        }
        if name == "called" {
            cell.stamp = now;
        }
        Some(numbered(name, cast(cell.value)))
    }

    /// No more calls are in progress than allowed.
    fn check_turn(&self, core: u8) -> Result<(), String> {
        let out = self.model.boot.calls.keys().filter(|(at, _)| *at == core);
        let (out, most) = (out.count(), self.plan.settings.max_calls);
        ensure(out < most, || {
            format!("{out} calls of core {core} are in progress")
        })
    }

    /// A batch contains all messages that waited when it began, however many.
    fn check_whole(&self, index: AddressIndex, batch: &[Id]) -> Result<(), String> {
        if self.plan.is_tight || self.plan.is_after_durable(index) {
            return Ok(());
        }
        let is_left = |id: &Id| self.model.entry(*id).since < self.step && !batch.contains(id);
        let left = self.model.waiting_at(index).find(is_left);
        ensure(left.is_none(), || {
            format!("address {index} is called with {batch:?}, and {left:?} waits")
        })
    }

    fn watch_forward(&mut self, core: u8, to: u8, message: Message) -> Result<(), String> {
        let id = message_number(&message.invocation)?;
        let right = owner(id_hash(message.target.id()), self.cores());
        ensure(to == right && to != core, || {
            format!("core {core} hands message {id} to core {to}")
        })?;
        self.channels
            .entry((core, to))
            .or_default()
            .push_back(message);
        Ok(())
    }

    fn watch_accepted(&mut self, ticket: u64) -> Result<(), String> {
        let synced = self.synced;
        let entry = self.model.entries.get_mut(cast(ticket));
        let entry = entry.ok_or("an acceptance of nothing")?;
        ensure(entry.made <= synced, || {
            format!("message {ticket} is acknowledged, and not on disk")
        })?;
        ensure(!entry.acknowledged, || {
            format!("message {ticket} is acknowledged twice")
        })?;
        entry.acknowledged = true;
        Ok(())
    }

    fn watch_repeat(&mut self, ticket: u64, told: &Outcome) -> Result<(), String> {
        let expected = self.model.boot.repeats.remove(&ticket);
        let (expected, step) = expected.ok_or("a repeat of nothing")?;
        ensure(*told == expected, || {
            format!("message {ticket} got {told:?} instead of {expected:?}")
        })?;
        ensure(step <= self.synced, || {
            format!("message {ticket} gets a result that is not on disk")
        })
    }

    fn watch_answer(&mut self, gateway: &str, value: &Bytes) -> Result<(), String> {
        self.tell(|_| format!("  {gateway} is answered"));
        let answer = number(value).and_then(|number| self.model.answers.get_mut(number));
        let answer = answer.ok_or("an answer nobody gave")?;
        ensure(answer.gateway == gateway && answer.is_owed, || {
            format!("{gateway} got {answer:?}")
        })?;
        answer.is_owed = false;
        let maker = answer.maker;
        self.show(maker)
    }

    fn watch_record(&mut self, row: Bytes, value: &Bytes) -> Result<(), String> {
        let number = number(value).ok_or("a record without number")?;
        let record = self.model.records.get_mut(number);
        let record = record.ok_or("a record nobody sent")?;
        ensure(record.is_kept && !record.is_out, || {
            format!("egress got record {number}: {record:?}")
        })?;
        record.is_out = true;
        let maker = record.maker;
        self.model.boot.rows.insert(number, row);
        self.show(maker)
    }

    /// An effect of processing `id` is seen outside.
    fn show(&mut self, id: Id) -> Result<(), String> {
        let synced = self.synced;
        let entry = self.model.entry_mut(id);
        entry.is_shown = true;
        ensure(entry.status == Status::Done && entry.done <= synced, || {
            format!("message {id} has an effect outside, and is not on disk")
        })
    }

    fn watch_changed(&mut self, ticket: u64, result: &Result<(), String>) -> Result<(), String> {
        if let Some(expected) = self.model.boot.resumes.remove(&ticket) {
            return ensure(result.is_ok() == expected, || {
                format!("change {ticket} gave {result:?}")
            });
        }
        ensure(result.is_ok(), || {
            format!("change {ticket} gave {result:?}")
        })?;
        let synced = self.synced;
        let mut notes = self.model.notes.values_mut().flatten();
        let note = notes.find(|note| note.ticket == ticket);
        let note = note.ok_or("a change nobody asked for")?;
        ensure(note.made <= synced, || {
            format!("change {ticket} is acknowledged, and not on disk")
        })?;
        note.acknowledged = true;
        Ok(())
    }

    fn watch_failed(
        &mut self,
        index: AddressIndex,
        attempt: u32,
        invocations: usize,
        retry_at: Option<Timestamp>,
    ) -> Result<(), String> {
        let failures = self.model.boot.failures.entry(index).or_default();
        *failures += 1;
        let policy = self.plan.settings.failure;
        let parks = policy.attempts.is_some_and(|most| *failures >= most.get());
        let wait: Duration = policy.backoff.delay(*failures);
        let expected = (!parks).then(|| self.now + wait);
        let batch = self
            .model
            .boot
            .again
            .get(&index)
            .map(|(batch, _)| batch.len());
        ensure(
            attempt == *failures && retry_at == expected && Some(invocations) == batch,
            || format!("address {index} failed: attempt {attempt}, again at {retry_at:?}"),
        )?;
        match retry_at {
            Some(at) => _ = self.model.boot.backoffs.insert(index, at),
            None => {
                self.report.parked += 1;
                self.model.boot.again.remove(&index);
                self.model.parked.insert(index);
            }
        }
        Ok(())
    }

    /// What must be called again at once has been.
    fn check_again(&self) -> Result<(), String> {
        for (index, (batch, has_states)) in &self.model.boot.again {
            ensure(
                !has_states && self.model.boot.backoffs.contains_key(index),
                || format!("{batch:?} should be sent again to address {index} at once"),
            )?;
        }
        Ok(())
    }

    /// With room enough in memory nothing waits without a reason.
    fn check_idle(&self, core: u8) -> Result<(), String> {
        let mine = |index: AddressIndex| self.owner(index) == core;
        let boot = &self.model.boot;
        for id in self.model.with(Status::Waiting) {
            let entry = self.model.entry(id);
            let index = entry.target;
            let has_reason = !mine(index)
                || entry.since > self.step
                || self.plan.is_after_durable(index)
                || self.model.call_of(index).is_some()
                || boot.backoffs.contains_key(&index)
                || self.model.parked.contains(&index)
                || self.is_being_met(core, self.plan.kind(index));
            ensure(has_reason, || {
                format!("message {id} waits at address {index}, which is idle")
            })?;
        }
        for id in self.model.with(Status::Armed) {
            let entry = self.model.entry(id);
            let Sender::Function(sender) = entry.sender else {
                continue;
            };
            ensure(!mine(sender) || entry.due > Some(self.now), || {
                format!("timer {id} of core {core} is due, and did not fire")
            })?;
        }
        for (index, at) in &boot.backoffs {
            ensure(!mine(*index) || *at > self.now, || {
                format!("address {index} should have been called again at {at}")
            })?;
        }
        Ok(())
    }

    /// While the first call of a type is in progress, other addresses of the type wait for its result.
    fn is_being_met(&self, core: u8, kind: usize) -> bool {
        let boot = &self.model.boot;
        let mut calls = boot.calls.iter();
        !boot.known.contains_key(&(core, kind))
            && calls.any(|((at, _), call)| *at == core && self.plan.kind(call.index) == kind)
    }

    /// The core must ask to be woken when its next timer or its next attempt is due.
    fn check_deadline(&self, core: u8) -> Result<(), String> {
        let Some(at) = self.cores.get(usize::from(core)) else {
            return Ok(());
        };
        let armed = self.model.with(Status::Armed).filter_map(|id| {
            let entry = self.model.entry(id);
            match entry.sender {
                Sender::Function(sender) if self.owner(sender) == core => entry.due,
                _ => None,
            }
        });
        let backoffs = self.model.boot.backoffs.iter();
        let backoffs = backoffs.filter(|(index, _)| self.owner(**index) == core);
        let expected = armed.chain(backoffs.map(|(_, at)| *at)).min();
        let found = at.next_deadline();
        ensure(found == expected, || {
            format!("core {core} asks to be woken at {found:?}, not {expected:?}")
        })
    }
}

fn cast(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
