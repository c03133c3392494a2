//! Builds jobs, in Rust and from their declared form.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::destination::Destination;
#[cfg(feature = "runtime")]
use super::destination::Way;
use super::event_function;
use super::job_function;
use super::plan::Plan;
use super::schedule::Schedule;
use super::target::{JobTarget, Reach};
use crate::clock::{Clock, SystemClock};
#[cfg(feature = "runtime")]
use crate::delivery::engine::Policy;
use crate::delivery::owner::{DestinationFunction, Names, Owner};
use crate::document::{Finding, Location};
use crate::pipeline::Destinations;
use crate::sdk::{FunctionSpec, TypeName};
use crate::transport::http::client::Network;

/// The default namespace of the functions of jobs.
pub(super) const DEFAULT_NAMESPACE: &str = "jobs";
const DEFAULT_KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// Destinations of events, as functions.
///
/// ```
/// use stateful_functions::StatefulFunctions;
/// use stateful_functions::jobs::{Destination, Jobs, Schedule};
/// use stateful_functions::pipeline::HttpExport;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::builder()
///     .destination(
///         Destination::new("crm")
///             .http(HttpExport::post("https://crm.example/hook"))
///             .schedule(Schedule::realtime().max_retries(5)),
///     )
///     .build()?;
///
/// let mut functions = StatefulFunctions::new();
/// for spec in jobs.functions() {
///     functions = functions.with(spec)?;
/// }
/// assert_eq!(jobs.events().as_str(), "jobs/events");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Jobs {
    pub(super) plan: Arc<Plan>,
    pub(super) reaches: Arc<Vec<Reached>>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Whether a function takes values of a type, given by name, from outside.
#[cfg(feature = "runtime")]
type Takes = fn(&str) -> bool;

/// How the destination of a route is reached.
pub(super) struct Reached {
    pub(super) reach: Reach,
    pub(super) max_in_flight: NonZeroUsize,
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reached").finish_non_exhaustive()
    }
}

/// Builds [`Jobs`]: add destinations, then call [`JobsBuilder::build`].
#[derive(Debug, Clone)]
#[must_use = "a builder makes jobs with `build`"]
pub struct JobsBuilder {
    pub(super) namespace: String,
    pub(super) schedule: Schedule,
    pub(super) keep: Duration,
    pub(super) destinations: Vec<Destination>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) network: Network,
}

/// Destinations that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidJobs {
    faults: Vec<Finding>,
}

impl InvalidJobs {
    /// All faults, each with its path as in the declared form.
    pub fn faults(&self) -> &[Finding] {
        &self.faults
    }
}

impl std::error::Error for InvalidJobs {}

impl fmt::Display for InvalidJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("jobs")?;
        for (at, fault) in self.faults.iter().enumerate() {
            let mark = if at == 0 { ": " } else { "; " };
            write!(f, "{mark}{fault}")?;
        }
        Ok(())
    }
}

impl Jobs {
    /// A builder without destinations.
    pub fn builder() -> JobsBuilder {
        JobsBuilder {
            namespace: DEFAULT_NAMESPACE.to_owned(),
            schedule: Schedule::default(),
            keep: DEFAULT_KEEP,
            destinations: Vec::new(),
            clock: Arc::new(SystemClock),
            network: Network::default(),
        }
    }

    /// The function to which events are sent.
    pub fn events(&self) -> &TypeName {
        &self.plan.events
    }

    /// The functions that keep jobs, one for each action.
    pub fn keepers(&self) -> impl Iterator<Item = &TypeName> {
        self.plan.routes.iter().map(|route| &route.function)
    }

    /// The functions, which must be registered together.
    pub fn functions(&self) -> Vec<FunctionSpec> {
        self.functions_beside(&Destinations::default())
    }

    /// The functions, sharing the knowledge of destinations with pipelines of this process.
    pub fn functions_beside(&self, destinations: &Destinations) -> Vec<FunctionSpec> {
        let Destinations {
            registry,
            connections,
            ..
        } = destinations;
        let mut specs = vec![event_function::spec(&self.plan, Arc::clone(&self.clock))];
        let mut items = Vec::new();
        for (route, reached) in self.plan.routes.iter().zip(self.reaches.iter()) {
            registry.add_keeper(&route.function);
            let name = route.function.name();
            let stage = name.rsplit_once('.').map_or(name, |(_, stage)| stage);
            items.push((stage.to_owned(), route.function.clone()));
            if route.policy.wake {
                registry.add_list(&self.plan.wakes, reached.destination());
            }
            let target = JobTarget {
                route: Arc::clone(route),
                reach: reached.reach.clone(),
                events: self.plan.events.clone(),
                keep: self.plan.keep,
                max_in_flight: reached.max_in_flight,
                connections: connections.clone(),
                goal: Arc::from(route.destination.as_str()),
            };
            let names = Names {
                item: route.function.clone(),
                lane: route.lane.clone(),
                destination: self.plan.wakes.clone(),
                stage: stage.to_owned(),
            };
            let (registry, clock) = (Arc::clone(registry), Arc::clone(&self.clock));
            let owner = Owner::new(target, route.policy.clone(), names, registry, clock);
            specs.extend(job_function::specs(Arc::new(owner)));
        }
        let (registry, clock) = (Arc::clone(registry), Arc::clone(&self.clock));
        specs.push(DestinationFunction::spec(
            self.plan.wakes.clone(),
            items,
            registry,
            clock,
        ));
        specs
    }

    #[cfg(test)]
    pub(super) fn plan(self) -> Arc<Plan> {
        self.plan
    }
}

#[cfg(feature = "runtime")]
impl Jobs {
    /// The functions whose jobs wait according to a policy, with that policy.
    pub(crate) fn policies(&self) -> impl Iterator<Item = (&TypeName, &Policy)> {
        let routes = self.plan.routes.iter();
        routes.map(|route| (&route.function, &route.policy))
    }

    /// The functions that keep jobs, each with its destination and its action.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (&TypeName, &str, &str)> {
        let routes = self.plan.routes.iter();
        routes.map(|route| {
            (
                &route.function,
                route.destination.as_str(),
                route.action.as_str(),
            )
        })
    }

    /// The functions besides that of events, each with what it takes from outside.
    pub(crate) fn parts(&self) -> Vec<(TypeName, Takes)> {
        let nothing: Takes = |_| false;
        let of_jobs = self.plan.routes.iter().flat_map(|route| {
            let takes: Takes = job_function::takes;
            [
                (route.function.clone(), takes),
                (route.lane.clone(), nothing),
            ]
        });
        let of_wakes = [(self.plan.wakes.clone(), nothing)];
        of_jobs.chain(of_wakes).collect()
    }
}

impl Reached {
    /// Where all jobs go, as it is named to wake them; `None` when that depends on the job.
    fn destination(&self) -> Option<Arc<str>> {
        match &self.reach {
            Reach::Export(exporter) => exporter.destination(),
            _ => None,
        }
    }
}

impl JobsBuilder {
    /// Sets the namespace of the functions. Default `jobs`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the schedule of destinations that have none. Default: every hour, with 72 retries.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets how long succeeded and cancelled jobs are kept, with their events. Default 7 days. Those that were given up stay until an operator
    /// purges them.
    pub const fn keep(mut self, span: Duration) -> Self {
        self.keep = span;
        self
    }

    /// Adds a destination.
    pub fn destination(mut self, destination: Destination) -> Self {
        self.destinations.push(destination);
        self
    }

    /// Sets the clock. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets proxies and authorities for HTTP targets. Default: no proxy, and the public authorities.
    pub fn network(mut self, network: &Network) -> Self {
        self.network.clone_from(network);
        self
    }

    #[cfg(feature = "runtime")]
    pub(super) fn ways(&self) -> impl Iterator<Item = &Way> {
        self.destinations.iter().filter_map(|one| one.way.as_ref())
    }

    /// Builds the functions.
    ///
    /// # Errors
    /// All faults at once.
    pub fn build(self) -> Result<Jobs, InvalidJobs> {
        let mut faults = Vec::new();
        let jobs = self.checked(&mut |at: Option<usize>, field: &str, text: String| {
            let path = match at {
                Some(at) => format!("destinations[{at}].{field}"),
                None => field.to_owned(),
            };
            faults.push(Finding::new(Location::nowhere(), path, text));
        });
        match jobs {
            Some(jobs) if faults.is_empty() => Ok(jobs),
            _ => Err(InvalidJobs { faults }),
        }
    }
}
