//! The function of events: it keeps each event at an address of its own, and makes its jobs.

use std::sync::Arc;

use super::event::{ACCEPTED, Accepted, EVENT, Event, NEW_EVENT, NewEvent};
use super::follow_up::{ENDED, Ended, GONE, Gone};
use super::job_function::{SUBMISSION, dropped};
use super::plan::{Plan, Planned, Refusal, Wishes};
use crate::clock::Clock;
use crate::sdk::{BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunction};

/// Function `<namespace>/events`, id = the event's id.
struct EventFunction {
    plan: Arc<Plan>,
    clock: Arc<dyn Clock>,
}

/// Why there are no jobs of a new event.
enum NotAccepted {
    /// It is told to the sender; nothing is stored.
    Refused(Refusal),
    /// The message stays, and is handled again.
    Failed(BoxError),
}

impl From<Refusal> for NotAccepted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<BoxError> for NotAccepted {
    fn from(err: BoxError) -> Self {
        Self::Failed(err)
    }
}

pub(super) fn spec(plan: &Arc<Plan>, clock: Arc<dyn Clock>) -> FunctionSpec {
    let function = EventFunction {
        plan: Arc::clone(plan),
        clock,
    };
    FunctionSpec::new(plan.events.clone(), function).value(EVENT)
}

impl StatefulFunction for EventFunction {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        if message.is(&NEW_EVENT) || message.value_type_name() == crate::sdk::types::UNTYPED_JSON {
            self.submit(context, &message)
        } else if message.is(&ENDED) {
            self.ended(context, &message.require(&ENDED)?)
        } else if message.is(&GONE) {
            gone(context, &message.require(&GONE)?)
        } else {
            dropped(context, &message);
            Ok(())
        }
    }
}

impl EventFunction {
    fn submit(&self, context: &mut Context, message: &Message) -> Result<(), BoxError> {
        let accepted = match message.require(&NEW_EVENT) {
            Ok(event) => self.accept(context, event),
            Err(err) => Err(Refusal::invalid(err.to_string()).into()),
        };
        let id = context.address().id().to_owned();
        let answer = match accepted {
            Ok(jobs) => Accepted {
                id,
                jobs,
                refused: None,
            },
            // Without a caller nobody would hear of it: the message stays, and the failure is shown.
            Err(NotAccepted::Refused(refusal)) if context.caller().is_none() => {
                return Err(refusal.into());
            }
            Err(NotAccepted::Failed(err)) => return Err(err),
            Err(NotAccepted::Refused(refusal)) => Accepted {
                id,
                jobs: Vec::new(),
                refused: Some(refusal),
            },
        };
        context.reply_as(&ACCEPTED, answer)?;
        Ok(())
    }

    /// The jobs of a new event, or why it is refused; nothing is stored then.
    fn accept(
        &self,
        context: &mut Context,
        new: NewEvent,
    ) -> Result<Vec<super::JobRef>, NotAccepted> {
        if let Some(known) = context.storage().get(&EVENT).map_err(BoxError::from)? {
            if new.idempotent {
                let is_first = |job: &super::JobRef| job.parent_job_id.is_none();
                return Ok(known.jobs.into_iter().filter(is_first).collect());
            }
            let text = format!("there is an event {} already", known.id);
            return Err(Refusal::new("event.exists", text).into());
        }
        let own = context.address().id();
        if let Some(id) = new.id.as_ref().filter(|id| *id != own) {
            let text = format!("the event has the id {id}, but was sent to {own}");
            return Err(Refusal::new("event.bad_id", text).into());
        }
        let now = self.clock.now();
        let wishes = Wishes {
            targets: new.targets.clone(),
            key: new.key.clone(),
            due: new.due,
        };
        let mut event = new.received(context.address().id(), now);
        let planned = self.plan.jobs_of(&event, &wishes, now)?;
        send(context, &mut event, planned)?;
        let jobs = event.jobs.clone();
        // Without jobs there is nothing to keep: nothing would ever remove it.
        if !jobs.is_empty() {
            context
                .storage()
                .set(&EVENT, event)
                .map_err(BoxError::from)?;
        }
        Ok(jobs)
    }

    fn ended(&self, context: &mut Context, ended: &Ended) -> Result<(), BoxError> {
        let Some(mut event) = context.storage().get(&EVENT)? else {
            let (address, job) = (context.address(), &ended.job);
            tracing::warn!(%address, job, "the event of a job is gone; no jobs follow from its outcome");
            return Ok(());
        };
        let planned = self.plan.jobs_after(&event, ended, self.clock.now());
        let is_known = |planned: &Planned| event.jobs.iter().any(|job| job.id == planned.job.id);
        let planned: Vec<_> = planned.into_iter().filter(|one| !is_known(one)).collect();
        if planned.is_empty() {
            return Ok(());
        }
        send(context, &mut event, planned)?;
        Ok(context.storage().set(&EVENT, event)?)
    }
}

/// Submits jobs of an event.
fn send(context: &mut Context, event: &mut Event, planned: Vec<Planned>) -> Result<(), BoxError> {
    for Planned { job, to, record } in planned {
        context.send(MessageBuilder::to(to).value_as(&SUBMISSION, record)?);
        event.jobs.push(job);
    }
    Ok(())
}

/// Removes a job that is gone from its event, and the event after its last one.
fn gone(context: &mut Context, gone: &Gone) -> Result<(), BoxError> {
    let Some(mut event) = context.storage().get(&EVENT)? else {
        return Ok(());
    };
    event.jobs.retain(|job| job.id != gone.job);
    match event.jobs.is_empty() {
        true => Ok(context.storage().remove(&EVENT)?),
        false => Ok(context.storage().set(&EVENT, event)?),
    }
}
