//! The figures of each destination in the metrics and the queues, and how their counts are maintained.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::kept::{HEAD, outline, stages};
use crate::delivery::owner::{CircuitState, DestinationRegistry, Figure, Outline, Stock};
use crate::pipeline::Destinations;
use crate::printable;
use crate::runtime::core::keys::{STATE, after_prefix};
use crate::runtime::core::{AddressKey, ValueWatch};
use crate::runtime::handle::{ReadError, RuntimeHandle};
use crate::storage::{Rows, StorageError, Stretch, stretch};
use crate::time::Timestamp;
use crate::time::calendar::rfc3339;

/// Rows counted at a time.
const SLICE: usize = 1_000;
/// Maximum characters of a name.
const MAX_TARGET: usize = 300;

/// Is notified of every change of a stored delivery.
#[derive(Debug)]
pub(crate) struct DeliveryWatch(pub(crate) Destinations);

impl ValueWatch for DeliveryWatch {
    fn name(&self) -> &str {
        HEAD
    }

    fn changes(&self, key: &Bytes, before: Option<&Bytes>, after: Option<&Bytes>) {
        let Destinations { registry, .. } = &self.0;
        let stock = stock_of(registry, key);
        let outline = |row| {
            Some(Outline {
                stock: stock.clone(),
                ..outline(row)?
            })
        };
        let (before, after) = (before.and_then(outline), after.and_then(outline));
        registry.figures.changes(key, before, after);
    }

    fn has_full(&self) -> bool {
        self.0.registry.has_full()
    }

    fn full(&self, namespace: &str, name: &str) -> Option<String> {
        self.0.registry.blocks(namespace, name)
    }
}

/// The stock of the pipeline that keeps the row at `key`.
fn stock_of(registry: &DestinationRegistry, key: &Bytes) -> Option<Arc<Stock>> {
    let (address, _) = AddressKey::split(key)?;
    let (namespace, name, _) = address.parts();
    registry.stock_at(namespace, name)
}

/// Counts the deliveries stored before the start, in slices, in the background.
pub(crate) async fn count(runtime: RuntimeHandle, destinations: Destinations) {
    let Destinations { registry, .. } = destinations;
    match count_all(&runtime, &registry).await {
        Ok(()) => registry.figures.all_counted(),
        Err(error) => {
            tracing::warn!(%error, "the stored deliveries could not be counted, so metrics and queues lack them until the next start");
        }
    }
}

async fn count_all(
    runtime: &RuntimeHandle,
    registry: &Arc<DestinationRegistry>,
) -> Result<(), ReadError> {
    // Damaged rows are shown in lists.
    for stage in runtime
        .read(|rows| stages(rows, None))
        .await?
        .into_iter()
        .flatten()
    {
        let mut from = Some(stage.clone());
        while let Some(next) = from {
            let stage = stage.clone();
            let slice = runtime.read(move |rows| Slice::read(rows, &stage, &next));
            let mut slice = slice.await?;
            for (key, outline) in &mut slice.kept {
                outline.stock = stock_of(registry, key);
            }
            registry.figures.count(slice.kept, slice.to);
            from = slice.next;
        }
    }
    Ok(())
}

/// Some rows of a stage.
struct Slice {
    kept: Vec<(Bytes, Outline)>,
    /// The key before which it ends.
    to: Bytes,
    /// The same, if the stage has more.
    next: Option<Bytes>,
}

impl Slice {
    fn read(rows: &dyn Rows, stage: &Bytes, from: &[u8]) -> Result<Self, StorageError> {
        let end = after_prefix(stage);
        let Stretch {
            rows: found,
            is_last,
        } = stretch(rows, STATE, from, end.as_deref(), SLICE)?;
        let next = match found.last() {
            Some((last, _)) if !is_last => Some(Bytes::from([last.as_ref(), &[0]].concat())),
            _ => None,
        };
        let kept = found.into_iter().filter_map(|(key, row)| {
            let (_, name) = AddressKey::split(&key)?;
            let outline = outline(&row.ok()?).filter(|_| name == HEAD.as_bytes())?;
            Some((key, outline))
        });
        let kept = kept.collect();
        let to = next.clone().or_else(|| end.map(Bytes::from));
        Ok(Self {
            kept,
            to: to.unwrap_or_else(|| stage.clone()),
            next,
        })
    }
}

/// The figures of a destination.
pub(crate) struct Destination {
    /// Printable.
    pub(super) target: String,
    /// `None` until it has been counted.
    pub(crate) waiting: Option<u64>,
    oldest: Option<Timestamp>,
    /// Seconds.
    pub(super) oldest_age: Option<u64>,
    pub(super) dead_letters: Option<u64>,
    pub(super) circuit: CircuitState,
    pub(super) delivered: u64,
    pub(super) failed_attempts: u64,
    pub(super) given_up: u64,
    /// Attempts in progress.
    pub(super) in_progress: usize,
    in_progress_since: Option<Timestamp>,
    /// Seconds.
    pub(super) in_progress_age: Option<u64>,
}

/// All destinations of a runtime, by name.
pub(crate) fn destinations(runtime: &RuntimeHandle) -> Vec<Destination> {
    let Some(Destinations { registry, .. }) = runtime.shared() else {
        return Vec::new();
    };
    let (now, is_counted) = (runtime.now(), registry.figures.is_counted());
    let figures = registry.figures.all().into_iter();
    let told = figures.map(|figure| Destination::of(figure, registry, now, is_counted));
    told.collect()
}

impl Destination {
    fn of(
        figure: Figure,
        registry: &DestinationRegistry,
        now: Timestamp,
        is_counted: bool,
    ) -> Self {
        let oldest = figure.oldest.filter(|_| is_counted);
        Self {
            circuit: registry.circuit(&figure.target, now),
            target: printable::first_line(&figure.target, MAX_TARGET),
            waiting: is_counted.then_some(figure.waiting),
            oldest,
            oldest_age: oldest.map(|oldest| now.since(oldest).as_secs()),
            dead_letters: is_counted.then_some(figure.dead_letters),
            delivered: figure.delivered,
            failed_attempts: figure.failed_attempts,
            given_up: figure.given_up,
            in_progress: figure.in_progress,
            in_progress_since: figure.in_progress_since,
            in_progress_age: figure
                .in_progress_since
                .map(|since| now.since(since).as_secs()),
        }
    }

    pub(super) fn json(&self) -> Value {
        let circuit = match self.circuit {
            CircuitState::Closed => "closed",
            CircuitState::HalfOpen => "half_open",
            CircuitState::Open => "open",
        };
        json!({
            "target": self.target,
            "waiting": self.waiting,
            "oldest": self.oldest.map(rfc3339),
            "oldest_age_seconds": self.oldest_age,
            "dead_letters": self.dead_letters,
            "circuit": circuit,
            "delivered": self.delivered,
            "failed_attempts": self.failed_attempts,
            "given_up": self.given_up,
            "attempts_in_progress": self.in_progress,
            "oldest_attempt": self.in_progress_since.map(rfc3339),
            "oldest_attempt_seconds": self.in_progress_age,
        })
    }
}
