//! `/api/queues`: waiting messages, records and deliveries.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};

use super::damaged::{Damaged, shown};
use super::figures::{Destination, destinations};
use super::health::gone_json;
use super::loads::{Load, loads};
use super::page::{Weigh, page};
use super::params::Params;
use super::set_aside::{self, Refused};
use super::{Admin, Change, Reply, ok};
use crate::runtime::condition::{Condition, SplitStatus};
use crate::runtime::core::keys::{PARKED, TIMERS};
use crate::runtime::core::{Activity, AddressKey, AdminChange, Parked};
use crate::runtime::egress::Delivering;
use crate::runtime::partition::Queue;
use crate::runtime::respond::{Refusal, refuse};
use crate::sdk::TypeName;
use crate::storage::{Rows, StorageError, count};
use crate::time::Timestamp;
use crate::time::calendar::rfc3339;

/// Rows are counted up to this number, so that a million timers need not be read.
const COUNTED: usize = 100_000;

impl Admin {
    pub(super) async fn queues(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["limit"])?;
        let limit = params.limit()?;
        let partitions = self.runtime.inspect(limit).await;
        let stored = self.read(move |rows| Stored::read(rows, limit)).await?;
        let backlog: u64 = partitions.iter().map(|partition| partition.backlog).sum();
        let in_flight: usize = partitions.iter().map(|partition| partition.in_flight).sum();
        let parked = stored.parked.iter().map(|one| shown(one, parked_json));
        let mut active: Vec<&Queue> = partitions
            .iter()
            .flat_map(|partition| &partition.queues)
            .filter(|queue| queue.view.activity != Activity::Parked)
            .collect();
        active.sort_by(|a, b| urgency(b).cmp(&urgency(a)));
        let now = self.runtime.now();
        let active = active.into_iter().map(|queue| queue_json(queue, now));
        let addresses: Vec<Value> = parked.chain(active).take(limit).collect();
        let functions = loads(&partitions);
        let functions = functions.iter().take(limit).map(load_json);
        let egresses = self.runtime.delivering();
        let egresses = egresses.iter().map(egress_json);
        let sources = self.runtime.sources().iter();
        Ok(ok(&json!({
            "totals": {
                "backlog": backlog,
                "calls": in_flight,
                "parked": stored.parked_count,
                "timers": stored.timers,
                "counted_to": COUNTED,
            },
            "addresses": addresses,
            "functions": functions.collect::<Vec<_>>(),
            "egresses": egresses.collect::<Vec<_>>(),
            "set_aside": stored.set_aside.iter().map(|one| shown(one, Refused::with_bytes)).collect::<Vec<_>>(),
            "destinations": waiting_first(destinations(&self.runtime), limit),
            "ingresses": sources.map(source_json).collect::<Vec<_>>(),
            "gone": gone_json(&self.runtime.gone()),
        })))
    }

    pub(super) async fn resume(
        &self,
        params: &Params,
        address: AddressKey,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let change = AdminChange::Resume(address.clone());
        match self.change(&address, change).await? {
            Change::Made => Ok(ok(&json!({"resumed": true}))),
            Change::Refused(text) => Err(refuse(
                http::StatusCode::CONFLICT,
                "queue.not_waiting",
                &text,
            )),
        }
    }
}

impl Weigh for (AddressKey, Parked) {
    fn weight(&self) -> usize {
        self.1.reason.len()
    }
}

fn load_json(load: &Load) -> Value {
    json!({
        "function": load.function,
        "backlog": load.backlog,
        "memory_bytes": load.memory_bytes,
        "full": load.is_full,
    })
}

/// Counts from the store.
struct Stored {
    set_aside: Vec<Result<Refused, Damaged>>,
    parked: Vec<Result<(AddressKey, Parked), Damaged>>,
    parked_count: usize,
    timers: usize,
}

impl Stored {
    fn read(store: &dyn Rows, limit: usize) -> Result<Self, StorageError> {
        let parked = page(store, PARKED, &[], None, limit, |key, row| {
            let address = AddressKey::split(key).map(|(address, _)| address);
            let parked = address.zip(Parked::decode(&row?));
            parked
                .map(Some)
                .ok_or_else(|| StorageError::senseless(PARKED, key))
        })?;
        Ok(Self {
            set_aside: set_aside::list(store, limit)?,
            parked_count: count(store, PARKED, &[], None, COUNTED)?,
            timers: count(store, TIMERS, &[], None, COUNTED)?,
            parked: parked.items,
        })
    }
}

fn parked_json((address, parked): &(AddressKey, Parked)) -> Value {
    json!({
        "address": address.to_address().to_string(),
        "activity": "parked",
        "since": rfc3339(parked.since),
        "failures": parked.attempts,
        "last_failure": parked.reason,
    })
}

/// Orders by failed batches, failed attempts of the current call, waiting messages, and address.
fn urgency(queue: &Queue) -> (u32, u32, u64, std::cmp::Reverse<&AddressKey>) {
    let view = &queue.view;
    let attempts = queue.failing.as_ref().map_or(0, |failing| failing.attempts);
    (
        view.failures,
        attempts,
        view.waiting,
        std::cmp::Reverse(&view.address),
    )
}

/// Orders by waiting deliveries, the most first, and by name.
fn waiting_first(mut all: Vec<Destination>, limit: usize) -> Vec<Value> {
    all.sort_by_key(|of| Reverse((of.waiting, of.dead_letters)));
    all.iter().take(limit).map(Destination::json).collect()
}

fn source_json((name, condition): &(TypeName, Arc<Condition>)) -> Value {
    let failing = condition.failing();
    json!({
        "ingress": name.as_str(),
        "brought": condition.moved(),
        "set_aside": condition.set_aside(),
        "splits": condition.splits().iter().map(split_json).collect::<Vec<_>>(),
        "failed_attempts": failing.as_ref().map_or(0, |failing| failing.attempts),
        "last_failure": failing.map(|failing| failing.last_failure),
    })
}

/// A position is text where its source writes text.
fn split_json((split, status): (&String, &SplitStatus)) -> Value {
    json!({
        "split": split,
        "position": String::from_utf8_lossy(&status.position),
        "behind": status.behind,
        "behind_ms": status.behind_by.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    })
}

fn egress_json(egress: &Delivering) -> Value {
    json!({
        "egress": egress.name.as_str(),
        "outbox": egress.undelivered,
        "set_aside": egress.set_aside,
        "failed_attempts": egress.failing.as_ref().map_or(0, |failing| failing.attempts),
        "last_failure": egress.failing.as_ref().map(|failing| &failing.last_failure),
    })
}

fn queue_json(queue: &Queue, now: Timestamp) -> Value {
    let view = &queue.view;
    let failing = queue.failing.as_ref();
    let last_failure = failing.map(|failing| &failing.last_failure);
    let (activity, retry_at) = match view.activity {
        Activity::Idle => ("idle", None),
        Activity::AwaitsDisk => ("awaits_disk", None),
        Activity::AwaitsType => ("awaits_type", None),
        Activity::AwaitsCallSlot => ("awaits_slot", None),
        Activity::InFlight(_) => ("in_flight", None),
        Activity::BacksOff(at) => ("backs_off", Some(rfc3339(at))),
        Activity::Parked => ("parked", None),
    };
    let since = queue.called_at;
    json!({
        "address": view.address.to_address().to_string(),
        "activity": activity,
        "since": since.map(rfc3339),
        "in_flight_seconds": since.map(|since| now.since(since).as_secs()),
        "waiting": view.waiting,
        "in_flight": view.in_flight,
        "failures": view.failures,
        "failed_attempts": failing.map_or(0, |failing| failing.attempts),
        "retry_at": retry_at,
        "last_failure": last_failure.or(view.last_failure.as_ref()),
    })
}
