//! A destination as what jobs are delivered to.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::answer::with_error;
use super::closure::{self, Deliver};
use super::follow_up::{ENDED, Ended, GONE, Gone};
use super::job::{JOB, Job, values};
use super::plan::Route;
use crate::delivery::Edit;
use crate::delivery::engine::{Delivery, Failure, Follow};
use crate::delivery::owner::{Goal, Prepared, Target};
use crate::pipeline::{Connections, EgressExport, Exporter, KeptRecord, Load, Record};
use crate::sdk::{
    Address, BoxError, Context, EgressMessage, EgressMessageBuilder, Message, MessageBuilder,
    TypeName,
};
use crate::time::Timestamp;

/// What stands for a pipeline in what is kept.
pub(super) const KEPT_AS: &str = "job";

/// How a destination is reached, after its check.
#[derive(Clone)]
pub(super) enum Reach {
    Export(Arc<Exporter>),
    /// An egress that takes records of its own form.
    Records(Arc<EgressExport>),
    Egress(TypeName),
    Function(TypeName),
    Closure(Arc<dyn Deliver>),
}

/// The target of the jobs of one action.
pub(super) struct JobTarget {
    pub(super) route: Arc<Route>,
    pub(super) reach: Reach,
    pub(super) events: TypeName,
    pub(super) keep: Duration,
    pub(super) max_in_flight: NonZeroUsize,
    pub(super) connections: Connections,
    /// The name of the destination, for the limit of attempts in progress.
    pub(super) goal: Arc<str>,
}

/// What an attempt does.
pub(super) enum Call {
    Export(Box<Load>),
    Deliver(Box<Job>),
    /// The message is sent with the commit of the success.
    Send(Box<EgressMessage>),
    /// Another function makes the attempt.
    Ask(Box<Message>),
}

impl JobTarget {
    fn to_event(&self, record: &Record) -> Option<Address> {
        let event = record.value(values::EVENT_ID)?;
        Some(Address::new(self.events.clone(), event))
    }
}

impl Target for JobTarget {
    type Unit = Record;
    type Call = Call;
    type Taken = Option<EgressMessage>;

    fn has_destinations(&self) -> bool {
        matches!(self.reach, Reach::Export(_) | Reach::Closure(_))
    }

    fn encode(&self, record: &Record) -> Bytes {
        KeptRecord::of(record, KEPT_AS, &self.route.destination, 0)
    }

    fn decode(&self, bytes: &Bytes) -> Result<Record, BoxError> {
        Ok(KeptRecord::read(bytes)?.record)
    }

    fn edited(&self, record: Record, edit: &Edit) -> Result<Record, String> {
        record.edited(edit)
    }

    fn prepare(
        &self,
        record: &mut Record,
        delivery: &Delivery,
    ) -> Result<Prepared<Call>, Box<Failure>> {
        if let Some(fault) = record.value(values::FAULT) {
            return Err(Box::new(Failure::permanent("template", fault)));
        }
        let (call, goal) = match &self.reach {
            Reach::Export(exporter) => {
                let load = exporter.prepare(record, &delivery.id)?;
                let goal = Goal {
                    name: Arc::clone(&load.destination),
                    max_in_flight: exporter.max_in_flight,
                    circuit: exporter.circuit,
                };
                (Call::Export(Box::new(load)), Some(goal))
            }
            Reach::Closure(_) => {
                let goal = Goal {
                    name: Arc::clone(&self.goal),
                    max_in_flight: self.max_in_flight,
                    circuit: None,
                };
                let job = Box::new(Job::next(record, delivery));
                (Call::Deliver(job), Some(goal))
            }
            Reach::Records(export) => (Call::Send(Box::new(export.message(record)?)), None),
            Reach::Egress(egress) => {
                let message = EgressMessageBuilder::to(egress.clone());
                let type_name = match record.content_type() {
                    "application/json" => crate::sdk::types::UNTYPED_JSON,
                    _ => "statefun/bytes",
                };
                let message = message.raw(type_name, record.payload());
                (Call::Send(Box::new(message)), None)
            }
            Reach::Function(function) => {
                let to = Address::new(function.clone(), delivery.id.as_str());
                let message = MessageBuilder::to(to).value_as(&JOB, Job::next(record, delivery));
                let message = message
                    .map_err(|err| Box::new(Failure::permanent("encode", err.to_string())))?;
                (Call::Ask(Box::new(message)), None)
            }
        };
        Ok(Prepared { call, goal })
    }

    async fn call(
        &self,
        call: Call,
        _record: &mut Record,
        now: Timestamp,
    ) -> Result<Option<EgressMessage>, Box<Failure>> {
        match (call, &self.reach) {
            (Call::Send(message), _) => Ok(Some(*message)),
            (Call::Export(load), Reach::Export(exporter)) => {
                let sent = exporter.send(*load, &self.connections, now).await;
                sent.map(|_| None)
            }
            (Call::Deliver(job), Reach::Closure(target)) => {
                let delivered = closure::deliver(&**target, *job);
                let limit = self.route.policy.timeout;
                match tokio::time::timeout(limit, delivered).await {
                    Ok(Ok(())) => Ok(None),
                    Ok(Err(failure)) => Err(Box::new(with_error(failure))),
                    Err(_) => {
                        let text = format!("no answer within {limit:?}");
                        Err(Box::new(Failure::retry("timeout", text)))
                    }
                }
            }
            _ => {
                let text = "the destination does not make such attempts";
                Err(Box::new(Failure::permanent("stage_error", text)))
            }
        }
    }

    fn begin(&self, context: &mut Context, call: Call) -> Result<(), BoxError> {
        if let Call::Ask(message) = call {
            context.send(*message);
        }
        Ok(())
    }

    fn keeps_ended(&self) -> Option<Duration> {
        Some(self.keep)
    }

    fn has_follow_ups(&self) -> bool {
        !self.route.follow_ups.is_empty()
    }

    fn ended(
        &self,
        context: &mut Context,
        record: &Record,
        delivery: &Delivery,
        follow: Follow,
    ) -> Result<(), BoxError> {
        let names = match follow {
            Follow::Succeeded => &self.route.follow_ups.succeeded,
            Follow::Failed => &self.route.follow_ups.failed,
            Follow::Discarded => &self.route.follow_ups.discarded,
        };
        let Some(event) = self.to_event(record).filter(|_| !names.is_empty()) else {
            return Ok(());
        };
        let ended = Ended {
            job: delivery.id.clone(),
            destination: self.route.destination.clone(),
            action: self.route.action.clone(),
            follow,
            attempt: delivery.attempt,
        };
        context.send(MessageBuilder::to(event).value_as(&ENDED, ended)?);
        Ok(())
    }

    fn removed(&self, context: &mut Context, record: &Record) -> Result<(), BoxError> {
        if let Some(event) = self.to_event(record) {
            let job = context.address().id().to_owned();
            context.send(MessageBuilder::to(event).value_as(&GONE, Gone { job })?);
        }
        Ok(())
    }

    fn follow(
        &self,
        context: &mut Context,
        _record: Record,
        message: Option<EgressMessage>,
    ) -> Result<(), BoxError> {
        if let Some(message) = message {
            context.send_egress(message);
        }
        Ok(())
    }
}
