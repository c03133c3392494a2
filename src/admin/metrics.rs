//! `GET /metrics`: counters and gauges for Prometheus, with StateFun's names where it has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderValue;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::figures::{Destination, destinations};
use super::params::Params;
use super::pipeline_metrics::PipelineMetrics;
use super::{Admin, Reply, whole};
use crate::pipeline::Destinations;
use crate::runtime::StoreStatus;
use crate::runtime::condition::Condition;
use crate::runtime::core::TypeCounters;
use crate::runtime::egress::Delivering;
use crate::runtime::endpoint::{FunctionLabels, Invocations};
use crate::runtime::http_listeners::HttpListeners;
use crate::runtime::partition::Inspection;
use crate::runtime::respond::{self, Refusal, refuse};
use crate::sdk::TypeName;
use crate::storage::Health;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EgressLabels {
    egress: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IngressLabels {
    ingress: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SplitLabels {
    ingress: String,
    split: String,
}

/// The metrics at one moment; computed for each scrape, so that nothing can drift.
#[derive(Default)]
struct Snapshot {
    registry: Registry,
}

impl Admin {
    pub(super) async fn metrics(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let mut snapshot = Snapshot {
            registry: Registry::with_prefix("statefun"),
        };
        snapshot.functions(&self.runtime.inspect(0).await);
        snapshot.remote(&self.runtime.invocations());
        snapshot.egresses(&self.runtime.delivering());
        snapshot.sources(self.runtime.sources());
        snapshot.deliveries(&destinations(&self.runtime));
        if let Some(Destinations {
            registry, figures, ..
        }) = self.runtime.shared()
        {
            let pipelines = PipelineMetrics(figures.clone());
            snapshot.registry.register_collector(Box::new(pipelines));
            snapshot.count(
                "deliveries_foreign_messages",
                "Messages of functions that were dropped, because a destination does not understand them",
                registry.foreign_messages(),
            );
            snapshot.dropped(registry.dropped());
        }
        snapshot.store(&self.runtime.store_health(), &self.runtime.store_status());
        snapshot.listeners(&self.listeners);
        snapshot.count(
            "unclaimed_answers",
            "Answers to calls that were no longer waited for",
            self.runtime.unclaimed_answers(),
        );
        let mut text = String::new();
        encode(&mut text, &snapshot.registry).map_err(|_| {
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics",
                "the metrics cannot be written",
            )
        })?;
        Ok(whole(respond::with_type(
            StatusCode::OK,
            OPEN_METRICS,
            text.into(),
        )))
    }
}

/// A counter per function type: name, help, and the value.
type FunctionCounter = (&'static str, &'static str, fn(&TypeCounters) -> u64);

const FUNCTION_COUNTERS: &[FunctionCounter] = &[
    ("functions_in", "Messages that were applied", |c| c.incoming),
    ("functions_invocations", "Calls that succeeded", |c| {
        c.invocations
    }),
    (
        "functions_outLocal",
        "Messages sent to functions of the same partition",
        |c| c.out_local,
    ),
    (
        "functions_outRemote",
        "Messages sent to functions of other partitions",
        |c| c.out_remote,
    ),
    ("functions_outEgress", "Records sent to egresses", |c| {
        c.out_egress
    }),
    ("functions_failures", "Batches that failed", |c| c.failures),
];

/// A gauge per target: name, help, and the value, if it is known.
type TargetGauge = (&'static str, &'static str, fn(&Destination) -> Option<u64>);

const TARGET_GAUGES: &[TargetGauge] = &[
    (
        "deliveries_waiting",
        "Deliveries that wait for the target",
        |of| of.waiting,
    ),
    (
        "deliveries_oldest_age_seconds",
        "Age of the oldest delivery that waits, to the minute",
        |of| of.oldest_age,
    ),
    (
        "deliveries_dead_letters",
        "Dead letters that are kept",
        |of| of.dead_letters,
    ),
    (
        "deliveries_attempts_in_progress",
        "Attempts that have not ended yet",
        |of| Some(of.in_progress as u64),
    ),
    (
        "deliveries_oldest_attempt_seconds",
        "Age of the oldest attempt in progress",
        |of| of.in_progress_age,
    ),
    (
        "deliveries_circuit",
        "0: closed, attempts are made; 1: half open, one probes; 2: open, all wait",
        |of| Some(of.circuit as u64),
    ),
];

/// A counter per target: name, help, and the value.
type TargetCounter = (&'static str, &'static str, fn(&Destination) -> u64);

const TARGET_COUNTERS: &[TargetCounter] = &[
    (
        "deliveries_delivered",
        "Attempts that succeeded since the start",
        |of| of.delivered,
    ),
    (
        "deliveries_failed_attempts",
        "Attempts that failed since the start",
        |of| of.failed_attempts,
    ),
    (
        "deliveries_given_up",
        "Deliveries that became dead letters since the start",
        |of| of.given_up,
    ),
];

impl Snapshot {
    fn deliveries(&mut self, targets: &[Destination]) {
        let labels = |of: &Destination| TargetLabels {
            target: of.target.clone(),
        };
        for (name, help, tell) in TARGET_GAUGES {
            let family = Family::<TargetLabels, Gauge>::default();
            for of in targets {
                if let Some(value) = tell(of) {
                    family.get_or_create(&labels(of)).set(signed(value));
                }
            }
            self.registry.register(*name, *help, family);
        }
        for (name, help, tell) in TARGET_COUNTERS {
            let family = Family::<TargetLabels, Counter>::default();
            for of in targets {
                family.get_or_create(&labels(of)).inc_by(tell(of));
            }
            self.registry.register(*name, *help, family);
        }
    }

    fn dropped(&mut self, dropped: BTreeMap<&'static str, u64>) {
        let family = Family::<ReasonLabels, Counter>::default();
        for (reason, count) in dropped {
            let labels = ReasonLabels {
                reason: reason.to_owned(),
            };
            family.get_or_create(&labels).inc_by(count);
        }
        self.registry.register(
            "pipeline_dropped",
            "Records that pipelines without store and forward have dropped since the start",
            family,
        );
    }

    fn functions(&mut self, partitions: &[Inspection]) {
        for (name, help, of) in FUNCTION_COUNTERS {
            let family = Family::<FunctionLabels, Counter>::default();
            for (namespace, name, counters) in
                partitions.iter().flat_map(|partition| &partition.counters)
            {
                let labels = FunctionLabels {
                    namespace: namespace.clone(),
                    name: name.clone(),
                };
                family.get_or_create(&labels).inc_by(of(counters));
            }
            self.registry.register(*name, *help, family);
        }
        let calls = partitions
            .iter()
            .map(|partition| partition.in_flight as u64)
            .sum();
        self.gauge("inflightAsyncOps", "Calls in progress", calls);
        let backlog = partitions.iter().map(|partition| partition.backlog).sum();
        self.gauge("numBacklog", "Messages that wait or are in flight", backlog);
    }

    /// These count since the start.
    fn remote(&mut self, invocations: &Invocations) {
        self.registry.register(
            "functions_remoteInvocationFailures",
            "Attempts to call a remote function that failed",
            invocations.failures.clone(),
        );
        self.registry.register(
            "functions_remoteInvocationLatency",
            "How long an attempt to call a remote function took, in milliseconds",
            invocations.latency.clone(),
        );
        let failing = Family::<FunctionLabels, Gauge>::default();
        for (address, _) in invocations.failing.all() {
            let (namespace, name, _) = address.parts();
            let labels = FunctionLabels {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            failing.get_or_create(&labels).inc();
        }
        self.registry.register(
            "functions_failingCalls",
            "Calls in progress that have failed attempts and are being retried",
            failing,
        );
    }

    fn egresses(&mut self, egresses: &[Delivering]) {
        let undelivered = Family::<EgressLabels, Gauge>::default();
        let failing = Family::<EgressLabels, Gauge>::default();
        let delivered = Family::<EgressLabels, Counter>::default();
        let failed = Family::<EgressLabels, Counter>::default();
        let set_aside = Family::<EgressLabels, Gauge>::default();
        for egress in egresses {
            let labels = EgressLabels {
                egress: egress.name.to_string(),
            };
            let attempts = egress
                .failing
                .as_ref()
                .map_or(0, |failing| failing.attempts);
            undelivered
                .get_or_create(&labels)
                .set(signed(egress.undelivered));
            failing.get_or_create(&labels).set(attempts.into());
            delivered.get_or_create(&labels).inc_by(egress.delivered);
            failed.get_or_create(&labels).inc_by(egress.failed);
            set_aside
                .get_or_create(&labels)
                .set(signed(egress.set_aside));
        }
        self.registry.register(
            "egress_undelivered",
            "Records that an egress has not delivered",
            undelivered,
        );
        self.registry.register(
            "egress_setAside",
            "Records that are kept because their target system refuses them",
            set_aside,
        );
        self.registry.register(
            "egress_failedAttempts",
            "Consecutive failed attempts to deliver the next record",
            failing,
        );
        self.registry.register(
            "egress_numRecordsOut",
            "Records that an egress has delivered since the start",
            delivered,
        );
        self.registry.register(
            "egress_numRecordsOutErrors",
            "Failed attempts of an egress to deliver since the start",
            failed,
        );
    }

    fn sources(&mut self, sources: &[(TypeName, Arc<Condition>)]) {
        let brought = Family::<IngressLabels, Counter>::default();
        let failing = Family::<IngressLabels, Gauge>::default();
        let failed = Family::<IngressLabels, Counter>::default();
        let behind = Family::<SplitLabels, Gauge>::default();
        let behind_by = Family::<SplitLabels, Gauge>::default();
        let set_aside = Family::<IngressLabels, Gauge>::default();
        for (name, condition) in sources {
            let labels = IngressLabels {
                ingress: name.to_string(),
            };
            let attempts = condition.failing().map_or(0, |failing| failing.attempts);
            brought.get_or_create(&labels).inc_by(condition.moved());
            failed.get_or_create(&labels).inc_by(condition.failed());
            failing.get_or_create(&labels).set(attempts.into());
            set_aside
                .get_or_create(&labels)
                .set(signed(condition.set_aside()));
            for (split, status) in condition.splits() {
                let ingress = name.to_string();
                let labels = SplitLabels { ingress, split };
                if let Some(records) = status.behind {
                    behind.get_or_create(&labels).set(signed(records));
                }
                if let Some(time) = status.behind_by {
                    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    behind_by.get_or_create(&labels).set(signed(millis));
                }
            }
        }
        self.registry.register(
            "ingress_pendingRecords",
            "Records of a split (bytes of a file) that a source had not brought at its last check",
            behind,
        );
        self.registry.register(
            "ingress_millisBehindLatest",
            "Milliseconds by which a source was behind the newest record of a split at its last look",
            behind_by,
        );
        self.registry.register(
            "ingress_setAside",
            "Records that are kept because their source could not bring them",
            set_aside,
        );
        self.registry.register(
            "ingress_numRecordsIn",
            "Records that a source has brought since the start",
            brought,
        );
        self.registry.register(
            "ingress_numRecordsInErrors",
            "Failures of a source since the start",
            failed,
        );
        self.registry.register(
            "ingress_failedAttempts",
            "Runs in a row of a source that failed",
            failing,
        );
    }

    fn store(&mut self, health: &Health, status: &StoreStatus) {
        self.gauge(
            "store_writable",
            "1 while rounds become durable",
            u64::from(*status == StoreStatus::Writable),
        );
        self.gauge(
            "store_overlay_bytes",
            "Rows in memory",
            health.overlay_bytes,
        );
        self.gauge(
            "store_log_bytes",
            "Rounds that a start would have to replay",
            health.log_bytes,
        );
        self.gauge(
            "store_unsynced_bytes",
            "Rows that are not durable yet",
            health.unsynced_bytes,
        );
        for (name, help, bytes) in [
            (
                "store_free_bytes",
                "Free space of the disk with the data folder",
                health.free_bytes,
            ),
            (
                "store_needed_bytes",
                "Intake stops when less space than this is free",
                health.needed_bytes,
            ),
        ] {
            if let Some(bytes) = bytes {
                self.gauge(name, help, bytes);
            }
        }
        self.count(
            "store_checkpoints",
            "Checkpoints since the start",
            health.checkpoints,
        );
    }

    fn listeners(&mut self, listeners: &HttpListeners) {
        self.gauge(
            "http_connections",
            "Connections to the HTTP listeners, without those to the admin API",
            listeners.slots.taken() as u64,
        );
        self.gauge(
            "http_connections_limit",
            "How many of them there may be",
            listeners.slots.count() as u64,
        );
        self.gauge(
            "http_body_bytes",
            "Memory of request bodies that are arriving",
            listeners.memory.used() as u64,
        );
        self.gauge(
            "http_body_bytes_limit",
            "How much of it there may be",
            listeners.memory.total() as u64,
        );
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let gauge: Gauge = Gauge::default();
        gauge.set(signed(value));
        self.registry.register(name, help, gauge);
    }

    fn count(&mut self, name: &str, help: &str, value: u64) {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        self.registry.register(name, help, counter);
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
