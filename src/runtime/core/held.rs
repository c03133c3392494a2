//! Work held until a commit is durable: outputs that are visible outside, and calls of functions that act on the outside.

use std::collections::{BTreeSet, VecDeque};

use super::Output;
use super::indices::Slot;
use crate::storage::Position;

/// The work that waits for the disk.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Acknowledgements and answers, in order of position, which is the order of arrival.
    acknowledgements: Outputs,
    /// Other outputs, in the same order.
    others: Outputs,
    /// Addresses whose first message is in that commit. A waiting message may be older than the last output.
    starts: BTreeSet<(Position, Slot)>,
}

type Outputs = VecDeque<(Position, Output)>;

/// Released work.
pub(super) enum Release {
    /// An output.
    Output(Output),
    /// An address whose messages are on disk, so that its function may be called.
    Start(Slot),
}

impl Held {
    /// Holds an output. A core makes its commits one after the other, so its outputs come in order.
    pub(super) fn output(&mut self, position: Position, output: Output) {
        let outputs = match output.is_acknowledgement() {
            true => &mut self.acknowledgements,
            false => &mut self.others,
        };
        debug_assert!(
            outputs.back().is_none_or(|(last, _)| *last <= position),
            "outputs are held in the order of their positions"
        );
        outputs.push_back((position, output));
    }

    /// Holds the start of an address.
    pub(super) fn start(&mut self, position: Position, slot: Slot) {
        let is_new = self.starts.insert((position, slot));
        debug_assert!(is_new, "an address waits for the disk once");
    }

    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.acknowledgements.is_empty() && self.others.is_empty() && self.starts.is_empty()
    }

    /// Drops all held acknowledgements and answers.
    pub(super) fn take_acknowledgements(&mut self) -> impl Iterator<Item = (Position, Output)> {
        self.acknowledgements.drain(..)
    }

    /// The next piece of work that is durable at `durable`.
    pub(super) fn pop(&mut self, durable: Position) -> Option<Release> {
        let front = |outputs: &Outputs| outputs.front().map(|(position, _)| *position);
        let (acknowledgement, other) = (front(&self.acknowledgements), front(&self.others));
        let start = self.starts.first().map(|(position, _)| *position);
        let next = [acknowledgement, other, start]
            .into_iter()
            .flatten()
            .min()?;
        if next > durable {
            return None;
        }
        let outputs = match acknowledgement == Some(next) {
            true => &mut self.acknowledgements,
            false if other == Some(next) => &mut self.others,
            false => {
                let start = self.starts.pop_first();
                return start.map(|(_, slot)| Release::Start(slot));
            }
        };
        let output = outputs.pop_front();
        output.map(|(_, output)| Release::Output(output))
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
