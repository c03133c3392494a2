//! The declared form: reads a document into checked destinations, with all faults at once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::build::{DEFAULT_NAMESPACE, Jobs, JobsBuilder};
use super::destination::{Action, Destination, FollowUps, Way};
use super::schedule::Schedule;
use crate::clock::Clock;
use crate::document::{At, Fields, Finding, Findings, Node};
use crate::pipeline::{self, StageKind};
use crate::sdk::TypeName;
use crate::transport::http::client::Network;

/// A checked declaration of destinations.
///
/// ```
/// use stateful_functions::jobs::JobsConfig;
///
/// let spec = serde_json::json!({
///     "destinations": [
///         {
///             "name": "crm",
///             "http": {"url": "https://crm.example/hook"},
///             "schedule": {"realtime": true, "maxRetries": 5},
///             "actions": [{"event": "order.paid"}],
///         },
///         {"name": "audit", "function": "example/audit"},
///     ],
/// });
/// assert!(JobsConfig::from_json(&spec).is_ok());
///
/// let faults = JobsConfig::from_json(&serde_json::json!({
///     "destinations": [{"name": "crm", "htpp": {"url": "https://crm.example/hook"}}],
/// })).unwrap_err();
/// assert_eq!(faults[0].path, "destinations[0]");
/// ```
#[derive(Debug, Clone)]
pub struct JobsConfig {
    namespace: String,
    builder: JobsBuilder,
}

/// The ways that are stages of pipelines: the key here, and the key of the stage.
const STAGES: [(&str, &str); 4] = [
    ("http", "http-export"),
    ("mqtt", "mqtt-export"),
    ("kafka", "kafka-export"),
    ("kinesis", "kinesis-export"),
];

/// Settings of an export that a destination has itself.
const OF_DESTINATION: [(&str, &str); 3] = [
    (
        "retry",
        "the schedule says when a job is tried again: write `retry` into `schedule`",
    ),
    (
        "orderKey",
        "belongs beside it: the order is that of the destination",
    ),
    (
        "onFailure",
        "a job that fails is tried again, as its schedule says",
    ),
];

impl JobsConfig {
    /// The destinations that `spec` declares: `{namespace?, schedule?, keep?, destinations: […]}`.
    ///
    /// # Errors
    /// All faults at once, each with its path below `spec`.
    pub fn from_json(spec: &Value) -> Result<Self, Vec<Finding>> {
        let (tree, findings) = (Node::from_json(spec), Findings::default());
        let config = Self::read(At::new(&tree, "", &findings));
        findings.into_result(config)
    }

    /// The destinations declared at `at`; `None` if they have faults, which are reported.
    pub(crate) fn read(at: At<'_>) -> Option<Self> {
        let fields = at.clone().fields()?;
        let mut namespace = DEFAULT_NAMESPACE.to_owned();
        let (mut schedule, mut keep) = (None, None::<Duration>);
        let mut whole = vec![
            fields.set("namespace", &mut namespace, At::text),
            fields.set("schedule", &mut schedule, |at| Schedule::read(at).map(Some)),
            fields.set("keep", &mut keep, |at| at.span().map(Some)),
        ];
        let items = fields.required("destinations").and_then(At::items);
        fields.finish();
        let items = items?;
        let mut builder = Jobs::builder().namespace(namespace.as_str());
        if let Some(schedule) = schedule {
            builder = builder.schedule(schedule);
        }
        if let Some(keep) = keep {
            builder = builder.keep(keep);
        }
        for item in &items {
            let destination = read_destination(item);
            whole.push(destination.is_some());
            if let Some(destination) = destination {
                builder = builder.destination(destination);
            }
        }
        // What could not be read would be missed by the others.
        if whole.contains(&false) {
            return None;
        }
        let checked = builder.clone().checked(&mut |n, field, text| match n
            .and_then(|n| items.get(n))
        {
            Some(item) => item.fault_at(field, text),
            None => at.fault_at(field, text),
        });
        checked.map(|_| Self { namespace, builder })
    }

    /// The namespace of the functions.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The jobs of a process that has this clock and this network.
    ///
    /// # Errors
    /// If the network does not suit: its certificates cannot be read.
    pub fn build(
        &self,
        clock: Arc<dyn Clock>,
        network: &Network,
    ) -> Result<Jobs, super::InvalidJobs> {
        self.builder.clone().clock(clock).network(network).build()
    }

    /// The names of its functions.
    #[cfg(feature = "runtime")]
    pub(crate) fn functions(&self) -> Result<Vec<TypeName>, super::InvalidJobs> {
        let specs = self.builder.clone().build()?.functions();
        Ok(specs.iter().map(|spec| spec.type_name().clone()).collect())
    }

    /// The egresses to which jobs are sent, each with the place where it is named, if that is known.
    #[cfg(feature = "runtime")]
    pub(crate) fn egresses(&self) -> impl Iterator<Item = (&TypeName, Option<&Finding>)> {
        let ways = self.builder.ways();
        ways.filter_map(|way| match way {
            Way::Egress(egress) => Some((egress, None)),
            Way::Stage(StageKind::Egress(export)) => Some((&export.id, Some(&export.named_at))),
            _ => None,
        })
    }
}

fn read_destination(at: &At<'_>) -> Option<Destination> {
    let fields = at.clone().fields()?;
    let name = fields.required("name").and_then(|at| at.text());
    let mut destination = Destination::new(name.clone().unwrap_or_default());
    let way = read_way(at, &fields);
    let whole = [
        name.is_some(),
        fields.set("schedule", &mut destination.schedule, |at| {
            Schedule::read(at).map(Some)
        }),
        fields.set("timeout", &mut destination.timeout, |at| {
            at.span().map(Some)
        }),
        fields.set("orderKey", &mut destination.order_key, |at| {
            at.text().map(Some)
        }),
        fields.set("actions", &mut destination.actions, |at| {
            let items = at.clone().items()?;
            let actions: Vec<_> = items.iter().map(read_action).collect();
            actions.into_iter().collect()
        }),
    ];
    let follow_ups = read_follow_ups(&fields);
    fields.finish();
    destination.follow_ups = follow_ups?.unwrap_or_default();
    destination.way = Some(way?);
    (!whole.contains(&false)).then_some(destination)
}

/// The one way to reach the destination.
fn read_way(at: &At<'_>, fields: &Fields<'_>) -> Option<Way> {
    let mut ways = Vec::new();
    for (key, stage) in STAGES {
        if let Some(at) = fields.get(key) {
            ways.push((key, read_stage(&at, stage).map(Way::Stage)));
        }
    }
    for (key, make) in [
        ("egress", Way::Egress as fn(TypeName) -> Way),
        ("function", Way::Function),
    ] {
        if let Some(at) = fields.get(key) {
            let name = at.parsed(|text| text.trim().parse::<TypeName>());
            ways.push((key, name.map(make)));
        }
    }
    match <[_; 1]>::try_from(ways) {
        Ok([(_, way)]) => way,
        Err(ways) => match ways.as_slice() {
            // An unknown key may be the misspelt way, and is reported with what was meant.
            [] => at.fault("it is not said how the destination is reached: add `http`, `mqtt`, `kafka`, `kinesis`, `egress` or `function`"),
            ways => {
                let keys: Vec<String> = ways.iter().map(|(key, _)| format!("`{key}`")).collect();
                let keys = keys.join(" and ");
                at.fault(format_args!("has {keys}: a destination is reached in one way"))
            }
        },
    }
}

fn read_stage(at: &At<'_>, kind: &str) -> Option<StageKind> {
    let mut is_whole = true;
    for (key, text) in OF_DESTINATION {
        if at.node.get(key).is_some() {
            at.fault_at(key, text);
            is_whole = false;
        }
    }
    let stage = pipeline::read_stage(kind, at.clone());
    stage.filter(|_| is_whole)
}

fn read_action(at: &At<'_>) -> Option<Action> {
    let fields = at.clone().fields()?;
    let event = fields.required("event").and_then(|at| at.text());
    let mut schedule = None;
    let whole = fields.set("schedule", &mut schedule, |at| Schedule::read(at).map(Some));
    let follow_ups = read_follow_ups(&fields);
    fields.finish();
    let mut action = Action::on(event?);
    (action.schedule, action.follow_ups) = (schedule, follow_ups?);
    whole.then_some(action)
}

/// `onSucceeded`, `onFailed` and `onDiscarded`, each a list of names; `None` in the result if there are none.
fn read_follow_ups(fields: &Fields<'_>) -> Option<Option<FollowUps>> {
    let mut read = FollowUps::default();
    let names = |at: &At<'_>| {
        let items = at.clone().items()?;
        let names: Vec<_> = items.iter().map(At::text).collect();
        names.into_iter().collect::<Option<Vec<String>>>()
    };
    let whole = [
        fields.set("onSucceeded", &mut read.succeeded, names),
        fields.set("onFailed", &mut read.failed, names),
        fields.set("onDiscarded", &mut read.discarded, names),
    ];
    if whole.contains(&false) {
        return None;
    }
    let keys = ["onSucceeded", "onFailed", "onDiscarded"];
    let is_given = keys.iter().any(|key| fields.has(key));
    Some(is_given.then_some(read))
}
