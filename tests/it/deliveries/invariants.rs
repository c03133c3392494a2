//! Invariants after every commit.

use stateful_functions::delivery::engine::{
    Delivery, DeliveryKind, DeliveryState, Entry, Head, Journal, Order, Purpose, Reason, Token,
};
use stateful_functions::delivery::owner::Item;

use super::host::{Host, Kept, Message};

impl Host {
    pub(super) fn check(&self, id: &str) {
        let kept = &self.kept[id];
        let (item, delivery) = (&kept.item, &kept.item.delivery);
        let head = Head::from(delivery);
        assert_eq!(head, kept.head, "I1: the head is the fold of the log");
        assert_eq!(head, kept.item.history.head(), "I1: also of a folded log");
        assert!(kept.item.history.entries().len() <= 64);
        assert!(delivery.spent <= delivery.attempt, "I3");
        let rests = !matches!(
            delivery.state,
            Some(DeliveryState::Acknowledged | DeliveryState::Failed | DeliveryState::Unknown)
        );
        assert!(rests, "{:?} never rests", delivery.state);
        assert!(
            delivery.state != Some(DeliveryState::Discarded) || delivery.reason.is_some(),
            "I13: a reason"
        );
        self.check_order(delivery);
        self.check_timers(delivery);
        self.check_waiting(item);
        self.check_follows(kept);
    }

    fn check_order(&self, delivery: &Delivery) {
        let Some(key) = delivery
            .key
            .as_ref()
            .filter(|_| self.policy.order == Order::Key)
        else {
            return;
        };
        let of_key = self
            .kept
            .values()
            .map(|kept| &kept.item.delivery)
            .filter(|d| d.key.as_ref() == Some(key));
        let executing = of_key
            .filter(|d| d.state == Some(DeliveryState::Executing))
            .count();
        assert!(executing <= 1, "I5: one attempt at a time for a key");
        let tries = matches!(delivery.state, Some(DeliveryState::Executing))
            || delivery.reason == Some(Reason::Retry);
        if tries && !delivery.is_terminal() {
            assert_eq!(
                self.lanes[key].0.turn().unwrap().id,
                delivery.id,
                "I5: only the first of the lane is tried"
            );
        }
        assert_eq!(
            delivery.in_lane,
            !delivery.is_terminal() && delivery.state.is_some()
        );
    }

    fn check_timers(&self, delivery: &Delivery) {
        let timed = !delivery.held && (!delivery.waits_for_turn() || self.policy.max_age.is_some());
        let purpose = match delivery.state {
            Some(DeliveryState::Awaiting) if !delivery.paused && timed => {
                Some((Purpose::Retry, delivery.attempt + 1))
            }
            Some(DeliveryState::Executing) if self.policy.record == Journal::Elsewhere => {
                Some((Purpose::Deadline, delivery.attempt))
            }
            _ => None,
        };
        let purpose = match delivery.held {
            // Its destination looks after the end of its time, or has told it to do so itself.
            true => delivery.armed.map(|token| (token.purpose, token.n)),
            false => purpose,
        };
        let expected = purpose.map(|(purpose, n)| Token {
            purpose,
            epoch: delivery.epoch,
            n,
        });
        assert_eq!(delivery.armed, expected, "I8");
        let mut pending = self.timers.values().filter(|timer| timer.id == delivery.id);
        match pending.next() {
            Some(timer) => assert_eq!(Some(timer.token), expected, "I8: no other timer"),
            None => assert!(
                expected.is_none_or(|token| self.fires_in_inbox(&delivery.id, token)),
                "I8"
            ),
        }
        assert!(pending.next().is_none(), "I8: one timer at most");
    }

    /// Whoever has no time of its own is known to the destination, or has just been woken by it.
    fn check_waiting(&self, item: &Item) {
        let id = &item.delivery.id;
        let entries = self.listed.iter().filter(|(listed, _)| listed == id);
        let is_woken = self
            .inbox
            .iter()
            .any(|message| matches!(message, Message::Wake { id: woken, .. } if woken == id));
        let is_out = is_woken || item.is_woken;
        assert!(!item.is_listed || is_out || entries.clone().count() > 0);
        let waits = item.delivery.held && !item.delivery.paused;
        let is_known = entries.clone().any(|(_, is_held)| *is_held);
        assert!(
            !waits || is_known || is_out,
            "I14: nobody would wake {item:?}"
        );
        assert!(entries.count() <= 2, "it is listed once for each reason");
    }

    fn check_follows(&self, kept: &Kept) {
        let mut outcomes = [0; 3];
        if kept.item.delivery.kind == DeliveryKind::Stream || kept.item.history.entries().len() > 40
        {
            return; // streams have none; folded transitions cannot be counted one by one
        }
        for entry in kept.item.history.entries() {
            if let Entry::One(t) = entry {
                match t.state_after {
                    DeliveryState::Succeeded => outcomes[0] += 1,
                    DeliveryState::Failed => outcomes[1] += 1,
                    DeliveryState::Discarded => outcomes[2] += 1,
                    _ => {}
                }
            }
        }
        assert_eq!(
            kept.follows, outcomes,
            "I10: follow-ups once for each outcome"
        );
    }

    /// After everything has come to rest.
    pub(super) fn check_end(&self) {
        assert!(self.timers.is_empty(), "I8: timers are left");
        for (id, kept) in &self.kept {
            let (delivery, accepted) = (&kept.item.delivery, kept.accepted);
            assert!(
                delivery.is_terminal(),
                "I13: {id} is left {:?}",
                delivery.state
            );
            assert!(
                delivery.state != Some(DeliveryState::Succeeded) || accepted > 0,
                "{id} was not delivered"
            );
            assert!(
                accepted <= 1 + kept.excused,
                "I7: {id} was taken {accepted} times"
            );
        }
        for (lane_head, behind) in self.lanes.values() {
            assert!(
                lane_head.turn().is_none() && behind.is_empty(),
                "a lane is not empty"
            );
        }
    }
}
