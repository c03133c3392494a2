//! The settings that all exports have: when a record is tried again, in which order, and how many at a time.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::super::super::config;
use super::super::super::template::Template;
use super::{Channel, Exporter};
use crate::delivery::engine::{Order, Policy};
use crate::delivery::owner::Circuit;
use crate::document::{At, Fields, scalar};

/// What happens to a record that an export could not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// It is kept and tried again, as the policy says.
    #[default]
    Retry,
    /// As `Retry`, and the next stage does not wait: it gets the unchanged record at once, whether this export succeeds, fails or waits. So
    /// several exports after each other deliver to their destinations independently.
    Isolate,
    /// It goes on to the next stage unchanged, with a warning in the log. Requires `return_input`.
    Continue,
    /// It becomes a dead letter, `no_persist`, after this one attempt.
    GiveUp,
}

impl OnFailure {
    /// Whether the record is kept and tried again.
    pub(crate) const fn keeps(self) -> bool {
        matches!(self, Self::Retry | Self::Isolate)
    }
}

/// Settings of `retry` that are easily misplaced beside it.
pub(in crate::pipeline::stages) const IN_RETRY: &[(&str, &str)] = &[
    ("preset", "into `retry`"),
    ("attempts", "into `retry`"),
    ("every", "into `retry`"),
    ("first", "into `retry`"),
    ("factor", "into `retry`"),
    ("max", "into `retry`"),
    ("jitter", "into `retry`"),
    ("within", "into `retry`"),
    ("maxAge", "into `retry`"),
    ("retryAfter", "into `retry`"),
    ("wake", "into `retry`"),
    ("then", "into `retry`"),
    ("classes", "into `retry`"),
];

/// The settings that all exports have.
#[derive(Debug, Clone)]
pub(in crate::pipeline::stages) struct Common {
    pub(in crate::pipeline::stages) timeout: Duration,
    pub(in crate::pipeline::stages) retry: Policy,
    pub(in crate::pipeline::stages) order_key: Option<String>,
    pub(in crate::pipeline::stages) on_failure: OnFailure,
    pub(in crate::pipeline::stages) max_in_flight: NonZeroUsize,
    pub(in crate::pipeline::stages) circuit: Option<Circuit>,
    pub(in crate::pipeline::stages) max_payload_bytes: usize,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            retry: Policy::default(),
            order_key: None,
            on_failure: OnFailure::Retry,
            max_in_flight: NonZeroUsize::new(64).unwrap_or(NonZeroUsize::MIN),
            circuit: Some(Circuit::default()),
            max_payload_bytes: 16 * 1024 * 1024,
        }
    }
}

impl Common {
    /// Reads them from a declared stage; false if one has a fault, which is reported.
    pub(in crate::pipeline::stages) fn read(
        &mut self,
        place: &At<'_>,
        fields: &Fields<'_>,
    ) -> bool {
        if place.node.get("retry").is_some_and(config::is_edgex) {
            self.circuit = None; // EdgeX tries every item at its time
        }
        let whole = [
            fields.set("timeout", &mut self.timeout, At::span),
            fields.set("retry", &mut self.retry, |node| {
                config::read_retry(node.clone())
            }),
            fields.set("orderKey", &mut self.order_key, |node| {
                node.text().map(Some)
            }),
            fields.set("onFailure", &mut self.on_failure, on_failure),
            fields.set("maxInFlight", &mut self.max_in_flight, read_size),
            fields.set("circuit", &mut self.circuit, config::read_circuit),
            fields.set("maxPayloadBytes", &mut self.max_payload_bytes, |node| {
                read_size(node).map(NonZeroUsize::get)
            }),
        ];
        !whole.contains(&false)
    }

    /// The export over a channel; `fault` gets the field and the fault.
    pub(in crate::pipeline::stages) fn check(
        self,
        channel: Option<Channel>,
        fault: &impl Fn(&str, &dyn fmt::Display),
    ) -> Option<Exporter> {
        let order_key = self.order_key.as_deref().map(Template::parse_key);
        let order_key = order_key.transpose().unwrap_or_else(|err| {
            fault("orderKey", &err);
            None
        });
        if self.timeout.is_zero() {
            fault("timeout", &"must not be zero");
        }
        let keeps = self.on_failure.keeps();
        let policy = Policy {
            wake: self.retry.wake && keeps,
            timeout: self.timeout,
            order: match order_key {
                Some(_) => Order::Key,
                None => Order::Any,
            },
            ..self.retry
        };
        if let Err(invalid) = policy.check() {
            fault("retry", &invalid);
        }
        Some(Exporter {
            channel: channel?,
            order_key,
            policy,
            on_failure: self.on_failure,
            max_in_flight: self.max_in_flight,
            // Records that are not kept cannot wait for a probe.
            circuit: self.circuit.filter(|_| keeps),
            max_payload_bytes: self.max_payload_bytes,
        })
    }
}

fn on_failure(at: &At<'_>) -> Option<OnFailure> {
    at.parsed(|text| match text {
        "retry" => Ok(OnFailure::Retry),
        "isolate" => Ok(OnFailure::Isolate),
        "continue" => Ok(OnFailure::Continue),
        "give-up" => Ok(OnFailure::GiveUp),
        other => Err(format!(
            "`{other}` is not known; known: retry, isolate, continue, give-up"
        )),
    })
}

/// A number above zero.
pub(in crate::pipeline::stages) fn read_size(node: &At<'_>) -> Option<NonZeroUsize> {
    node.read(scalar::count_of)
}
