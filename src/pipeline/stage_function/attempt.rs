//! One attempt: what it needs, and what comes of it.

use super::super::outbound::{Destination, Readiness};
use super::super::record::{RECORD, Record};
use super::super::stage::Answer;
use super::super::stages::StageKind;
use super::StageFunction;
use crate::delivery::engine::Failure;
use crate::sdk::{BoxError, Context, MessageBuilder};

/// How a record goes on after an attempt that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Stage,
    Nowhere,
}

impl StageFunction {
    /// What an attempt needs: the request, and a permit from its destination. `key` is that of the lane the delivery is in.
    pub(super) async fn ready(
        &self,
        record: &mut Record,
        item: &str,
        key: Option<&str>,
    ) -> (Readiness<'_>, Option<Destination>) {
        let StageKind::HttpExport(exporter) = &self.step().kind else {
            return (Readiness::Compute, None);
        };
        if exporter.order_key.is_some() && key.is_none() {
            return (Readiness::Compute, None);
        }
        self.plan.prepare(exporter, record, item).await
    }

    /// Makes the attempt. What a record is after it stands in `record`.
    pub(super) async fn attempt(
        &self,
        context: &mut Context,
        readiness: Readiness<'_>,
        record: &mut Record,
        destination: Option<&Destination>,
    ) -> Result<Result<Next, Box<Failure>>, BoxError> {
        match readiness {
            Readiness::Export {
                exporter,
                prepared,
                permit,
            } => {
                let sent = self.plan.send_out(exporter, prepared, destination).await;
                drop(permit);
                Ok(sent.map(|sent| {
                    sent.apply_to(record);
                    Next::Stage
                }))
            }
            Readiness::Compute => self.compute(context, record),
            Readiness::Unfit(failure) => Ok(Err(failure)),
            Readiness::Later(_) => {
                let text = "the destination takes no requests now";
                Ok(Err(Box::new(Failure::retry("busy", text))))
            }
        }
    }

    pub(super) fn compute(
        &self,
        context: &mut Context,
        record: &mut Record,
    ) -> Result<Result<Next, Box<Failure>>, BoxError> {
        if let StageKind::Pure(stage) = &self.step().kind {
            return Ok(match stage.apply(record) {
                Answer::Continue => Ok(Next::Stage),
                Answer::Stop => Ok(Next::Nowhere),
                Answer::Fail(failure) => Err(Box::new(failure)),
            });
        }
        match self.plan.target(self.at, record) {
            Ok(target) => {
                context.send(MessageBuilder::to(target).value_as(&RECORD, record)?);
                Ok(Ok(Next::Nowhere))
            }
            Err(failure) => Ok(Err(failure)),
        }
    }

    pub(super) fn go_on(
        &self,
        context: &mut Context,
        next: Next,
        record: Record,
    ) -> Result<(), BoxError> {
        match next {
            Next::Stage => self.plan.advance(context, self.at + 1, record),
            Next::Nowhere => Ok(()),
        }
    }
}
