//! Order per key: the records of one key are sent one after the other.
//!
//! Records come to the lane first, in their order. While none of them is kept the lane sends them itself, which is in order
//! because an address does one thing at a time. Once one had to be kept, those after it queue behind it at their own
//! addresses, and each has its turn when the one before it is done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::blob::Blob;
use super::outbound::{Destination, Readiness};
use super::plan::{Plan, Step};
use super::record::{RECORD, Record};
use super::stages::Exporter;
use super::wire::{JOIN, LEAVE, Place, SUBMISSION, Submission, TURN, Turn};
use crate::delivery::engine::{self, Failure, LaneError, Lead};
use crate::sdk::types::{json, protobuf_as};
use crate::sdk::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunction, Type,
    TypeName, ValueSpec,
};
use crate::timestamp::Timestamp;

const LEAD: ValueSpec<Lead> =
    ValueSpec::new("lead", json(TypeName::new("statefun.pipelines/lead")));
const PLACES: Type<Blob> = protobuf_as(TypeName::new("statefun.pipelines/places"));

/// The transition at which a record that was submitted to wait for its turn begins to wait.
const SUBMITTED_SEQ: u64 = 1;
/// One that found no room comes back after this.
const NO_ROOM: Duration = Duration::from_secs(1);

/// Function `<namespace>/lane.<pipeline>.<stage>`, id = the order key.
pub(crate) struct LaneFunction {
    plan: Arc<Plan>,
    at: usize,
    exporter: Arc<Exporter>,
    segments: [ValueSpec<Blob>; engine::Lane::SEGMENTS],
    runs: Runs,
}

impl LaneFunction {
    pub(crate) fn spec(plan: &Arc<Plan>, at: usize, exporter: &Arc<Exporter>) -> FunctionSpec {
        let segments = std::array::from_fn(|at| {
            ValueSpec::try_new(format!("places_{at}"), PLACES)
                .expect("a name of letters and digits")
        });
        let function = Self {
            plan: Arc::clone(plan),
            at,
            exporter: Arc::clone(exporter),
            segments: segments.clone(),
            runs: Runs::default(),
        };
        let spec = FunctionSpec::new(plan.step(at).lane.clone(), function).value(LEAD);
        let spec = segments.into_iter().fold(spec, FunctionSpec::value);
        spec.after_durable()
    }

    fn step(&self) -> &Step {
        self.plan.step(self.at)
    }
}

impl StatefulFunction for LaneFunction {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let is = |name: &TypeName| message.value_type_name() == name.as_str();
        if is(RECORD.name()) {
            let record = Record::decode(message.raw_value().unwrap_or_default())?;
            if context.storage().get(&LEAD)?.is_some() {
                self.queue(context, &record)
            } else {
                self.send_or_keep(context, record).await
            }
        } else if is(JOIN.name()) {
            self.join(context, message.require(&JOIN)?)
        } else if is(LEAVE.name()) {
            self.leave(context, &message.require(&LEAVE)?.id)
        } else {
            let value_type = message.value_type_name();
            tracing::warn!(address = %context.address(), value_type, "unknown message; ignored");
            Ok(())
        }
    }
}

impl LaneFunction {
    /// Nobody is kept: the record is sent now, and kept if that fails.
    async fn send_or_keep(
        &self,
        context: &mut Context,
        mut record: Record,
    ) -> Result<(), BoxError> {
        let started = self.plan.now();
        let lane = context.address().id().to_owned();
        if !self
            .runs
            .may_begin(&lane, started, self.exporter.policy.timeout)
        {
            return self.hold_back(context, &record, started, None);
        }
        let item = self.step().item_id(&record).to_string();
        let (readiness, destination) = self.plan.prepare(&self.exporter, &mut record, &item).await;
        let failure = match readiness {
            Readiness::Export {
                exporter,
                prepared,
                permit,
            } => {
                let sent = self
                    .plan
                    .send_out(exporter, prepared, destination.as_ref())
                    .await;
                drop(permit);
                self.runs.ended(&lane, started, self.plan.now());
                match sent {
                    Ok(sent) => {
                        sent.apply_to(&mut record);
                        let wake = self.exporter.policy.wake;
                        self.plan
                            .report_success(context, destination.as_ref(), wake)?;
                        return self.plan.advance(context, self.at + 1, record);
                    }
                    Err(failure) => failure,
                }
            }
            Readiness::Unfit(failure) => failure,
            Readiness::Later(until) => {
                return self.hold_back(context, &record, until, destination.as_ref());
            }
            Readiness::Compute => return Ok(()), // exports do not only compute
        };
        self.keep_failed(context, &record, &failure, started, destination.as_ref())
    }

    fn keep_failed(
        &self,
        context: &mut Context,
        record: &Record,
        failure: &Failure,
        started: Timestamp,
        destination: Option<&Destination>,
    ) -> Result<(), BoxError> {
        let submission = Submission {
            started: started.as_millis(),
            destination: name(destination),
            ..Submission::default()
        };
        let mut lane = self.load(context)?;
        lane.join(self.place(record))?; // its turn is now, and it has used it
        self.save(context, &lane)?;
        self.submit(context, record, submission.with_failure(failure)?)
    }

    /// The record waits untried until `until`, at its own address; those after it wait for it.
    fn hold_back(
        &self,
        context: &mut Context,
        record: &Record,
        until: Timestamp,
        destination: Option<&Destination>,
    ) -> Result<(), BoxError> {
        let submission = Submission {
            due: Some(until.as_millis()),
            destination: name(destination),
            ..Submission::default()
        };
        self.submit(context, record, submission)?;
        let mut lane = self.load(context)?;
        let turn = lane.join(self.place(record))?.cloned();
        self.save(context, &lane)?;
        self.give_turn(context, turn)
    }

    /// Others are kept: the record queues behind them.
    fn queue(&self, context: &mut Context, record: &Record) -> Result<(), BoxError> {
        let mut lane = self.load(context)?;
        let mut submission = Submission::default();
        match lane.join(self.place(record)) {
            Ok(_) => self.save(context, &lane)?,
            Err(LaneError::Full { .. }) => submission.full = true,
            Err(damaged) => return Err(damaged.into()),
        }
        self.submit(context, record, submission)
    }

    fn submit(
        &self,
        context: &mut Context,
        record: &Record,
        mut submission: Submission,
    ) -> Result<(), BoxError> {
        submission.record = Some(record.to_wire());
        submission.lane = Some(context.address().id().to_owned());
        let item = self.step().item(record);
        context.send(MessageBuilder::to(item).value_as(&SUBMISSION, &submission)?);
        Ok(())
    }

    fn place(&self, record: &Record) -> engine::Place {
        engine::Place {
            id: self.step().item_id(record).to_string(),
            seq: SUBMITTED_SEQ,
        }
    }

    /// One that was done already is taken up again: behind all others.
    fn join(&self, context: &mut Context, place: Place) -> Result<(), BoxError> {
        let mut lane = self.load(context)?;
        let joined = lane.join(engine::Place {
            id: place.id.clone(),
            seq: place.seq,
        });
        match joined.map(|turn| turn.cloned()) {
            Ok(turn) => {
                self.save(context, &lane)?;
                self.give_turn(context, turn)
            }
            Err(LaneError::Full { .. }) => {
                let again =
                    MessageBuilder::to(context.address().clone()).value_as(&JOIN, &place)?;
                Ok(context.send_after(NO_ROOM, again)?)
            }
            Err(damaged) => Err(damaged.into()),
        }
    }

    fn leave(&self, context: &mut Context, id: &str) -> Result<(), BoxError> {
        let mut lane = self.load(context)?;
        let turn = lane.leave(id)?.cloned();
        self.save(context, &lane)?;
        self.give_turn(context, turn)
    }

    fn give_turn(
        &self,
        context: &mut Context,
        turn: Option<engine::Place>,
    ) -> Result<(), BoxError> {
        let Some(engine::Place { id, seq }) = turn else {
            return Ok(());
        };
        let item = Address::new(self.step().function.clone(), id);
        context.send(MessageBuilder::to(item).value_as(&TURN, &Turn { seq })?);
        Ok(())
    }

    fn load(&self, context: &mut Context) -> Result<engine::Lane, BoxError> {
        let storage = context.storage();
        let Some(lead) = storage.get(&LEAD)? else {
            return Ok(engine::Lane::default());
        };
        let mut segments: [Bytes; engine::Lane::SEGMENTS] = Default::default();
        for (segment, spec) in segments.iter_mut().zip(&self.segments) {
            *segment = storage.get(spec)?.unwrap_or_default().bytes;
        }
        Ok(engine::Lane::stored(lead, segments))
    }

    fn save(&self, context: &mut Context, lane: &engine::Lane) -> Result<(), BoxError> {
        let storage = context.storage();
        if lane.is_empty() {
            storage.remove(&LEAD)?;
        } else {
            storage.set(&LEAD, lane.lead().clone())?;
        }
        for (at, places) in lane.changed() {
            match self.segments.get(at) {
                Some(spec) if places.is_empty() => storage.remove(spec)?,
                Some(spec) => {
                    let bytes = places.clone();
                    storage.set(spec, Blob { bytes })?;
                }
                None => {}
            }
        }
        Ok(())
    }
}

fn name(destination: Option<&Destination>) -> String {
    destination.map_or_else(String::new, |to| to.name.to_string())
}

/// How long lanes have been sending without a pause.
///
/// The records that wait for a lane come in one call, which must end in good time. With a destination that is slow but works, a
/// record is passed on to its own address then, and what comes after it queues behind.
#[derive(Debug, Default)]
struct Runs(Mutex<HashMap<String, Run>>);

#[derive(Debug, Clone, Copy)]
struct Run {
    ended: Timestamp,
    spent: Duration,
}

/// Attempts that take less are not counted.
const SLOW: Duration = Duration::from_millis(100);
/// A run goes on when the next attempt begins within this time.
const GAP: Duration = Duration::from_millis(50);

/// More slow lanes at once are not told apart.
const MAX_RUNS: usize = 10_000;

impl Runs {
    /// Whether another attempt may begin in this run; one that may not is forgotten.
    fn may_begin(&self, lane: &str, now: Timestamp, limit: Duration) -> bool {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match runs.get(lane) {
            Some(run) if now.since(run.ended) > GAP || run.spent >= limit => {
                let is_over = now.since(run.ended) <= GAP;
                runs.remove(lane);
                !is_over
            }
            _ => true,
        }
    }

    fn ended(&self, lane: &str, started: Timestamp, ended: Timestamp) {
        let took = ended.since(started);
        if took < SLOW {
            return;
        }
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() >= MAX_RUNS {
            runs.clear(); // those that end late are found out late
        }
        let spent = runs.get(lane).map_or(Duration::ZERO, |run| run.spent) + took;
        runs.insert(lane.to_owned(), Run { ended, spent });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_slow_attempts_ends_after_its_time_and_starts_anew_after_a_pause() {
        let at = Timestamp::from_millis;
        let limit = Duration::from_secs(10);
        let runs = Runs::default();
        runs.ended("k", at(0), at(6_000));
        assert!(
            runs.may_begin("k", at(6_010), limit),
            "six seconds are within ten"
        );
        runs.ended("k", at(6_010), at(11_000));
        assert!(!runs.may_begin("k", at(11_000), limit));
        assert!(
            runs.may_begin("k", at(11_000), limit),
            "the next call is another run"
        );
        runs.ended("k", at(11_000), at(30_000));
        assert!(runs.may_begin("k", at(31_000), limit), "after a pause");
        assert!(runs.may_begin("other", at(31_000), limit));
    }
}
