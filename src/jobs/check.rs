//! Checks destinations: names, actions, schedules, follow-ups, and how each is reached.

use std::sync::Arc;
use std::time::Duration;

use super::build::{Jobs, JobsBuilder, Reached};
use super::destination::{Action, Destination, Way};
use super::plan::{ANY, Plan, Route};
use super::rings::rings;
use super::schedule::Schedule;
use super::target::Reach;
use crate::delivery::engine::{Journal, Policy};
use crate::pipeline::{self, Exporter, StageKind, Template};
use crate::sdk::TypeName;
use crate::transport::http::client::Network;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

impl JobsBuilder {
    /// The functions, if all is well; `fault` gets the destination, its field and the fault.
    pub(super) fn checked(
        self,
        fault: &mut dyn FnMut(Option<usize>, &str, String),
    ) -> Option<Jobs> {
        let count = std::cell::Cell::new(0);
        let mut fault = |at: Option<usize>, field: &str, text: String| {
            count.set(count.get() + 1);
            fault(at, field, text);
        };
        if let Err(text) = pipeline::check_half(&self.namespace) {
            fault(None, "namespace", text);
        }
        if self.destinations.is_empty() {
            let text = "at least one destination is needed".to_owned();
            fault(None, "destinations", text);
        }
        let name = |text: &str| TypeName::from_parts(&self.namespace, text).ok();
        let (mut routes, mut reaches) = (Vec::new(), Vec::new());
        for (at, destination) in self.destinations.iter().enumerate() {
            let mut fault = |field: &str, text: String| fault(Some(at), field, text);
            check_name(destination, self.destinations.get(..at), &mut fault);
            check_follow_ups(destination, &self.destinations, &mut fault);
            let order_key = destination.order_key.as_deref().map(Template::parse_key);
            let order_key = order_key.transpose().unwrap_or_else(|err| {
                fault("orderKey", err.to_string());
                None
            });
            let reach = reach(destination, &self.network, &mut fault);
            let any = [Action::on(ANY)];
            let actions = match destination.actions.as_slice() {
                [] => &any,
                actions => actions,
            };
            for (n, action) in actions.iter().enumerate() {
                check_action(action, actions.get(..n), n, &mut fault);
                let schedule = action.schedule.as_ref().or(destination.schedule.as_ref());
                let schedule = schedule.unwrap_or(&self.schedule);
                let policy = policy(schedule, destination, reach.as_ref());
                if let Err(invalid) = policy.check() {
                    fault("schedule", invalid.to_string());
                }
                let function = function_name(&destination.name, &action.event);
                let lane = name(&format!("lane.{function}"));
                let (Some(reach), Some(function), Some(lane)) = (&reach, name(&function), lane)
                else {
                    continue;
                };
                let follow_ups = action.follow_ups.as_ref();
                reaches.push(Reached {
                    reach: with_policy(reach, &policy),
                    max_in_flight: destination.max_in_flight,
                });
                routes.push(Arc::new(Route {
                    destination: destination.name.clone(),
                    action: action.event.clone(),
                    function,
                    lane,
                    schedule: schedule.clone(),
                    policy,
                    order_key: order_key.clone(),
                    follow_ups: follow_ups.unwrap_or(&destination.follow_ups).clone(),
                }));
            }
        }
        for ring in rings(&self.destinations) {
            fault(Some(ring.at), ring.field, ring.to_string());
        }
        let plan = Plan {
            events: name("events")?,
            wakes: name("destination.job")?,
            routes,
            keep: self.keep,
        };
        (count.get() == 0).then(|| Jobs {
            plan: Arc::new(plan),
            reaches: Arc::new(reaches),
            clock: self.clock,
        })
    }
}

/// The function that keeps the jobs of an action. A dot in the event's name would end the name of the destination.
fn function_name(destination: &str, event: &str) -> String {
    match event {
        ANY => format!("job.{destination}"),
        event => format!("job.{destination}:{}", event.replace('.', ":")),
    }
}

fn check_name(
    destination: &Destination,
    before: Option<&[Destination]>,
    fault: &mut dyn FnMut(&str, String),
) {
    let name = &destination.name;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(is_part) {
        let text = format!("`{name}` is not a name: use letters, digits, `-` and `_`");
        fault("name", text);
    }
    let mut before = before.unwrap_or_default().iter();
    if before.any(|other| other.name == *name) {
        fault("name", format!("destination `{name}` is declared twice"));
    }
}

fn check_action(
    action: &Action,
    before: Option<&[Action]>,
    n: usize,
    fault: &mut dyn FnMut(&str, String),
) {
    let (field, event) = (format!("actions[{n}].event"), &action.event);
    if event.is_empty() || event.contains('/') {
        let text = format!(
            "`{event}` is not the name of an event here: it must not be empty or contain a slash"
        );
        fault(&field, text);
    }
    let own = function_name("", event);
    let mut before = before.unwrap_or_default().iter();
    if before.any(|other| function_name("", &other.event) == own) {
        fault(
            &field,
            format!("`{event}` has a second action; the first one is above"),
        );
    }
}

/// Each follow-up needs a destination that has an action for the same event.
fn check_follow_ups(
    destination: &Destination,
    all: &[Destination],
    fault: &mut dyn FnMut(&str, String),
) {
    let takes = |other: &Destination, event: &str| {
        let has = |name: &str| other.actions.iter().any(|action| action.event == name);
        other.actions.is_empty() || has(ANY) || (event != ANY && has(event))
    };
    let given = destination
        .actions
        .iter()
        .filter_map(|action| action.follow_ups.as_ref());
    for follow_ups in given.chain([&destination.follow_ups]) {
        let names: Vec<_> = follow_ups.names().collect();
        for (at, (field, name)) in names.iter().enumerate() {
            if names.iter().take(at).any(|other| other == &(*field, *name)) {
                fault(field, format!("destination `{name}` is named twice"));
            }
        }
    }
    let of_actions = destination.actions.iter().filter_map(|action| {
        let follow_ups = action.follow_ups.as_ref();
        Some((action.event.as_str(), follow_ups?))
    });
    let mut own: Vec<&str> = destination
        .actions
        .iter()
        .map(|a| a.event.as_str())
        .collect();
    if own.is_empty() {
        own.push(ANY);
    }
    let of_destination = own
        .into_iter()
        .map(|event| (event, &destination.follow_ups));
    for (event, follow_ups) in of_actions.chain(of_destination) {
        for (field, name) in follow_ups.names() {
            match all.iter().find(|other| other.name == *name) {
                None => fault(field, format!("there is no destination `{name}`")),
                Some(other) if !takes(other, event) => {
                    let text = format!(
                        "destination `{name}` has no action for event `{event}`; give it one, or one for `*`"
                    );
                    fault(field, text);
                }
                Some(_) => {}
            }
        }
    }
}

/// How the destination is reached; `None` if it has faults, which are reported.
fn reach(
    destination: &Destination,
    network: &Network,
    fault: &mut dyn FnMut(&str, String),
) -> Option<Reach> {
    let stage = match destination.way.clone() {
        None => {
            let text = "it is not said how the destination is reached: add `http`, `mqtt`, `kafka`, `kinesis`, `egress` or `function`";
            fault("http", text.to_owned());
            return None;
        }
        Some(Way::Egress(egress)) => return Some(Reach::Egress(egress)),
        Some(Way::Function(function)) => return Some(Reach::Function(function)),
        Some(Way::Closure(target)) => return Some(Reach::Closure(target)),
        Some(Way::Stage(stage)) => Some(stage),
        Some(Way::Http(export)) => {
            let faults = std::cell::RefCell::new(Vec::new());
            let stage = export.check(|field, text| {
                let field = match field {
                    "" => "http".to_owned(),
                    field => format!("http.{field}"),
                };
                faults.borrow_mut().push((field, text.to_string()));
            });
            for (field, text) in faults.into_inner() {
                fault(&field, text);
            }
            stage
        }
    };
    let stage = match network == &Network::default() {
        true => stage?,
        false => match stage?.within(network) {
            Ok(stage) => stage,
            Err(err) => {
                fault("http", err.to_string());
                return None;
            }
        },
    };
    match stage {
        StageKind::Export(exporter) => Some(Reach::Export(exporter)),
        StageKind::Egress(export) => Some(Reach::Records(export)),
        _ => {
            fault("http", "jobs cannot be sent this way".to_owned());
            None
        }
    }
}

/// The policy of the jobs of an action.
fn policy(schedule: &Schedule, destination: &Destination, reach: Option<&Reach>) -> Policy {
    let mut policy = schedule.policy();
    policy.timeout = match reach {
        Some(Reach::Export(exporter)) => destination.timeout.unwrap_or(exporter.policy.timeout),
        _ => destination.timeout.unwrap_or(DEFAULT_TIMEOUT),
    };
    if matches!(reach, Some(Reach::Function(_))) {
        policy.record = Journal::Elsewhere;
    }
    policy
}

/// The same way with the policy of an action, by which answers are judged.
fn with_policy(reach: &Reach, policy: &Policy) -> Reach {
    match reach {
        Reach::Export(exporter) => Reach::Export(Arc::new(Exporter {
            policy: policy.clone(),
            order_key: None,
            ..(**exporter).clone()
        })),
        other => other.clone(),
    }
}
