//! Waiting for a fact: the one place where tests pause.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(3);
/// A test that waits longer hangs: it fails instead, and says what it waited for.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again and again, until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
