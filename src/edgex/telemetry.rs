//! Telemetry under EdgeX's names: metrics of the service, published to the message bus.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::bus::Publication;
use super::publisher;
use super::reload::Current;
use crate::admin::figures::destinations;
use crate::pipeline::{Destinations, Summary};
use crate::runtime::handle::RuntimeHandle;

/// Which metrics are published, and how often: the section `Writable.Telemetry`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Telemetry {
    /// Zero for never.
    pub(super) interval: Duration,
    /// Names that are switched on: a metric is published if its name begins with one of them.
    pub(super) names: Vec<String>,
    /// Tags of all metrics.
    pub(super) tags: BTreeMap<String, String>,
}

/// A metric at one moment.
struct Metric {
    name: String,
    fields: Vec<(String, Value)>,
    /// A tag of its own.
    tag: Option<(&'static str, String)>,
}

impl Metric {
    fn counter(name: impl Into<String>, count: u64) -> Self {
        Self {
            name: name.into(),
            fields: vec![("counter-count".to_owned(), count.into())],
            tag: None,
        }
    }

    /// The moments of values, which are multiplied by `unit`.
    fn moments(name: impl Into<String>, kind: &str, all: &Summary, unit: f64) -> Self {
        let variance = all.variance() * unit * unit;
        let field = |name: &str, value: Value| (format!("{kind}-{name}"), value);
        Self {
            name: name.into(),
            fields: vec![
                field("count", all.count.into()),
                field("min", (all.min * unit).into()),
                field("max", (all.max * unit).into()),
                field("mean", (all.mean() * unit).into()),
                field("stddev", variance.sqrt().into()),
                field("variance", variance.into()),
            ],
            tag: None,
        }
    }

    fn tagged(self, name: &'static str, text: &str) -> Self {
        let tag = Some((name, text.to_owned()));
        Self { tag, ..self }
    }
}

/// Publishes the metrics until the runtime stops.
pub(super) async fn publish(runtime: RuntimeHandle, current: Current) {
    let mut changes = current.changes();
    loop {
        let configuration = current.get();
        let telemetry = &configuration.telemetry;
        let is_off = telemetry.interval.is_zero() || telemetry.names.is_empty();
        tokio::select! {
            changed = changes.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = tokio::time::sleep(telemetry.interval), if !is_off => {}
        }
        let Some(bus) = configuration.services.bus() else {
            return;
        };
        let service = configuration.service_key();
        let wanted = |metric: &Metric| {
            let mut names = telemetry.names.iter();
            names.any(|name| metric.name.starts_with(name))
        };
        for metric in metrics(&runtime).into_iter().filter(wanted) {
            let topic = format!("telemetry/{service}/{}", metric.name);
            let payload = payload(&metric, service, &telemetry.tags, &runtime);
            let id = uuid::Uuid::new_v4().to_string();
            let record = bus.record(Publication {
                topic: &topic,
                payload: payload.to_string().into(),
                content_type: "application/json",
                correlation_id: &id,
            });
            let sent = match record {
                Ok(record) => publisher::send_record(&runtime, &topic, record).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                tracing::warn!(metric = metric.name, error, "a metric cannot be published");
                break;
            }
        }
    }
}

fn payload(
    metric: &Metric,
    service: &str,
    tags: &BTreeMap<String, String>,
    runtime: &RuntimeHandle,
) -> Value {
    let named = |name: &str, value: Value| json!({"name": name, "value": value});
    let fields = metric.fields.iter();
    let fields = fields.map(|(name, value)| named(name, value.clone()));
    let all = std::iter::once(("service", service));
    let all = all.chain(
        tags.iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    let own = metric.tag.iter().map(|(name, text)| (*name, text.as_str()));
    let tags = all.chain(own).map(|(name, text)| named(name, text.into()));
    json!({
        "apiVersion": "v3",
        "name": metric.name,
        "fields": fields.collect::<Vec<_>>(),
        "tags": tags.collect::<Vec<_>>(),
        "timestamp": runtime.now().as_millis() * 1_000_000,
    })
}

/// All metrics of the service.
fn metrics(runtime: &RuntimeHandle) -> Vec<Metric> {
    const NANOSECONDS: f64 = 1e9;
    let all = runtime.shared::<Destinations>();
    let all = all.map(|destinations| destinations.figures.all());
    let all = all.unwrap_or_default();
    let sum = |tell: fn(&crate::pipeline::PipelineFigures) -> u64| {
        all.iter().map(|(_, figures)| tell(figures)).sum::<u64>()
    };
    let mut metrics = vec![
        Metric::counter("MessagesReceived", sum(|figures| figures.messages())),
        Metric::counter("InvalidMessagesReceived", sum(|figures| figures.invalid())),
    ];
    for (id, figures) in &all {
        let errors = figures.errors().values().sum::<u64>();
        let seconds = figures.seconds();
        let own = [
            Metric::counter(
                format!("PipelineMessagesProcessed-{id}"),
                figures.processed(),
            ),
            Metric::counter(format!("PipelineProcessingErrors-{id}"), errors),
            Metric::moments(
                format!("PipelineMessageProcessingTime-{id}"),
                "timer",
                &seconds,
                NANOSECONDS,
            ),
        ];
        metrics.extend(own.map(|metric| metric.tagged("pipeline", id)));
        for ((_, destination), export) in figures.exports() {
            let (kind, tag) = match destination.starts_with("http") {
                true => ("Http", "url"),
                false => ("Mqtt", "address"),
            };
            // A topic has a level for each slash.
            let place = destination.split_once("://");
            let place = place.map_or(&*destination, |(_, place)| place);
            let errors = export.errors.load(Ordering::Relaxed);
            let sizes = export.bytes.summary();
            let own = [
                Metric::moments(
                    format!("{kind}ExportSize-{place}"),
                    "histogram",
                    &sizes,
                    1.0,
                ),
                Metric::counter(format!("{kind}ExportErrors-{place}"), errors),
            ];
            metrics.extend(own.map(|metric| metric.tagged(tag, &destination)));
        }
    }
    let waiting = destinations(runtime);
    let waiting = waiting.iter().filter_map(|one| one.waiting).sum::<u64>();
    metrics.push(Metric::counter("StoreForwardQueueSize", waiting));
    metrics
}
