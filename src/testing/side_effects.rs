//! What one message made a function do, as values to compare with.

use std::time::Duration;

use bytes::Bytes;

use crate::protocol::reqreply::Address as WireAddress;
use crate::protocol::reqreply::from_function::{
    DelayedInvocation, EgressMessage as WireEgress, InvocationResponse,
};
use crate::sdk::{
    Address, BoxError, CancellationToken, EgressMessage, Message, TypeName, TypedBytes,
};

/// The effects of one message, each kind in call order. State is in the [`TestContext`](super::TestContext).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SideEffects {
    /// Sent at once.
    pub messages: Vec<Message>,
    /// Sent with a delay, without those that the function cancelled itself.
    pub delayed: Vec<DelayedMessage>,
    /// All cancellations, whether or not something was pending.
    pub cancelled: Vec<CancellationToken>,
    /// Sent to egresses.
    pub egress: Vec<EgressMessage>,
}

/// A message with a delay.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DelayedMessage {
    /// The delay.
    pub delay: Duration,
    /// What it can be cancelled with.
    pub token: Option<CancellationToken>,
    /// The message.
    pub message: Message,
}

/// An entry of the list that delayed messages and cancellations share; their order matters.
#[derive(Debug, Clone)]
pub(super) enum Scheduled {
    Arm(DelayedMessage),
    Cancel(CancellationToken),
}

impl SideEffects {
    /// The effects in a reply, and once more its delayed messages and cancellations in their order.
    pub(super) fn read(reply: InvocationResponse) -> Result<(Self, Vec<Scheduled>), BoxError> {
        let mut effects = Self::default();
        for sent in reply.outgoing_messages {
            effects.messages.push(message(sent.target, sent.argument)?);
        }
        for sent in reply.outgoing_egresses {
            effects.egress.push(egress(sent)?);
        }
        let mut schedule = Vec::new();
        for entry in reply.delayed_invocations {
            let entry = scheduled(entry)?;
            match &entry {
                Scheduled::Arm(delayed) => effects.delayed.push(delayed.clone()),
                Scheduled::Cancel(token) => {
                    effects
                        .delayed
                        .retain(|delayed| delayed.token.as_ref() != Some(token));
                    effects.cancelled.push(token.clone());
                }
            }
            schedule.push(entry);
        }
        Ok((effects, schedule))
    }
}

fn message(target: Option<WireAddress>, argument: Option<Bytes>) -> Result<Message, BoxError> {
    let target = target.unwrap_or_default();
    let address = Address::from_wire(&target.namespace, &target.r#type, &target.id);
    Ok(Message::new(
        address,
        TypedBytes::parse(argument.unwrap_or_default())?,
    ))
}

fn egress(sent: WireEgress) -> Result<EgressMessage, BoxError> {
    let egress = TypeName::from_wire(&sent.egress_namespace, &sent.egress_type);
    let typed = TypedBytes::parse(sent.argument.unwrap_or_default())?;
    Ok(EgressMessage::new(egress, typed))
}

fn scheduled(entry: DelayedInvocation) -> Result<Scheduled, BoxError> {
    if entry.is_cancellation_request {
        return Ok(Scheduled::Cancel(CancellationToken::new(
            entry.cancellation_token,
        )?));
    }
    Ok(Scheduled::Arm(DelayedMessage {
        delay: Duration::from_millis(u64::try_from(entry.delay_in_ms)?),
        token: CancellationToken::new(entry.cancellation_token).ok(),
        message: message(entry.target, entry.argument)?,
    }))
}
