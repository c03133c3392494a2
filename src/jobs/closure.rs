//! Async closures as targets.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use super::job::Job;
use crate::delivery::Failure;

type Delivered = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Delivers jobs in this process.
pub(super) trait Deliver: Send + Sync {
    fn deliver(&self, job: Job) -> Delivered;
}

impl<F, R> Deliver for F
where
    F: Fn(Job) -> R + Send + Sync,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
{
    fn deliver(&self, job: Job) -> Delivered {
        Box::pin(self(job))
    }
}

/// Makes an attempt; a panic is a failed one.
pub(super) async fn deliver(target: &dyn Deliver, job: Job) -> Result<(), Failure> {
    let begun = catch_unwind(AssertUnwindSafe(|| target.deliver(job)));
    let mut attempt = begun.map_err(|panic| panicked(&*panic))?;
    poll_fn(|task| {
        let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(task)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(panicked(&*panic))))
    })
    .await
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "without a text".to_owned());
    Failure::retry("panic", format!("the target panicked: {text}"))
}
