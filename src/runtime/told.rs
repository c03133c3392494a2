//! What comes of asking a partition something.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// The answer of a partition, or why there is none.
#[derive(Debug)]
pub(super) enum Told<T> {
    /// This is it.
    Answer(T),
    /// The partition has stopped, or nothing becomes durable any more: there will be none.
    Gone,
    /// It did not come in time; it still may.
    TooLate,
}

/// Waits for an answer, `within` at most.
pub(super) async fn told<T>(answer: oneshot::Receiver<T>, within: Duration) -> Told<T> {
    match timeout(within, answer).await {
        Ok(Ok(answer)) => Told::Answer(answer),
        Ok(Err(_)) => Told::Gone,
        Err(_) => Told::TooLate,
    }
}
