//! Records that come for the first time: tried at once, and kept if that fails.

use std::time::Duration;

use super::super::item::{HEAD, Item, JOB, Job};
use super::super::outbound::Readiness;
use super::super::record::{Record, WireRecord};
use super::super::wire::Submission;
use super::StageFunction;
use crate::delivery::engine::{Actor, Delivery, Failure, Input, Reason};
use crate::sdk::{BoxError, Context};
use crate::timestamp::Timestamp;

/// A record that is to be kept at this address.
pub(super) struct Handed {
    record: WireRecord,
    /// The lane in which it has a place.
    lane: Option<String>,
    first: First,
    destination: String,
}

/// What happened to a record before it is handed.
enum First {
    Failed {
        failure: Box<Failure>,
        started: Timestamp,
    },
    HeldBack {
        until: Timestamp,
    },
    Queued,
    NoRoom,
}

impl StageFunction {
    /// A record that comes for the first time: tried at once, and kept if that fails.
    pub(super) async fn arrive(
        &self,
        context: &mut Context,
        mut record: Record,
    ) -> Result<(), BoxError> {
        if context.storage().get(&HEAD)?.is_some() {
            tracing::debug!(address = %context.address(), "the record is here already; ignored");
            return Ok(());
        }
        let started = self.plan.now();
        let (readiness, destination) = self.ready(&mut record, context.address().id(), None).await;
        let first = match readiness {
            Readiness::Later(until) => First::HeldBack { until },
            ready => match self
                .attempt(context, ready, &mut record, destination.as_ref())
                .await?
            {
                Ok(next) => {
                    self.plan
                        .report_success(context, destination.as_ref(), self.policy.wake)?;
                    return self.go_on(context, next, record);
                }
                Err(failure) => First::Failed { failure, started },
            },
        };
        let handed = Handed {
            record: record.to_wire(),
            lane: None,
            first,
            destination: destination.map_or_else(String::new, |to| to.name.to_string()),
        };
        self.keep(context, handed)
    }

    /// Makes a record a delivery at this address. One that is here already stays as it is.
    pub(super) fn keep(&self, context: &mut Context, handed: Handed) -> Result<(), BoxError> {
        if context.storage().get(&HEAD)?.is_some() {
            tracing::debug!(address = %context.address(), "the record is here already; ignored");
            return Ok(());
        }
        let now = self.plan.now();
        let id = context.address().id().to_owned();
        let target = match handed.destination.as_str() {
            "" => self.step().function.to_string(),
            destination => destination.to_owned(),
        };
        let has_place = handed.lane.is_some();
        let delivery = Delivery::job(id, target, handed.lane);
        let mut item = Item::new(delivery, has_place, &self.step().lane, &self.policy);
        let inputs = match handed.first {
            First::Failed { failure, started } => vec![Input::SubmitTried {
                started,
                failure: *failure,
            }],
            First::HeldBack { until } => {
                item.head.is_held_back = true;
                // Not now in any case: an attempt would have to be made here.
                let due = Some(until.max(now + Duration::from_millis(1)));
                vec![Input::Submit { due }]
            }
            First::Queued => vec![Input::Submit { due: None }],
            First::NoRoom => {
                let by = Actor::new("pipeline", "no room behind others with this key");
                let reason = Reason::Full;
                vec![Input::Submit { due: None }, Input::Discard { by, reason }]
            }
        };
        for input in inputs {
            item.step(context, input, now)??;
        }
        self.log_kept(context, &item);
        let job = Job {
            record: Some(handed.record),
            pipeline: self.plan.name.clone(),
            stage: self.step().name.clone(),
            version: self.plan.version.as_bytes().to_vec().into(),
            destination: handed.destination,
        };
        self.list(context, &mut item, &job.destination)?;
        context.storage().set(&JOB, job)?;
        item.save(context)
    }
}

impl Handed {
    pub(super) fn read(submission: Submission) -> Result<Self, BoxError> {
        let first = if submission.full {
            First::NoRoom
        } else if let Some(failure) = submission.read_failure()? {
            let started = Timestamp::from_millis(submission.started);
            let failure = Box::new(failure);
            First::Failed { failure, started }
        } else if let Some(until) = submission.due {
            let until = Timestamp::from_millis(until);
            First::HeldBack { until }
        } else if submission.lane.is_some() {
            First::Queued
        } else {
            let until = Timestamp::default();
            First::HeldBack { until }
        };
        Ok(Self {
            record: submission.record.unwrap_or_default(),
            lane: submission.lane,
            first,
            destination: submission.destination,
        })
    }
}
