//! Why a caller has no answer yet: the activity of the address as a message, the cause first.

use super::core::Activity;
use super::partition::Queue;
use crate::sdk::Address;

/// Why `address` has not answered; `queue` is its queue in the partition.
pub(super) fn reason(address: &Address, queue: Option<&Queue>) -> String {
    let Some(queue) = queue else {
        return format!(
            "{address} has been called, and neither it nor a function it sent to has answered"
        );
    };
    let view = &queue.view;
    if let Some(failing) = &queue.failing {
        let attempts = times(failing.attempts);
        return format!(
            "{} ({address}: {attempts} of its call failed, and it is tried again)",
            failing.last_failure
        );
    }
    let Some(failure) = &view.last_failure else {
        return format!("{address} {}", doing(view.activity));
    };
    let then = match view.activity {
        Activity::Parked => "it is parked; resume it with `statefun queues resume`",
        _ => "it is tried again",
    };
    let failures = match view.failures {
        1 => "its batch failed once".to_owned(),
        failures => format!("its batch failed {failures} times"),
    };
    format!("{failure} ({address}: {failures}, and {then})")
}

fn times(attempts: u32) -> String {
    match attempts {
        1 => "an attempt".to_owned(),
        attempts => format!("{attempts} attempts"),
    }
}

const fn doing(activity: Activity) -> &'static str {
    match activity {
        Activity::Idle => "has not been called yet",
        Activity::AwaitsDisk => "waits until its messages are on disk",
        Activity::AwaitsCallSlot => {
            "waits for a call slot: the maximum number of calls is in progress"
        }
        Activity::AwaitsType => "waits for the first call of its type to return",
        Activity::InFlight(_) => "is being called, and has not returned",
        Activity::BacksOff(_) => "waits to be tried again",
        Activity::Parked => "is parked; resume it with `statefun queues resume`",
    }
}
