//! The result of querying a partition.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// The answer of a partition, or why there is none.
#[derive(Debug)]
pub(super) enum Told<T> {
    /// The answer.
    Answer(T),
    /// There will be no answer: the partition has stopped, or nothing becomes durable any more.
    Gone,
    /// There was no answer in time; it may still come.
    TooLate,
}

/// Waits for an answer, at most `within`.
pub(super) async fn told<T>(answer: oneshot::Receiver<T>, within: Duration) -> Told<T> {
    match timeout(within, answer).await {
        Ok(Ok(answer)) => Told::Answer(answer),
        Ok(Err(_)) => Told::Gone,
        Err(_) => Told::TooLate,
    }
}
