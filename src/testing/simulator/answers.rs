//! Calls return: with effects, with a failure, or too late.

use super::ensure;
use super::model::{AddressIndex, Call, Cell, Id, NOT_YET, Outcome, Sender, Stage, Status, Turn};
use super::plan::pick;
use super::reply::{Meaning, Reply, Server};
use super::request::{message, numbered};
use super::world::World;
use crate::protocol::reqreply::from_function::{Invocation, InvocationResponse, Response};
use crate::protocol::reqreply::{Address, FromFunction};
use crate::runtime::core::idempotency;
use crate::runtime::core::{Failure, Input, Output};
use crate::time::Timestamp;

impl World {
    /// A call returns, and fails in the planned percentage of cases.
    pub(super) fn answer(&mut self, failing: Option<u64>) -> Result<(), String> {
        let calls: Vec<_> = self.model.boot.calls.keys().copied().collect();
        let Some((core, id)) = calls.get(pick(&mut self.random, calls.len())).copied() else {
            return Ok(());
        };
        let Some(call) = self.model.boot.calls.remove(&(core, id)) else {
            return Ok(());
        };
        if self.late.len() < 8 {
            self.late.push((core, id));
        }
        let failing = failing.unwrap_or(self.plan.failing_calls);
        if !self.is_calm && self.random.chance(failing) {
            self.tell(|_| format!("core {core}: call {id:?} of {call:?} fails"));
            self.must_fail = Some(call.index);
            let result = Err(Failure::new("no answer"));
            let out = self.feed(core, Input::Answered { call: id, result });
            return self.failed(core, &call, out);
        }
        let logged = self
            .model
            .logs
            .get(&call.index)
            .cloned()
            .unwrap_or_default();
        let mut server = Server {
            plan: &self.plan,
            model: &mut self.model,
            random: &mut self.random,
            now: self.now,
            is_calm: self.is_calm,
        };
        let Reply { wire, meaning } = server.reply(&call, &logged);
        self.tell(|_| format!("core {core}: call {id:?} of {call:?} gives {meaning:?}"));
        if matches!(meaning, Meaning::Refused) {
            self.must_fail = Some(call.index);
        }
        let out = self.feed(
            core,
            Input::Answered {
                call: id,
                result: Ok(wire),
            },
        );
        match meaning {
            Meaning::Refused => self.failed(core, &call, out),
            Meaning::Missing(names) => {
                let kind = self.plan.kind(call.index);
                let known = self.model.boot.known.entry((core, kind)).or_default();
                for name in names {
                    if !known.contains(&name) {
                        known.push(name);
                    }
                }
                self.model.boot.again.insert(call.index, (call.batch, true));
                self.follow(core, out)
            }
            Meaning::Effects(outcomes, cells) => {
                self.apply(core, &call, outcomes, &cells)?;
                self.follow(core, out)
            }
        }
    }

    /// The batch of `call` must have failed.
    fn failed(&mut self, core: u8, call: &Call, out: Vec<Output>) -> Result<(), String> {
        self.report.failed += 1;
        let step = self.step;
        self.model.make_deferred(call.index, step);
        self.model
            .boot
            .again
            .insert(call.index, (call.batch.clone(), false));
        self.follow(core, out)?;
        ensure(self.must_fail.is_none(), || {
            format!("the batch of {call:?} had to fail, and did not")
        })
    }

    fn apply(
        &mut self,
        core: u8,
        call: &Call,
        outcomes: Vec<(Id, Outcome)>,
        cells: &[(&'static str, Option<Id>)],
    ) -> Result<(), String> {
        self.report.applied += 1;
        let step = self.step;
        for (id, outcome) in &outcomes {
            self.model.process(call.index, *id)?;
            let entry = self.model.entry_mut(*id);
            entry.done = step;
            entry.outcome = outcome.clone();
            for child in &outcome.children {
                self.begin(core, *child, outcome.by_egress.contains(child));
            }
            for record in &outcome.records {
                if let Some(record) = self.model.records.get_mut(*record) {
                    record.is_kept = true;
                }
            }
            for answer in &outcome.answers {
                self.give(*answer);
            }
        }
        for (_, outcome) in outcomes {
            for id in outcome.cancelled {
                self.report.cancelled += 1;
                self.model.entry_mut(id).status = Status::Gone;
            }
        }
        for (name, value) in cells {
            let value = value.map(|value| Cell {
                value: u64::try_from(value).unwrap_or_default(),
                stamp: self.now,
            });
            match value {
                Some(cell) => self.model.cells.insert((call.index, name), cell),
                None => self.model.cells.remove(&(call.index, *name)),
            };
        }
        self.model.boot.failures.remove(&call.index);
        self.model.make_deferred(call.index, step);
        Ok(())
    }

    /// A message that a function sent exists from here on.
    fn begin(&mut self, core: u8, id: Id, is_by_egress: bool) {
        let (step, boot) = (self.step, self.boot);
        let since = self.arrival(core, self.model.entry(id).target);
        let entry = self.model.entry_mut(id);
        entry.made = step;
        if entry.due.is_some() {
            entry.status = Status::Armed;
            entry.armed = (boot, core);
            return;
        }
        entry.status = Status::Waiting;
        entry.since = since;
        let stage = if is_by_egress {
            Stage::Egress
        } else {
            Stage::Send
        };
        entry.turn = Turn {
            boot,
            core,
            order: (step, stage, Timestamp::default(), Some(id)),
        };
    }

    /// When a message that `core` sends now arrives.
    fn arrival(&self, core: u8, target: AddressIndex) -> u64 {
        if self.owner(target) == core {
            self.step
        } else {
            NOT_YET
        }
    }

    /// An answer is on its way; the first to a call with a key is kept.
    fn give(&mut self, number: usize) {
        let Some(answer) = self.model.answers.get_mut(number) else {
            return;
        };
        answer.is_owed = true;
        let Some(row) = self.model.gateways.remove(&answer.gateway) else {
            return;
        };
        if let Some(kept) = self.model.keys.get_mut(&row)
            && kept.outcome == idempotency::Outcome::Pending(answer.gateway.clone())
        {
            kept.outcome = idempotency::Outcome::Answered(numbered("answer", number));
        }
    }

    /// A timer of `core` has fired.
    pub(super) fn fire(&mut self, core: u8, id: Id) -> Result<(), String> {
        self.report.fired += 1;
        let entry = self.model.entry(id);
        let (target, due) = (entry.target, entry.due.unwrap_or_default());
        let Sender::Function(sender) = entry.sender else {
            return Err(format!("timer {id} has no sender"));
        };
        ensure(self.owner(sender) == core, || {
            format!("core {core} fired timer {id} of another core")
        })?;
        let (step, boot, since) = (self.step, self.boot, self.arrival(core, target));
        let entry = self.model.entry_mut(id);
        entry.status = Status::Waiting;
        entry.since = since;
        entry.turn = Turn {
            boot,
            core,
            order: (step, Stage::Fire, due, None),
        };
        Ok(())
    }

    /// A call returns a second time, with effects that must stay without consequence.
    pub(super) fn answer_late(&mut self) -> Result<(), String> {
        let at = pick(&mut self.random, self.late.len());
        let Some((core, id)) = self.late.get(at).copied() else {
            return Ok(());
        };
        let target = pick(&mut self.random, self.plan.addresses.len());
        let ghost = self.model.add(target, Sender::Ingress, None);
        let address = self.plan.addresses.get(target).map(|key| {
            let (namespace, name, id) = key.parts();
            Address {
                namespace: namespace.to_owned(),
                r#type: name.to_owned(),
                id: id.to_owned(),
            }
        });
        let response = InvocationResponse {
            outgoing_messages: vec![Invocation {
                target: address,
                argument: Some(message(ghost)),
            }],
            ..InvocationResponse::default()
        };
        self.tell(|_| format!("core {core}: late answer to {id:?} with message {ghost}"));
        let result = Ok(FromFunction {
            response: Some(Response::InvocationResult(response)),
        });
        let out = self.feed(core, Input::Answered { call: id, result });
        self.follow(core, out)
    }
}
