//! What a commit changes, and what must be true of it.

use stateful_functions::delivery::engine::{
    DeliveryState, Effect, Entry, Follow, Input, Journal, Reason, Transition,
};
use stateful_functions::delivery::owner::{Action, Item, LaneEntry, Woken};

use super::{Host, Message};

impl Host {
    pub(super) fn commit(&mut self, id: &str, item: Item, actions: Vec<Action>) {
        let before = std::mem::replace(&mut self.kept.get_mut(id).unwrap().item, item);
        let requeued = self.append_all(id, before.delivery.seq, before.delivery.state);
        for action in actions {
            match action {
                Action::Engine(effect) => self.apply(id, effect),
                Action::List { expires, is_held } => {
                    let item = &self.kept[id].item;
                    assert_eq!(expires, item.expires(&self.policy));
                    assert!(self.policy.wake && is_held == item.is_listed_held);
                    self.listed.push_back((id.to_owned(), is_held));
                    if is_held && self.random.chance(20) {
                        self.send(id, Input::Watch);
                    }
                }
                Action::Answer(woken) => {
                    self.seen.answers.insert(woken);
                    if woken == Woken::Waits {
                        self.listed.push_front((id.to_owned(), true));
                    }
                }
                Action::PassTurn { seq } => {
                    let (key, id) = (self.key(id), id.to_owned());
                    self.inbox.push_back(Message::Leave { key, id, seq });
                }
                Action::Works => {}
                other => panic!("unknown action {other:?}"),
            }
        }
        let (before, after) = (&before.delivery, &self.kept[id].item.delivery);
        assert!(
            after.spent >= before.spent || requeued,
            "only an actor restarts spent"
        );
        assert!(after.attempt >= before.attempt);
        self.check(id);
    }

    fn apply(&mut self, id: &str, effect: Effect) {
        match effect {
            Effect::Attempt {
                epoch,
                n,
                deadline,
                key,
            } => {
                assert_eq!(key, id);
                assert_eq!(deadline, self.now + self.policy.timeout);
                self.attempt(id, epoch, n);
            }
            Effect::Disarm { token } => self.disarm(id, token),
            Effect::Arm { token, at, arm } => self.arm(id, token, at, arm),
            Effect::Follow(follow) => self.kept.get_mut(id).unwrap().follows[index(follow)] += 1,
            Effect::Advance { position } => self.advance(id, &position),
            Effect::Join { seq } => {
                let (key, id) = (self.key(id), id.to_owned());
                let entry = LaneEntry { id, seq };
                self.inbox.push_back(Message::Join { key, entry });
            }
            Effect::Leave => {
                let (key, id) = (self.key(id), id.to_owned());
                self.inbox.push_back(Message::Leave { key, id, seq: 0 });
            }
            Effect::Count { label, .. } => _ = self.seen.stale.insert(label),
            other => panic!("unknown effect {other:?}"),
        }
    }

    fn key(&self, id: &str) -> String {
        self.kept[id].item.delivery.key.clone().unwrap()
    }

    /// Folds the transitions that came with a commit. True when an actor took the delivery up again.
    fn append_all(&mut self, id: &str, before: u64, was: Option<DeliveryState>) -> bool {
        let entries = self.kept[id].item.history.entries().to_vec();
        let new = entries.into_iter().filter_map(|entry| match entry {
            Entry::One(one) if was.is_none() || one.seq > before => Some(one),
            _ => None,
        });
        let mut requeued = false;
        for transition in new {
            requeued |= transition.reason == Some(Reason::Requeued);
            self.append(id, &transition);
        }
        requeued
    }

    fn append(&mut self, id: &str, t: &Transition) {
        let kept = self.kept.get_mut(id).unwrap();
        assert_eq!(
            t.seq,
            kept.head.state.map_or(0, |_| kept.head.seq + 1),
            "seq is dense"
        );
        assert_eq!(t.state_before, kept.head.state);
        assert!(Some(t.created_at) >= kept.head.last_at, "times go up");
        if t.state_before.is_some_and(DeliveryState::is_terminal) {
            assert_eq!(t.reason, Some(Reason::Requeued));
            assert!(
                t.actor.is_some() && t.note.is_some(),
                "only an actor ends a terminal state"
            );
        }
        let may_fail = matches!(
            t.state_after,
            DeliveryState::Failed | DeliveryState::Unknown | DeliveryState::Discarded
        );
        assert!(t.error.is_none() || may_fail);
        self.seen
            .moves
            .insert((t.state_before, t.state_after, t.reason));
        let spent = kept.head.spent;
        kept.head.apply(t);
        if t.probe {
            assert_eq!(kept.head.spent, spent, "a probe costs nothing");
            self.seen.probes += 1;
        }
    }

    fn attempt(&mut self, id: &str, epoch: u64, n: u32) {
        let (id, boot) = (id.to_owned(), self.boot);
        match self.policy.record {
            Journal::With => {}
            Journal::Before => self.inbox.push_back(Message::Attempt { id, n, boot }),
            Journal::Elsewhere => self.inbox.push_back(Message::Call { id, epoch, n }),
        }
    }

    fn advance(&mut self, id: &str, position: &str) {
        assert_eq!(
            position,
            (self.position + 1).to_string(),
            "batches pass in order, each once"
        );
        let kept = &self.kept[id];
        assert!(kept.accepted > 0 || kept.item.delivery.state == Some(DeliveryState::Discarded));
        self.position += 1;
    }
}

const fn index(follow: Follow) -> usize {
    match follow {
        Follow::Succeeded => 0,
        Follow::Failed => 1,
        Follow::Discarded => 2,
    }
}
