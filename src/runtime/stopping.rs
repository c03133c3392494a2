//! What a stopping runtime waits for: it tells, and ends waits that cannot be answered any more.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::info;

use super::callers::{Callers, NoAnswer};
use super::core::Activity;
use super::partition::Command;
use super::router::Router;
use crate::elapsed::rounded;

/// Calls in progress are named up to this number.
const NAMED: usize = 5;
/// A partition that does not respond must not delay shutdown.
const INSPECTED_WITHIN: Duration = Duration::from_millis(500);
/// Answers that have been given become durable within this time.
const DURABLE_WITHIN: Duration = Duration::from_millis(500);

/// Logs the calls in progress, for which shutdown waits up to `limit`.
pub(super) async fn tell(router: &Router, limit: Duration) {
    let inspect = router.ask_all(|sender| Command::Inspect(NAMED, sender));
    let Ok(partitions) = timeout(INSPECTED_WITHIN, inspect).await else {
        return;
    };
    let calls: usize = partitions.iter().map(|partition| partition.in_flight).sum();
    if calls == 0 {
        return;
    }
    let queues = partitions.iter().flat_map(|partition| &partition.queues);
    let in_flight = queues.filter(|queue| matches!(queue.view.activity, Activity::InFlight(_)));
    let named = in_flight.map(|queue| queue.view.address.to_address().to_string());
    let addresses = named.take(NAMED).collect::<Vec<_>>().join(", ");
    let at_most = rounded(limit);
    info!(
        calls,
        addresses,
        at_most,
        "waiting for calls in progress; the messages of those that do not return in time are sent again at the next start"
    );
}

/// Ends the waits of callers once no call is in progress and none will begin within `limit`: their answers can only come after the next start.
pub(super) async fn release(router: &Router, callers: &Callers, limit: Duration) {
    let mut before = None;
    loop {
        let handled = router.ask_all(|sender| Command::AwaitQuiet(limit, sender));
        let handled: u64 = handled.await.into_iter().sum();
        // Otherwise one partition may have given another something to do.
        if before.replace(handled) == Some(handled) {
            break;
        }
    }
    sleep(DURABLE_WITHIN).await;
    callers.end(NoAnswer::Stopping);
}
