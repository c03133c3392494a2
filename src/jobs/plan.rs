//! Which jobs an event becomes, and which follow from an outcome. Pure: equal arguments give equal jobs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::destination::FollowUps;
use super::event::{Event, JobRef};
use super::follow_up::{self, Ended};
use super::id::JobId;
use super::job::{self, values};
use super::schedule::Schedule;
use crate::delivery::engine::{Follow, Policy};
use crate::pipeline::{Record, Template};
use crate::sdk::{Address, TypeName};
use crate::time::Timestamp;

/// The action for events of any name.
pub(super) const ANY: &str = "*";

/// All destinations of one namespace.
#[derive(Debug)]
pub(super) struct Plan {
    /// The function of events.
    pub(super) events: TypeName,
    /// The function that wakes jobs when a destination works again.
    pub(super) wakes: TypeName,
    pub(super) routes: Vec<Arc<Route>>,
    /// How long succeeded and cancelled jobs are kept.
    pub(super) keep: Duration,
}

/// One action of one destination: its jobs are addresses of one function.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) destination: String,
    /// The name of the events, or [`ANY`].
    pub(super) action: String,
    pub(super) function: TypeName,
    pub(super) lane: TypeName,
    pub(super) schedule: Schedule,
    pub(super) policy: Policy,
    pub(super) order_key: Option<Template>,
    pub(super) follow_ups: FollowUps,
}

/// Why an event was refused. Nothing is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct Refusal {
    /// A stable code: `event.exists`, `event.bad_id`, `event.invalid`, `event.bad_key`, `destination.not_found`.
    pub code: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("event.invalid", message)
    }
}

/// A job to submit.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) job: JobRef,
    pub(super) to: Address,
    pub(super) record: Record,
}

/// What the sender of an event asks for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Only these destinations; empty for all.
    pub(super) targets: Vec<String>,
    pub(super) key: Option<String>,
    pub(super) due: Option<Timestamp>,
}

impl Route {
    /// The order key of a job with this record.
    fn key(&self, record: &mut Record) -> Result<Option<String>, String> {
        let key = self.order_key.as_ref().map(|key| key.fill(record));
        key.transpose().map_err(|err| {
            format!(
                "the order key of destination `{}` cannot be made: {err}",
                self.destination
            )
        })
    }

    fn planned(&self, id: JobId, record: Record, parent: Option<&str>) -> Planned {
        let id = id.to_string();
        let to = Address::new(self.function.clone(), id.as_str());
        let job = JobRef {
            id,
            destination: self.destination.clone(),
            action: self.action.clone(),
            address: to.to_string(),
            parent_job_id: parent.map(str::to_owned),
        };
        Planned { job, to, record }
    }
}

impl Plan {
    /// The jobs of a new event: at most two for one destination, one for its name and one for any name.
    pub(super) fn jobs_of(
        &self,
        event: &Event,
        wishes: &Wishes,
        now: Timestamp,
    ) -> Result<Vec<Planned>, Refusal> {
        let id: JobId = event
            .id
            .parse()
            .map_err(|err: super::InvalidId| Refusal::new("event.bad_id", err.to_string()))?;
        if event.name.trim().is_empty() {
            return Err(Refusal::invalid(
                "`name` is empty; actions are chosen by it",
            ));
        }
        self.check_targets(&wishes.targets)?;
        let payload = event.payload()?;
        let mut planned = Vec::new();
        for route in &self.routes {
            let is_wanted =
                wishes.targets.is_empty() || wishes.targets.contains(&route.destination);
            let suits = route.action == ANY || route.action == event.name;
            if !is_wanted || !suits {
                continue;
            }
            let mut record = job::record(event, &payload, &route.destination, &route.action);
            let key = match &wishes.key {
                Some(key) => Some(key.clone()),
                None => {
                    let key = route.key(&mut record);
                    key.map_err(|text| Refusal::new("event.bad_key", text))?
                }
            };
            let due = wishes.due.or_else(|| route.schedule.first_due(now));
            job::submit_with(&mut record, key, due);
            let job = id.derived(&[&route.destination, &route.action]);
            planned.push(route.planned(job, record, None));
        }
        Ok(planned)
    }

    fn check_targets(&self, targets: &[String]) -> Result<(), Refusal> {
        let has = |name: &String| self.routes.iter().any(|route| route.destination == *name);
        let Some(unknown) = targets.iter().find(|name| !has(name)) else {
            return Ok(());
        };
        let mut known: Vec<&str> = Vec::new();
        for route in &self.routes {
            if known.last() != Some(&route.destination.as_str()) {
                known.push(&route.destination);
            }
        }
        let text = format!(
            "there is no destination `{unknown}`; known: {}",
            known.join(", ")
        );
        Err(Refusal::new("destination.not_found", text))
    }

    /// The jobs that follow from an outcome: children of the job that had it.
    pub(super) fn jobs_after(&self, event: &Event, ended: &Ended, now: Timestamp) -> Vec<Planned> {
        let (Some(parent), Ok(payload)) = (self.route(ended), event.payload()) else {
            return Vec::new();
        };
        let Ok(parent_id) = ended.job.parse::<JobId>() else {
            return Vec::new();
        };
        let names = match ended.follow {
            Follow::Succeeded => &parent.follow_ups.succeeded,
            Follow::Failed => &parent.follow_ups.failed,
            Follow::Discarded => &parent.follow_ups.discarded,
        };
        let (kind, attempt) = (follow_up::name(ended.follow), ended.attempt.to_string());
        let children = names
            .iter()
            .filter_map(|name| self.route_for(name, &event.name));
        let child = |route: &Arc<Route>| {
            let id = parent_id.derived(&[kind, &attempt, &route.destination]);
            let record = child_record(route, event, &payload, &ended.job, now);
            route.planned(id, record, Some(&ended.job))
        };
        children.map(child).collect()
    }

    fn route(&self, ended: &Ended) -> Option<&Arc<Route>> {
        let mut routes = self.routes.iter();
        routes.find(|route| route.destination == ended.destination && route.action == ended.action)
    }

    /// The action of a destination for an event: that for its name, or that for any.
    fn route_for(&self, destination: &str, event: &str) -> Option<&Arc<Route>> {
        let of = |action: &str| {
            let mut routes = self.routes.iter();
            routes.find(|route| route.destination == destination && route.action == action)
        };
        of(event).or_else(|| of(ANY))
    }
}

fn child_record(
    route: &Route,
    event: &Event,
    payload: &(Bytes, bool),
    parent: &str,
    now: Timestamp,
) -> Record {
    let mut record = job::record(event, payload, &route.destination, &route.action);
    record.set_value(values::PARENT, parent);
    match route.key(&mut record) {
        Ok(key) => job::submit_with(&mut record, key, route.schedule.first_due(now)),
        // Nobody waits for an answer, so the job itself says it: it is given up with its first attempt.
        Err(fault) => record.set_value(values::FAULT, fault),
    }
    record
}

#[cfg(test)]
mod tests {
    use super::super::event::NewEvent;
    use super::super::{Action, Destination, Jobs, Schedule};
    use super::*;
    use crate::delivery::Failure;

    fn destination(name: &str) -> Destination {
        Destination::new(name).call(async |_| Ok::<(), Failure>(()))
    }

    fn plan(destinations: Vec<Destination>) -> Arc<Plan> {
        let mut jobs = Jobs::builder();
        for destination in destinations {
            jobs = jobs.destination(destination);
        }
        jobs.build().unwrap().plan()
    }

    fn event(text: &str) -> Event {
        let event: NewEvent = serde_json::from_str(text).unwrap();
        let id = JobId::new(Timestamp::from_millis(1_700_000_000_000), [1; 16]);
        event.received(&id.to_string(), Timestamp::from_millis(0))
    }

    fn names(jobs: &[Planned]) -> Vec<(&str, &str)> {
        jobs.iter()
            .map(|planned| {
                (
                    planned.job.destination.as_str(),
                    planned.job.action.as_str(),
                )
            })
            .collect()
    }

    #[test]
    fn an_event_has_at_most_two_jobs_for_one_destination() {
        let crm = destination("crm")
            .action(Action::on("order.paid"))
            .action(Action::on("*"))
            .action(Action::on("order.sent"));
        let plan = plan(vec![crm, destination("audit")]);
        let event = event(r#"{"name": "order.paid"}"#);
        let now = Timestamp::from_millis(0);
        let jobs = plan.jobs_of(&event, &Wishes::default(), now).unwrap();
        assert_eq!(
            names(&jobs),
            [("crm", "order.paid"), ("crm", "*"), ("audit", "*")]
        );
        let again = plan.jobs_of(&event, &Wishes::default(), now).unwrap();
        let ids = |jobs: &[Planned]| -> Vec<String> {
            jobs.iter().map(|planned| planned.job.id.clone()).collect()
        };
        assert_eq!(ids(&jobs), ids(&again), "a repetition gives the same jobs");
        let wishes = Wishes {
            targets: vec!["audit".to_owned()],
            ..Wishes::default()
        };
        let jobs = plan.jobs_of(&event, &wishes, now).unwrap();
        assert_eq!(names(&jobs), [("audit", "*")]);
    }

    #[test]
    fn dl_13_what_cannot_become_jobs_is_refused_as_a_whole() {
        let crm = destination("crm").order_key("customer");
        let plan = plan(vec![destination("audit"), crm]);
        let now = Timestamp::from_millis(0);
        let refused = |text: &str, targets: &[&str]| {
            let wishes = Wishes {
                targets: targets.iter().map(|name| (*name).to_owned()).collect(),
                ..Wishes::default()
            };
            plan.jobs_of(&event(text), &wishes, now).unwrap_err().code
        };
        assert_eq!(
            refused(r#"{"name": "paid", "data": {}}"#, &[]),
            "event.bad_key"
        );
        let unknown = refused(r#"{"name": "paid"}"#, &["audit", "mail"]);
        assert_eq!(unknown, "destination.not_found");
        assert_eq!(refused(r#"{"name": " "}"#, &[]), "event.invalid");
        let both = r#"{"name": "paid", "data": 1, "data_base64": ""}"#;
        assert_eq!(refused(both, &[]), "event.invalid");
    }

    #[test]
    fn dl_18_the_schedule_of_an_action_precedes_that_of_its_destination_and_the_default() {
        let crm = destination("crm")
            .schedule(Schedule::every("5m").unwrap())
            .action(Action::on("paid").schedule(Schedule::realtime().max_retries(0)))
            .action(Action::on("*"));
        let plan = plan(vec![crm, destination("audit")]);
        let attempts = |at: usize| plan.routes[at].policy.attempts;
        assert_eq!(
            [attempts(0), attempts(1), attempts(2)],
            [Some(1), Some(73), Some(73)]
        );
        let now = Timestamp::from_millis(0);
        let due = |at: usize| {
            plan.routes[at]
                .schedule
                .first_due(now)
                .map(Timestamp::as_millis)
        };
        assert_eq!(
            [due(0), due(1), due(2)],
            [None, Some(300_000), Some(3_600_000)]
        );
    }

    #[test]
    fn the_ids_of_follow_ups_are_the_same_whenever_they_are_made() {
        let plan = plan(vec![
            destination("crm").on_failed(["audit"]),
            destination("audit").order_key("customer"),
        ]);
        let event = event(r#"{"name": "paid", "data": {"customer": 7}}"#);
        let now = Timestamp::from_millis(0);
        let parent = plan.jobs_of(&event, &Wishes::default(), now).unwrap();
        let ended = |attempt| Ended {
            job: parent[0].job.id.clone(),
            destination: "crm".to_owned(),
            action: "*".to_owned(),
            follow: Follow::Failed,
            attempt,
        };
        let one = plan.jobs_after(&event, &ended(1), now);
        assert_eq!(
            one[0].job.parent_job_id.as_deref(),
            Some(parent[0].job.id.as_str())
        );
        assert_eq!(
            one[0].job.id,
            plan.jobs_after(&event, &ended(1), now)[0].job.id
        );
        assert_ne!(
            one[0].job.id,
            plan.jobs_after(&event, &ended(2), now)[0].job.id
        );
    }
}
