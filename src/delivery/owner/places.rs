//! The order of those with one key: the first has its turn and keeps it until it leaves.

use serde::{Deserialize, Serialize};

/// One delivery in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The delivery's id.
    pub id: String,
    /// What its turn repeats: see [`Effect::Join`](crate::delivery::engine::Effect::Join).
    pub seq: u64,
}

/// Whose turn it is in a lane. Those behind stand in a queue, from which the owner takes the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    turn: Option<Place>,
}

impl Places {
    /// The lane with that turn.
    pub const fn stored(turn: Option<Place>) -> Self {
        Self { turn }
    }

    /// Whose turn it is; `None` when nobody is in the lane, or while the next one is being fetched.
    pub const fn turn(&self) -> Option<&Place> {
        self.turn.as_ref()
    }

    /// Whether a leaving ends the turn, so that the next one is due. Places behind the first are not looked for: who leaves there is
    /// found out when the turn comes, by [`Action::PassTurn`](super::Action::PassTurn).
    ///
    /// `seq` is the turn's that is given back, and 0 when whoever leaves had only one.
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

    /// Gives the next one its turn.
    pub fn give(&mut self, next: Option<Place>) {
        self.turn = next;
    }
}
