//! The pending timer. There is at most one: for the end of a wait, or of an attempt that runs elsewhere.

use super::moves::Step;
use super::{Effect, Purpose, Token};
use crate::time::Timestamp;

impl Step<'_> {
    /// Arms the timer that the current wait needs, if any.
    pub(super) fn arm_wait(&mut self) {
        let due = self
            .delivery
            .due
            .filter(|_| !self.delivery.waits_for_turn());
        let at = due.into_iter().chain(self.expiry()).min();
        if let Some(at) = at.filter(|_| !self.delivery.paused && !self.delivery.held) {
            self.arm(Purpose::Retry, self.delivery.attempt + 1, at.max(self.now));
        }
    }

    pub(super) fn arm(&mut self, purpose: Purpose, n: u32, at: Timestamp) {
        let token = self.token(purpose, n);
        self.delivery.arm += 1;
        self.delivery.armed = Some(token);
        let arm = self.delivery.arm;
        self.out.push(Effect::Arm { token, at, arm });
    }

    pub(super) fn disarm(&mut self) {
        if let Some(token) = self.delivery.armed.take() {
            self.out.push(Effect::Disarm { token });
        }
    }

    pub(super) const fn token(&self, purpose: Purpose, n: u32) -> Token {
        let epoch = self.delivery.epoch;
        Token { purpose, epoch, n }
    }

    pub(super) fn expiry(&self) -> Option<Timestamp> {
        Some(self.delivery.submitted_at? + self.policy.max_age?)
    }

    pub(super) fn expired(&self) -> bool {
        self.expiry().is_some_and(|expiry| self.now >= expiry)
    }
}
