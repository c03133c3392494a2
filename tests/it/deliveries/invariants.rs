//! What holds after every commit, whatever came before it.

use bytes::Bytes;
use stateful_functions::delivery::engine::{
    Delivery, Entry, Head, Kind, Lane, Lead, Order, Purpose, Reason, Record, State, Token,
};

use super::host::{Host, Kept};

impl Host {
    pub(super) fn check(&self, id: &str) {
        let kept = &self.kept[id];
        let delivery = &kept.delivery;
        let head = Head::from(delivery);
        assert_eq!(head, kept.head, "I1: the head is the fold of the log");
        assert_eq!(head, kept.history.head(), "I1: also of a folded log");
        assert!(kept.history.entries().len() <= 64);
        assert!(delivery.spent <= delivery.attempt, "I3");
        let rests = !matches!(
            delivery.state,
            Some(State::Acknowledged | State::Failed | State::Unknown)
        );
        assert!(rests, "{:?} never rests", delivery.state);
        assert!(
            delivery.state != Some(State::Discarded) || delivery.reason.is_some(),
            "I13: a reason"
        );
        self.check_order(delivery);
        self.check_timers(delivery);
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
            .map(|kept| &kept.delivery)
            .filter(|d| d.key.as_ref() == Some(key));
        let executing = of_key.filter(|d| d.state == Some(State::Executing)).count();
        assert!(executing <= 1, "I5: one attempt at a time for a key");
        let tries = matches!(delivery.state, Some(State::Executing))
            || delivery.reason == Some(Reason::Retry);
        if tries && !delivery.is_terminal() {
            let turn = self.lanes[key].0.clone();
            let lane = Lane::stored(turn, Default::default());
            assert_eq!(
                lane.turn().unwrap().id,
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
        let timed = !delivery.waits_for_turn() || self.policy.max_age.is_some();
        let purpose = match delivery.state {
            Some(State::Awaiting) if !delivery.paused && timed => {
                Some((Purpose::Retry, delivery.attempt + 1))
            }
            Some(State::Executing) if self.policy.record == Record::Elsewhere => {
                Some((Purpose::Deadline, delivery.attempt))
            }
            _ => None,
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

    fn check_follows(&self, kept: &Kept) {
        let mut outcomes = [0; 3];
        if kept.delivery.kind == Kind::Stream || kept.history.entries().len() > 40 {
            return; // streams have none; folded transitions cannot be counted one by one
        }
        for entry in kept.history.entries() {
            if let Entry::One(t) = entry {
                match t.state_after {
                    State::Succeeded => outcomes[0] += 1,
                    State::Failed => outcomes[1] += 1,
                    State::Discarded => outcomes[2] += 1,
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
            let (delivery, accepted) = (&kept.delivery, kept.accepted);
            assert!(
                delivery.is_terminal(),
                "I13: {id} is left {:?}",
                delivery.state
            );
            assert!(
                delivery.state != Some(State::Succeeded) || accepted > 0,
                "{id} was not delivered"
            );
            assert!(
                accepted <= 1 + kept.excused,
                "I7: {id} was taken {accepted} times"
            );
        }
        for (lead, segments) in self.lanes.values() {
            assert_eq!(lead, &Lead::default(), "a lane is not empty");
            assert!(segments.iter().all(Bytes::is_empty));
        }
    }
}
