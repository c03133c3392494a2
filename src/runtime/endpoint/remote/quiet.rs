//! A rate limit for log lines: the first at once, then one every few seconds with the number of suppressed ones.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<Suppression>);

#[derive(Debug, Default)]
struct Suppression {
    said: Option<Instant>,
    suppressed: u64,
}

impl Quiet {
    /// The number of lines suppressed since the last one; `None` if this one is suppressed, too.
    pub(super) fn may_speak(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.said.is_some_and(|said| now < said + PAUSE) {
            state.suppressed += 1;
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_line_comes_at_once_and_later_ones_are_counted() {
        let quiet = Quiet::default();
        assert_eq!(quiet.may_speak(), Some(0));
        assert_eq!((quiet.may_speak(), quiet.may_speak()), (None, None));
        tokio::time::advance(PAUSE).await;
        assert_eq!(quiet.may_speak(), Some(2));
        assert_eq!(quiet.may_speak(), None);
    }
}
