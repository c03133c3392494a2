//! What export stages and their lanes do alike: make a request, wait for a permit, send, and take note of how it went.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::gate::{Admission, Gate, Sign};
use super::plan::Plan;
use super::record::Record;
use super::stages::{Exporter, Prepared, Sent};
use super::wire::{REPORT, Report, Reported};
use crate::delivery::engine::{Class, Classes, Failure, Retry};
use crate::sdk::{Address, BoxError, Context, MessageBuilder};
use crate::timestamp::Timestamp;

/// Where an attempt goes, and what is known of that destination.
pub(crate) struct Destination {
    pub(crate) name: Arc<str>,
    pub(crate) gate: Arc<Gate>,
}

/// Whether an attempt can be made now.
#[expect(clippy::large_enum_variant, reason = "the large one is the common one")]
pub(crate) enum Readiness<'a> {
    /// With this request and the permit for it.
    Export {
        exporter: &'a Exporter,
        prepared: Prepared,
        permit: OwnedSemaphorePermit,
    },
    /// By the stage itself, which only computes or passes the record on to where it is taken.
    Compute,
    /// Never for this record.
    Unfit(Box<Failure>),
    /// The destination takes no requests before this time.
    Later(Timestamp),
}

impl Plan {
    /// Makes the request and waits for a permit.
    pub(crate) async fn prepare<'a>(
        &self,
        exporter: &'a Exporter,
        record: &mut Record,
        item: &str,
    ) -> (Readiness<'a>, Option<Destination>) {
        let prepared = match exporter.prepare(record, item) {
            Ok(prepared) => prepared,
            Err(failure) => return (Readiness::Unfit(failure), None),
        };
        let destination = Destination {
            name: Arc::clone(&prepared.destination),
            gate: self.gates.of(&prepared.destination, exporter.max_in_flight),
        };
        let policy = &exporter.policy;
        let admission = destination
            .gate
            .admit(self.now(), policy.timeout, longest_wait(&policy.retry))
            .await;
        let readiness = match admission {
            Admission::Granted(permit) => Readiness::Export {
                exporter,
                prepared,
                permit,
            },
            Admission::Later(at) => Readiness::Later(at),
        };
        (readiness, Some(destination))
    }

    /// Sends the request.
    pub(crate) async fn send_out(
        &self,
        exporter: &Exporter,
        prepared: Prepared,
        destination: Option<&Destination>,
    ) -> Result<Sent, Box<Failure>> {
        let sent = exporter.send(prepared, self.now()).await;
        let sign = match &sent {
            Ok(_) => Sign::Works,
            Err(failure) => sign_of(failure),
        };
        if let Some(Destination { name, gate }) = destination
            && gate.note(sign, self.now(), exporter.circuit)
        {
            match sign {
                Sign::Fails => {
                    tracing::warn!(destination = %name, "destination keeps failing; records wait untried");
                }
                Sign::Works => tracing::info!(destination = %name, "destination works again"),
            }
        }
        sent
    }
}

impl Plan {
    /// Lets what waits for the destination know that it works, not more often than once a second.
    pub(crate) fn report_success(
        &self,
        context: &mut Context,
        destination: Option<&Destination>,
        wake: bool,
    ) -> Result<(), BoxError> {
        match destination {
            Some(to) if wake && to.gate.may_report(self.now()) => {
                let to = Address::new(self.destination.clone(), Arc::clone(&to.name));
                report(context, to, Reported::Works)
            }
            _ => Ok(()),
        }
    }
}

/// Tells a destination's address something.
pub(crate) fn report(
    context: &mut Context,
    to: Address,
    reported: Reported,
) -> Result<(), BoxError> {
    let report = Report {
        reported: reported.into(),
    };
    context.send(MessageBuilder::to(to).value_as(&REPORT, &report)?);
    Ok(())
}

/// What a failure says of the destination: an answer that blames the record shows that the destination works.
fn sign_of(failure: &Failure) -> Sign {
    let blames_record = match failure.detail.status_code {
        Some(status) => Classes::Default.of_status(status) == Some(Class::Permanent),
        None => failure.class == Class::Permanent,
    };
    if blames_record {
        Sign::Works
    } else {
        Sign::Fails
    }
}

/// What is held back comes back within the time that a policy lets pass between two attempts.
fn longest_wait(retry: &Retry) -> Duration {
    match retry {
        Retry::Backoff { max, .. } => *max,
        Retry::Every(gap) => *gap,
        _ => Duration::from_secs(60),
    }
}
