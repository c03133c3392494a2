//! Waiting for a fact: the only place where tests pause.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(3);
/// A test that waits longer hangs: it fails instead, and says what it waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again and again, until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = Patience::for_(what);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        patience.pause().await;
    }
}

/// As [`until`], as a step of a loop in a task that goes from thread to thread.
pub(crate) struct Patience {
    what: String,
    ends: Instant,
}

impl Patience {
    pub(crate) fn for_(what: &str) -> Self {
        let (what, ends) = (what.to_owned(), Instant::now() + PATIENCE);
        Self { what, ends }
    }

    /// Whether a further pause would fail.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    pub(crate) async fn pause(&self) {
        assert!(!self.is_over(), "gave up waiting for {}", self.what);
        tokio::time::sleep(PAUSE).await;
    }
}
