//! `/api/queues`: what waits where.

use serde_json::{Value, json};

use super::page::page;
use super::params::Params;
use super::{Admin, Change, Reply, ok};
use crate::calendar::rfc3339;
use crate::runtime::core::keys::{PARKED, TIMERS};
use crate::runtime::core::{Activity, AddressKey, AdminChange, Parked, QueueView};
use crate::runtime::respond::{Refusal, refuse};
use crate::storage::{Rows, StorageError, Table};

/// Rows are counted up to this number; a million timers need not be read to be told of.
const COUNTED: usize = 100_000;

impl Admin {
    pub(super) async fn queues(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["limit"])?;
        let limit = params.limit()?;
        let partitions = self.runtime.inspect(limit).await;
        let stored = self.read(move |rows| Stored::read(rows, limit)).await?;
        let backlog: u64 = partitions.iter().map(|partition| partition.backlog).sum();
        let in_flight: usize = partitions.iter().map(|partition| partition.in_flight).sum();
        let parked = stored.parked.iter().map(parked_json);
        let mut active: Vec<&QueueView> = partitions
            .iter()
            .flat_map(|partition| &partition.queues)
            .filter(|view| view.activity != Activity::Parked)
            .collect();
        active.sort_by(|a, b| {
            (b.failures, b.waiting, &a.address).cmp(&(a.failures, a.waiting, &b.address))
        });
        let active = active.into_iter().map(view_json);
        let addresses: Vec<Value> = parked.chain(active).take(limit).collect();
        let undelivered = self.runtime.undelivered().into_iter();
        let egresses =
            undelivered.map(|(egress, count)| json!({"egress": egress.as_str(), "outbox": count}));
        Ok(ok(&json!({
            "totals": {
                "backlog": backlog,
                "calls": in_flight,
                "parked": stored.parked_count,
                "timers": stored.timers,
                "counted_to": COUNTED,
            },
            "addresses": addresses,
            "egresses": egresses.collect::<Vec<_>>(),
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

/// What is known from the store alone.
struct Stored {
    parked: Vec<(AddressKey, Parked)>,
    parked_count: usize,
    timers: usize,
}

impl Stored {
    fn read(store: &dyn Rows, limit: usize) -> Result<Self, StorageError> {
        let parked = page(store, PARKED, &[], None, limit, |key, row| {
            let address = AddressKey::split(key).map(|(address, _)| address);
            Ok(address.zip(Parked::decode(row)))
        })?;
        Ok(Self {
            parked_count: count(store, PARKED)?,
            timers: count(store, TIMERS)?,
            parked: parked.items,
        })
    }
}

/// How many rows a table has, up to [`COUNTED`].
fn count(store: &dyn Rows, table: Table) -> Result<usize, StorageError> {
    const CHUNK: usize = 1_000;
    let (mut total, mut from) = (0, Vec::new());
    while total < COUNTED {
        let rows = store.scan(table, &from, None, CHUNK)?;
        total += rows.len();
        match rows.last() {
            Some((last, _)) if rows.len() == CHUNK => from = [last.as_ref(), &[0]].concat(),
            _ => break,
        }
    }
    Ok(total.min(COUNTED))
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

fn view_json(view: &QueueView) -> Value {
    let (activity, retry_at) = match view.activity {
        Activity::Idle => ("idle", None),
        Activity::AwaitsDisk => ("awaits_disk", None),
        Activity::AwaitsType => ("awaits_type", None),
        Activity::AwaitsTurn => ("awaits_turn", None),
        Activity::InFlight(_) => ("in_flight", None),
        Activity::BacksOff(at) => ("backs_off", Some(rfc3339(at))),
        Activity::Parked => ("parked", None),
    };
    json!({
        "address": view.address.to_address().to_string(),
        "activity": activity,
        "waiting": view.waiting,
        "in_flight": view.in_flight,
        "failures": view.failures,
        "retry_at": retry_at,
        "last_failure": view.last_failure,
    })
}
