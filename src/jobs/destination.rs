//! Destinations and their actions, before they are checked.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::closure::Deliver;
use super::job::Job;
use super::schedule::Schedule;
use crate::delivery::Failure;
use crate::pipeline::{HttpExport, StageKind};
use crate::sdk::TypeName;

/// Where jobs are delivered, and when.
///
/// ```
/// use stateful_functions::delivery::Failure;
/// use stateful_functions::jobs::{Action, Destination, Job, Schedule};
/// use stateful_functions::pipeline::HttpExport;
///
/// let crm = Destination::new("crm")
///     .http(HttpExport::post("https://crm.example/hook"))
///     .schedule(Schedule::realtime().max_retries(5))
///     .on_discarded(["audit"]);
/// let audit = Destination::new("audit")
///     .call(async |job: Job| -> Result<(), Failure> {
///         println!("{} {}", job.event, job.id);
///         Ok(())
///     })
///     .action(Action::on("*").schedule(Schedule::realtime()));
/// # let _ = (crm, audit);
/// ```
#[derive(Clone)]
#[must_use = "a destination is given to a builder of jobs"]
pub struct Destination {
    pub(super) name: String,
    pub(super) way: Option<Way>,
    pub(super) schedule: Option<Schedule>,
    pub(super) timeout: Option<Duration>,
    pub(super) order_key: Option<String>,
    pub(super) max_in_flight: NonZeroUsize,
    pub(super) actions: Vec<Action>,
    pub(super) follow_ups: FollowUps,
}

/// How a destination is reached.
#[derive(Clone)]
pub(super) enum Way {
    Http(Box<HttpExport>),
    /// A stage of a pipeline that sends records away.
    Stage(StageKind),
    Egress(TypeName),
    Function(TypeName),
    Closure(Arc<dyn Deliver>),
}

/// What a destination does for the events of one name, or for all others.
#[derive(Debug, Clone)]
#[must_use = "an action is given to a destination"]
pub struct Action {
    pub(super) event: String,
    pub(super) schedule: Option<Schedule>,
    pub(super) follow_ups: Option<FollowUps>,
}

/// The names of the destinations that get a job after an outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowUps {
    /// After a success.
    pub succeeded: Vec<String>,
    /// After each failed attempt that is followed by another.
    pub failed: Vec<String>,
    /// After the job was given up.
    pub discarded: Vec<String>,
}

impl FollowUps {
    pub(super) const fn is_empty(&self) -> bool {
        self.succeeded.is_empty() && self.failed.is_empty() && self.discarded.is_empty()
    }

    /// Every name, and the field in which it stands.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let all = [
            ("onSucceeded", &self.succeeded),
            ("onFailed", &self.failed),
            ("onDiscarded", &self.discarded),
        ];
        all.into_iter()
            .flat_map(|(field, names)| names.iter().map(move |name| (field, name)))
    }
}

const IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

impl Destination {
    /// A destination of this name, of letters, digits, `-` and `_`. It needs one way to be reached.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            way: None,
            schedule: None,
            timeout: None,
            order_key: None,
            max_in_flight: IN_FLIGHT,
            actions: Vec::new(),
            follow_ups: FollowUps::default(),
        }
    }

    /// Jobs are sent as HTTP requests. The retry policy and the order of the export are not used: the schedule and
    /// [`order_key`](Self::order_key) are.
    pub fn http(self, export: HttpExport) -> Self {
        self.by(Way::Http(Box::new(export)))
    }

    /// Jobs are sent to an egress, and have succeeded with the commit that sends them.
    pub fn egress(self, egress: TypeName) -> Self {
        self.by(Way::Egress(egress))
    }

    /// Each attempt is a message of type [`JOB`](super::JOB) to this function, with the job's id as its id; its answer is the outcome.
    pub fn function(self, function: TypeName) -> Self {
        self.by(Way::Function(function))
    }

    /// Jobs are given to a function in this process: any `Fn(Job)` whose future is a `Result<(), Failure>`.
    pub fn call<F, R>(self, target: F) -> Self
    where
        F: Fn(Job) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.by(Way::Closure(Arc::new(target)))
    }

    pub(super) fn by(mut self, way: Way) -> Self {
        self.way = Some(way);
        self
    }

    /// Sets when its jobs are attempted. Default: the schedule of all destinations.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Sets the time after which an attempt without an answer has failed. Default 30 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// A field of the data, or a text with `{field}` placeholders: jobs with equal keys are delivered one after the other.
    pub fn order_key(mut self, key: impl Into<String>) -> Self {
        self.order_key = Some(key.into());
        self
    }

    /// Sets the maximum number of attempts in progress from this process. Default 64; an export has its own.
    pub const fn max_in_flight(mut self, attempts: NonZeroUsize) -> Self {
        self.max_in_flight = attempts;
        self
    }

    /// Adds an action. A destination without any takes all events.
    pub fn action(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// Sets which destinations get a job after a success.
    pub fn on_succeeded<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.follow_ups.succeeded = texts(names);
        self
    }

    /// Sets which destinations get a job after each failed attempt that is followed by another.
    pub fn on_failed<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.follow_ups.failed = texts(names);
        self
    }

    /// Sets which destinations get a job after one was given up.
    pub fn on_discarded<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.follow_ups.discarded = texts(names);
        self
    }
}

fn texts<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

impl Action {
    /// An action for the events of this name; `*` for events of any name.
    pub fn on(event: impl Into<String>) -> Self {
        Self {
            event: event.into(),
            schedule: None,
            follow_ups: None,
        }
    }

    /// Sets when its jobs are attempted. Default: the schedule of the destination.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Sets which jobs follow. Default: those of the destination.
    pub fn follow_ups(mut self, follow_ups: FollowUps) -> Self {
        self.follow_ups = Some(follow_ups);
        self
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("name", &self.name)
            .field("schedule", &self.schedule)
            .field("actions", &self.actions)
            .finish_non_exhaustive()
    }
}
