//! What waits until a commit is durable: outputs that are seen outside, and calls of functions that act there.

use std::collections::{BTreeSet, VecDeque};

use super::Output;
use super::mailboxes::Slot;
use crate::storage::Position;

/// What waits for the disk.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// In the order of their positions, which is the order in which they come.
    outputs: VecDeque<(Position, Output)>,
    /// Addresses whose first message is in that commit. A message that waited for its turn may be older than the last output.
    starts: BTreeSet<(Position, Slot)>,
}

/// Something that waits no longer.
pub(super) enum Release {
    /// An output.
    Output(Output),
    /// The messages of an address are on disk: its function may be called.
    Start(Slot),
}

impl Held {
    /// Holds an output back. A core makes its commits one after the other, and so its outputs come.
    pub(super) fn output(&mut self, position: Position, output: Output) {
        debug_assert!(
            self.outputs
                .back()
                .is_none_or(|(last, _)| *last <= position),
            "outputs are held in the order of their positions"
        );
        self.outputs.push_back((position, output));
    }

    /// Holds the start of an address back.
    pub(super) fn start(&mut self, position: Position, slot: Slot) {
        let is_new = self.starts.insert((position, slot));
        debug_assert!(is_new, "an address waits for the disk once");
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.outputs.is_empty() && self.starts.is_empty()
    }

    /// The next of what waits for nothing behind `durable`.
    pub(super) fn pop(&mut self, durable: Position) -> Option<Release> {
        let output = self.outputs.front().map(|(position, _)| *position);
        let start = self.starts.first().map(|(position, _)| *position);
        let is_output = match (output, start) {
            (Some(output), Some(start)) => output <= start,
            (output, _) => output.is_some(),
        };
        let next = if is_output { output } else { start };
        if next? > durable {
            return None;
        }
        if is_output {
            self.outputs
                .pop_front()
                .map(|(_, output)| Release::Output(output))
        } else {
            self.starts
                .pop_first()
                .map(|(_, slot)| Release::Start(slot))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_durable_is_released_in_order_though_a_start_came_late() {
        let [one, two, three] = [1, 2, 3]
            .map(|n| (0..n).fold(Position::START, |position: Position, _| position.next()));
        let mut held = Held::default();
        held.output(two, Output::Accepted(2));
        held.output(three, Output::Accepted(3));
        held.start(one, Slot::FIRST);
        assert!(matches!(held.pop(one), Some(Release::Start(_))));
        assert!(held.pop(one).is_none());
        let released = held.pop(two);
        assert!(matches!(
            released,
            Some(Release::Output(Output::Accepted(2)))
        ));
        assert!(held.pop(two).is_none());
    }
}
