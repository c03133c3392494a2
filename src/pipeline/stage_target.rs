//! A stage as what records are delivered to: an export sends them away, other stages compute.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::plan::{Plan, Step};
use super::record::{RECORD, Record};
use super::size::MAX_BYTES;
use super::stage::{Answer, Stage, apply_bounded};
use super::stages::{Connections, OnFailure, Prepared as Load, StageKind};
use super::wire::Kept;
use crate::delivery::Edit;
use crate::delivery::engine::{Delivery, Failure};
use crate::delivery::owner::{Goal, Moved, Prepared, Target, Undelivered};
use crate::sdk::{Address, BoxError, Context, MessageBuilder};
use crate::time::Timestamp;

/// The stage at one place of a plan.
pub(crate) struct StageTarget {
    pub(crate) plan: Arc<Plan>,
    pub(crate) at: usize,
    pub(crate) connections: Connections,
}

/// What an attempt does.
pub(crate) enum Call {
    Export(Box<Load>),
    Compute,
    /// Passes the record on to the address that works on it.
    Pass(Address),
}

/// How a record continues.
pub(crate) enum Taken {
    Next,
    Done,
    Passed(Address),
}

impl StageTarget {
    fn step(&self) -> &Step {
        self.plan.step(self.at)
    }
}

impl Target for StageTarget {
    type Unit = Record;
    type Call = Call;
    type Taken = Taken;

    fn has_destinations(&self) -> bool {
        matches!(self.step().kind, StageKind::Export(_))
    }

    fn encode(&self, record: &Record) -> Bytes {
        Kept::of(
            record,
            &self.plan.name,
            &self.step().name,
            self.plan.version,
        )
    }

    fn decode(&self, bytes: &Bytes) -> Result<Record, BoxError> {
        Ok(Kept::read(bytes)?.record)
    }

    fn may_move(&self) -> bool {
        !self.plan.storing.on_change.is_resume()
    }

    fn moved(&self, unit: &Bytes) -> Result<Option<Moved>, BoxError> {
        self.plan.moved(&self.step().name, Kept::read(unit)?)
    }

    fn edited(&self, record: Record, edit: &Edit) -> Result<Record, String> {
        record.edited(edit)
    }

    fn prepare(
        &self,
        record: &mut Record,
        delivery: &Delivery,
    ) -> Result<Prepared<Call>, Box<Failure>> {
        let is_in_order = delivery.key.is_some();
        let (call, goal) = match &self.step().kind {
            StageKind::Pure(_) | StageKind::Own(_) => (Call::Compute, None),
            StageKind::Export(exporter) if exporter.order_key.is_none() || is_in_order => {
                let request = exporter.prepare(record, &delivery.id);
                let request = request.map_err(|failure| exporter.counted(failure))?;
                let goal = Goal {
                    name: Arc::clone(&request.destination),
                    max_in_flight: exporter.max_in_flight,
                    circuit: exporter.circuit,
                };
                (Call::Export(Box::new(request)), Some(goal))
            }
            StageKind::Batch(_) | StageKind::Export(_) | StageKind::Egress(_) => {
                (Call::Pass(self.plan.target(self.at, record)?), None)
            }
        };
        Ok(Prepared { call, goal })
    }

    async fn call(
        &self,
        call: Call,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<Taken, Box<Failure>> {
        match (call, &self.step().kind) {
            (Call::Export(request), StageKind::Export(exporter)) => {
                let (bytes, begun) = (request.load.payload_bytes(), Instant::now());
                let figures = self.plan.figures();
                let to = figures.exported(&self.step().name, &request.destination);
                let sent = exporter.send(*request, &self.connections, now).await;
                match &sent {
                    Ok(_) => to.sent(bytes, begun.elapsed()),
                    Err(failure) => {
                        to.failed();
                        figures.failed(&self.step().name, failure);
                    }
                }
                match sent {
                    Ok(sent) => sent.apply_to(record),
                    Err(failure) if exporter.on_failure == OnFailure::Continue => {
                        let (code, message) = (&failure.code, &failure.message);
                        tracing::warn!(code, message, "a record could not be sent; it goes on");
                    }
                    Err(failure) => return Err(exporter.counted(failure)),
                }
                Ok(Taken::Next)
            }
            (Call::Pass(address), _) => Ok(Taken::Passed(address)),
            (Call::Compute, kind) => match kind.computes() {
                Some(stage) => computed(stage, record),
                None => Err(no_such_attempt()),
            },
            (Call::Export(_), _) => Err(no_such_attempt()),
        }
    }

    fn undelivered(
        &self,
        context: &mut Context,
        record: &mut Record,
        undelivered: &Undelivered<'_>,
    ) {
        self.plan.answer_undelivered(context, record, undelivered);
    }

    fn follow(&self, context: &mut Context, record: Record, taken: Taken) -> Result<(), BoxError> {
        match taken {
            // Whatever the stage is now, the next one got this record when this copy was made.
            Taken::Next | Taken::Done
                if record.extras().is_some_and(|extras| extras.is_isolated) =>
            {
                Ok(())
            }
            Taken::Next => self.plan.advance(context, self.at + 1, record),
            Taken::Done => self.plan.end(context, record),
            Taken::Passed(address) => {
                context.send(MessageBuilder::to(address).value_as(&RECORD, record)?);
                Ok(())
            }
        }
    }
}

fn computed(stage: &dyn Stage, record: &mut Record) -> Result<Taken, Box<Failure>> {
    let most = MAX_BYTES.max(record.payload().len());
    match apply_bounded(stage, record, most) {
        Answer::Continue => Ok(Taken::Next),
        Answer::Stop => Ok(Taken::Done),
        Answer::Fail(failure) => Err(Box::new(failure)),
    }
}

fn no_such_attempt() -> Box<Failure> {
    let text = "the stage does not make such attempts";
    Box::new(Failure::permanent("stage_error", text))
}
