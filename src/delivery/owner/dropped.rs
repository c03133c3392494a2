//! Units that are dropped, because their owner keeps none: they are logged and counted.

use super::super::engine::{DeliveryState, Effect, Reason};
use super::attempt::Ran;
use super::decide::Action;
use super::function::Owner;
use super::item::Item;
use super::kept::{Kept, erase};
use super::target::Target;
use super::wire::LEAVE;
use crate::sdk::{BoxError, Context};

/// The reason in the counts of a unit that would have waited for another attempt.
const STORE_DISABLED: &str = "store_disabled";

impl<T: Target> Owner<T> {
    /// Whether the unit is dropped: the owner keeps none, and its first attempt, or what came before it, has failed. One that was kept before stays, and so does
    /// one that has not been attempted yet.
    pub(super) fn drops(&self, kept: &Kept) -> bool {
        kept.attempts_before == 0 && self.drops_new(&kept.item)
    }

    /// As [`drops`](Self::drops), for a unit that was not kept before.
    pub(super) fn drops_new(&self, item: &Item) -> bool {
        if self.is_storing {
            return false;
        }
        let delivery = &item.delivery;
        match (delivery.state, delivery.reason) {
            (Some(DeliveryState::Discarded), reason) => reason != Some(Reason::Operator),
            (Some(DeliveryState::Awaiting), _) => delivery.attempt > 0,
            _ => false,
        }
    }

    pub(super) fn drop_unit(
        &self,
        context: &mut Context,
        kept: &Kept,
        ran: Ran<T>,
    ) -> Result<(), BoxError> {
        let delivery = &kept.item.delivery;
        let given_up = delivery.reason.filter(|reason| reason.is_give_up());
        let reason = given_up.map_or(STORE_DISABLED, Reason::as_str);
        let has_left = ran.actions.contains(&Action::Engine(Effect::Leave));
        for action in ran.actions {
            // What it would do as a kept one, it does not do.
            let is_of_kept = matches!(
                action,
                Action::Engine(Effect::Arm { .. } | Effect::Join { .. }) | Action::List { .. }
            );
            if !is_of_kept {
                self.apply(context, &kept.item, action, ran.way.as_ref())?;
            }
        }
        if !has_left && (delivery.in_lane || given_up.is_some()) {
            self.tell_lane(context, &kept.item, &LEAVE, 0)?;
        }
        let error = kept.item.history.last_error();
        let (code, error) = error.map_or(("", ""), |error| (&*error.code, &*error.message));
        tracing::error!(address = %context.address(), reason, code, error, "store and forward is off: what could not be delivered is dropped");
        self.registry.unit_dropped(reason);
        erase(context)
    }
}
