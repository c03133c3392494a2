use super::{Delivery, DeliveryState, Folded, Reason, Transition};
use crate::time::Timestamp;

/// The state of a delivery, derived from its transitions: a part of [`Delivery`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// The state; `None` before the first transition.
    pub state: Option<DeliveryState>,
    /// The number of the last transition.
    pub seq: u64,
    /// Attempts started.
    pub attempt: u32,
    /// Failed attempts that count against the limit.
    pub spent: u32,
    /// When the wait ends.
    pub due: Option<Timestamp>,
    /// Why it waits (while executing: why it waited before), or why it was given up.
    pub reason: Option<Reason>,
    /// When it was submitted or last requeued.
    pub submitted_at: Option<Timestamp>,
    /// When the first attempt since then began.
    pub first_at: Option<Timestamp>,
    /// When the last transition was.
    pub last_at: Option<Timestamp>,
    /// Attempts in a row that ended with their process.
    pub interruptions: u32,
}

/// This many attempts in a row may end with their process before further ones count against the limit.
pub(super) const FREE_INTERRUPTIONS: u32 = 5;

/// The code of the error of an attempt that ended with its process.
pub(super) const INTERRUPTED: &str = "interrupted";

impl Head {
    /// Applies one transition.
    pub fn apply(&mut self, transition: &Transition) {
        let at = transition.created_at;
        match transition.state_after {
            DeliveryState::Acknowledged => self.submitted_at = Some(at),
            DeliveryState::Executing => _ = self.first_at.get_or_insert(at),
            DeliveryState::Failed | DeliveryState::Unknown if transition.probe => {
                self.interruptions = 0
            }
            DeliveryState::Failed => self.spend(),
            DeliveryState::Unknown
                if transition
                    .error
                    .as_ref()
                    .is_some_and(|e| e.code == INTERRUPTED) =>
            {
                self.interruptions += 1;
                self.spent += u32::from(self.interruptions > FREE_INTERRUPTIONS);
            }
            DeliveryState::Unknown => self.spend(),
            DeliveryState::Discarded
                if transition.state_before == Some(DeliveryState::Executing) =>
            {
                self.spend()
            }
            DeliveryState::Succeeded | DeliveryState::Discarded | DeliveryState::Cancelled => {
                self.interruptions = 0
            }
            DeliveryState::Awaiting if transition.reason == Some(Reason::Requeued) => {
                (self.spent, self.interruptions) = (0, 0);
                (self.submitted_at, self.first_at) = (Some(at), None);
            }
            DeliveryState::Awaiting => {}
        }
        if !matches!(
            transition.state_after,
            DeliveryState::Executing | DeliveryState::Failed | DeliveryState::Unknown
        ) {
            self.reason = transition.reason;
        }
        self.state = Some(transition.state_after);
        (self.seq, self.attempt) = (transition.seq, transition.attempt);
        (self.due, self.last_at) = (transition.due, Some(at));
    }

    /// Applies several folded rounds.
    pub(super) fn apply_folded(&mut self, folded: &Folded) {
        self.first_at.get_or_insert(folded.first_at);
        self.spent += folded.spent;
        self.interruptions = folded.interruptions;
        self.state = Some(DeliveryState::Awaiting);
        self.reason = Some(folded.reason);
        (self.seq, self.attempt) = (folded.to_seq, folded.attempt);
        (self.due, self.last_at) = (folded.due, Some(folded.last_at));
    }

    fn spend(&mut self) {
        self.spent += 1;
        self.interruptions = 0;
    }
}

impl From<&Delivery> for Head {
    fn from(delivery: &Delivery) -> Self {
        Self {
            state: delivery.state,
            seq: delivery.seq,
            attempt: delivery.attempt,
            spent: delivery.spent,
            due: delivery.due,
            reason: delivery.reason,
            submitted_at: delivery.submitted_at,
            first_at: delivery.first_at,
            last_at: delivery.last_at,
            interruptions: delivery.interruptions,
        }
    }
}
