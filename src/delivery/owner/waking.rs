//! How many of the items that wait for a destination may be attempted at once. Pure.
//!
//! A success wakes one item. As long as woken items are delivered, more and more are woken at once, up to a limit; a failure ends this. While
//! nothing is known, one item at a time is attempted as a probe.

use std::time::Duration;

use super::breaker::probe_after;
use super::wire::{Reported, WaitingItem};
use crate::time::Timestamp;

/// Maximum woken items at a time.
pub(super) const MAX_WINDOW: u32 = 256;
/// Woken items that have not answered within this time never will.
const FORGET_AFTER: Duration = Duration::from_secs(300);
/// The default interval of probes.
const ASK_EVERY: u64 = 1_000;

/// The state of waking.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Waking {
    /// How many items may be woken at the same time.
    #[prost(uint32, tag = "1")]
    pub(super) window: u32,
    /// How many are woken and have not answered.
    #[prost(uint32, tag = "2")]
    pub(super) out: u32,
    /// One failed: no further item is woken until all woken ones have answered.
    #[prost(bool, tag = "3")]
    is_ending: bool,
    /// One was delivered after the last failure.
    #[prost(bool, tag = "4")]
    has_hope: bool,
    /// When an item was last woken.
    #[prost(uint64, tag = "5")]
    woken_at: u64,
    // 6 to 10: the bounds of the list of an earlier version.
    #[prost(uint64, tag = "6")]
    pub(super) old_taken: u64,
    #[prost(uint64, tag = "7")]
    pub(super) old_first_page: u64,
    #[prost(uint64, tag = "8")]
    pub(super) old_next_page: u64,
    #[prost(bool, tag = "9")]
    pub(super) old_is_fetching: bool,
    #[prost(uint64, tag = "10")]
    pub(super) old_back_items: u64,
    /// Items that were woken and wait as before: the first to be woken next.
    #[prost(message, repeated, tag = "11")]
    pub(super) returned: Vec<WaitingItem>,
    /// The interval of probes, in milliseconds.
    #[prost(uint64, tag = "12")]
    ask_every: u64,
    /// The number of the last armed probe.
    #[prost(uint64, tag = "13")]
    pub(super) probe: u64,
    /// That probe is pending.
    #[prost(bool, tag = "14")]
    pub(super) is_armed: bool,
    /// There has been no sign since the last probe that the destination works.
    #[prost(bool, tag = "15")]
    pub(super) is_probing: bool,
    /// When the last item of the list expires, in milliseconds; 0: never.
    #[prost(uint64, tag = "16")]
    pub(super) last_expires: u64,
    /// The number of items on the list without a timer.
    #[prost(uint64, tag = "17")]
    pub(super) held: u64,
    /// Since when probes are unanswered, in milliseconds; 0 if they are not.
    #[prost(uint64, tag = "18")]
    silent_since: u64,
}

impl Waking {
    /// Records a report. `item` is the woken item that sent it, if any.
    pub(super) fn hear(&mut self, reported: Reported, item: Option<WaitingItem>, now: Timestamp) {
        match reported {
            Reported::Works => {
                self.is_probing = false;
                self.is_answered();
                self.forget(now);
                self.window = self.window.max(1);
                return;
            }
            Reported::WokenArrived => {
                (self.has_hope, self.is_probing) = (true, false);
                self.is_answered();
                self.window = (self.window + 1).min(MAX_WINDOW);
            }
            Reported::WokenFailed => (self.is_ending, self.has_hope) = (true, false),
            Reported::WokenWaits => {
                (self.is_ending, self.has_hope) = (true, false);
                self.returned.extend(item);
            }
            Reported::WokenGone => {}
        }
        self.out = self.out.saturating_sub(1);
        if self.is_ending && self.out == 0 {
            self.is_ending = false;
            self.window = u32::from(self.has_hope);
        }
    }

    /// A probe is due: one item may be woken as a probe.
    pub(super) fn probe(&mut self, now: Timestamp) {
        self.is_armed = false;
        self.forget(now);
        if self.out == 0 {
            (self.window, self.is_probing) = (1, true);
        }
        if self.silent_since == 0 {
            self.silent_since = now.as_millis();
        }
    }

    /// The destination has answered: probes are frequent again.
    pub(super) const fn is_answered(&mut self) {
        self.silent_since = 0;
    }

    fn forget(&mut self, now: Timestamp) {
        if now.since(Timestamp::from_millis(self.woken_at)) > FORGET_AFTER {
            (self.out, self.is_ending) = (0, false);
        }
    }

    /// Whether another item, which expires at `expires`, may be woken or has expired.
    pub(super) fn may_wake(&self, expires: u64, now: Timestamp) -> bool {
        let is_over = expires != 0 && expires <= now.as_millis();
        let in_window = !self.is_ending && self.out < self.window;
        in_window || (is_over && self.out < MAX_WINDOW)
    }

    pub(super) fn woke(&mut self, now: Timestamp) {
        self.out += 1;
        self.woken_at = now.as_millis();
    }

    /// Records the probe interval of a waiting item: the shortest is used.
    pub(super) fn ask_every(&mut self, millis: u64) {
        let known = [self.ask_every, millis].into_iter().filter(|ms| *ms > 0);
        self.ask_every = known.min().unwrap_or(ASK_EVERY);
    }

    /// The wait before the next probe.
    pub(super) fn ask_after(&self, now: Timestamp) -> Duration {
        let every = Duration::from_millis(match self.ask_every {
            0 => ASK_EVERY,
            millis => millis,
        });
        let silent = match self.silent_since {
            0 => Duration::ZERO,
            since => now.since(Timestamp::from_millis(since)),
        };
        probe_after(every, silent)
    }

    /// Whether items wait that need probes.
    pub(super) const fn must_ask(&self) -> bool {
        self.held > 0 || !self.returned.is_empty()
    }

    /// Whether nothing needs to be stored if no item waits.
    pub(super) const fn rests(&self) -> bool {
        self.out == 0 && self.window == 0 && !self.must_ask() && !self.is_armed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn wake_all(waking: &mut Waking) -> u32 {
        let mut woken = 0;
        while waking.may_wake(0, NOW) {
            waking.woke(NOW);
            woken += 1;
        }
        woken
    }

    #[test]
    fn arrivals_wake_ever_more_up_to_a_bound() {
        let mut waking = Waking::default();
        waking.hear(Reported::Works, None, NOW);
        let mut rounds = Vec::new();
        for _ in 0..10 {
            let woken = wake_all(&mut waking);
            rounds.push(woken);
            (0..woken).for_each(|_| waking.hear(Reported::WokenArrived, None, NOW));
        }
        assert_eq!(rounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 256]);
    }

    #[test]
    fn a_probe_that_fails_ends_the_waking_and_its_item_is_the_next_one() {
        let mut waking = Waking::default();
        waking.probe(NOW);
        assert_eq!(wake_all(&mut waking), 1);
        let item = WaitingItem::new("crm".to_owned(), "a");
        waking.hear(Reported::WokenWaits, Some(item.clone()), NOW);
        assert_eq!(wake_all(&mut waking), 0);
        assert_eq!(waking.returned, [item]);
        waking.probe(NOW);
        assert_eq!(wake_all(&mut waking), 1);
    }

    #[test]
    fn those_whose_time_is_over_are_woken_though_the_destination_is_away() {
        let waking = Waking::default();
        assert!(!waking.may_wake(0, NOW));
        assert!(!waking.may_wake(NOW.as_millis() + 1, NOW));
        assert!(waking.may_wake(NOW.as_millis(), NOW));
    }

    #[test]
    fn a_destination_is_asked_less_often_the_longer_nothing_is_heard_of_it() {
        let mut waking = Waking::default();
        waking.ask_every(1_000);
        let after = |waking: &Waking, secs| waking.ask_after(NOW + Duration::from_secs(secs));
        assert_eq!(after(&waking, 0).as_secs(), 1);
        waking.probe(NOW);
        let waits = [0, 10, 60, 300, 3_000].map(|secs| after(&waking, secs).as_secs());
        assert_eq!(waits, [1, 1, 6, 30, 30]);
        waking.is_answered();
        assert_eq!(after(&waking, 3_000).as_secs(), 1);
    }

    #[test]
    fn items_that_never_answer_are_forgotten() {
        let mut waking = Waking::default();
        waking.probe(NOW);
        assert_eq!(wake_all(&mut waking), 1);
        let later = NOW + FORGET_AFTER + Duration::from_millis(1);
        waking.probe(later);
        assert!(waking.may_wake(0, later));
    }
}
