//! The head of a lane: the one delivery of its key that may be attempted, until it leaves.

use serde::{Deserialize, Serialize};

/// One delivery in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneEntry {
    /// The delivery's id.
    pub id: String,
    /// The number that its turn carries: see [`Effect::Join`](crate::delivery::engine::Effect::Join).
    pub seq: u64,
}

/// The delivery at the head of a lane: it has the turn. The others are in a queue, from which the owner takes the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneHead {
    turn: Option<LaneEntry>,
}

impl LaneHead {
    /// A lane with this delivery at its head.
    pub const fn stored(turn: Option<LaneEntry>) -> Self {
        Self { turn }
    }

    /// The delivery at the head; `None` when the lane is empty, or while the next one is being fetched.
    pub const fn turn(&self) -> Option<&LaneEntry> {
        self.turn.as_ref()
    }

    /// Removes a delivery that leaves. True when it was at the head, so that the next one is due. One that leaves from further back is
    /// not searched for: it passes its turn on when it gets it, by [`Action::PassTurn`](super::Action::PassTurn).
    ///
    /// `seq` names the turn that is given back; 0 when the delivery had only one.
    pub fn leave(&mut self, id: &str, seq: u64) -> bool {
        let ends = self
            .turn
            .as_ref()
            .is_some_and(|turn| turn.id == id && (seq == 0 || seq == turn.seq));
        if ends {
            self.turn = None;
        }
        ends
    }

    /// Puts the next delivery at the head.
    pub fn give(&mut self, next: Option<LaneEntry>) {
        self.turn = next;
    }
}
