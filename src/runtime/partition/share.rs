//! Which exports a partition makes itself, and which the application's threads make.
//!
//! An export that follows an arrival is cheapest on the thread of its partition, while the application's threads are busy with the connections of
//! callers. When a backlog is delivered, nobody calls: those threads are idle, and the one of the partition would do everything.

/// Exports of which the share of arrivals is taken.
const WINDOW: u32 = 256;
/// A backlog is delivered if there were fewer arrivals than this in a window.
const FEW_ARRIVALS: u32 = WINDOW / 4;
/// With fewer calls in progress waking another thread costs more than it saves.
const MANY_CALLS: usize = 16;

/// Decides by the arrivals among the latest exports.
#[derive(Debug, Default)]
pub(super) struct Share {
    exports: u32,
    arrivals: u32,
    is_backlog: bool,
}

impl Share {
    /// A caller has sent something.
    pub(super) const fn arrived(&mut self) {
        self.arrivals = self.arrivals.saturating_add(1);
    }

    /// Called for each export: whether it is handed on to the application's threads, with this many calls in progress.
    pub(super) const fn hands_on(&mut self, in_flight: usize) -> bool {
        self.exports += 1;
        if self.exports == WINDOW {
            self.is_backlog = self.arrivals < FEW_ARRIVALS;
            (self.exports, self.arrivals) = (0, 0);
        }
        self.is_backlog && in_flight >= MANY_CALLS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_of_a_backlog_are_handed_on_and_those_that_follow_arrivals_are_not() {
        let mut share = Share::default();
        let handed_on = |share: &mut Share, in_flight| {
            (0..WINDOW).filter(|_| share.hands_on(in_flight)).count()
        };
        assert_eq!(
            handed_on(&mut share, MANY_CALLS),
            1,
            "at the end of a window"
        );
        assert_eq!(handed_on(&mut share, MANY_CALLS), WINDOW as usize);
        assert_eq!(handed_on(&mut share, MANY_CALLS - 1), 0);
        for _ in 0..FEW_ARRIVALS {
            share.arrived();
        }
        assert_eq!(handed_on(&mut share, MANY_CALLS), WINDOW as usize - 1);
        assert_eq!(handed_on(&mut share, MANY_CALLS), 1, "no arrivals since");
    }
}
