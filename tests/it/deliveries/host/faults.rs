//! Ends of the process, and what comes twice or out of turn.

use stateful_functions::delivery::engine::Readiness;
use stateful_functions::delivery::owner::{Action, Item, Stored, decide};

use super::{Host, KillPoint, Message, is_stale};

impl Host {
    pub(super) fn kill(&mut self, point: KillPoint) -> bool {
        let killed = !self.healthy && self.random.chance(3);
        if killed {
            self.restart(point);
        }
        killed
    }

    /// Another process takes over, with nothing but what was stored.
    pub(crate) fn restart(&mut self, point: KillPoint) {
        self.seen.kills.insert(point);
        self.boot += 1;
        for kept in self.kept.values_mut() {
            kept.item = reloaded(&kept.item);
        }
    }

    /// The destination wakes the first waiting item. False if none waits.
    pub(crate) fn wake_next(&mut self, probe: bool) -> bool {
        let Some((id, _)) = self.listed.pop_front() else {
            return false;
        };
        self.inbox.push_back(Message::Wake { id, probe });
        true
    }

    /// Something that is over comes once more: a timer that was cancelled as it fired, an answer sent twice.
    pub(crate) fn repeat_one(&mut self) {
        let Some(at) = self.random_index(self.past.len()) else {
            return;
        };
        let (id, input) = self.past[at].clone();
        let mut item = self.kept[&id].item.clone();
        let ready = Readiness::Ready;
        let actions = decide(&mut item, input.clone(), ready, self.now, &self.policy).unwrap();
        let passes_on = |action: &Action| matches!(action, Action::PassTurn { .. });
        assert!(
            is_stale(&actions) || actions.iter().all(passes_on),
            "{input:?} had an effect: {actions:?}"
        );
        assert_eq!(item, self.kept[&id].item);
    }
}

/// The item after its way through the row that is stored.
fn reloaded(item: &Item) -> Item {
    let row = Stored::new(item.clone(), None).encode();
    let loaded = Stored::decode(row.into()).unwrap().item;
    assert_eq!(&loaded, item);
    loaded
}
