//! The path of every attempt, the first and all later ones: prepare it, decide, make it, decide again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::super::engine::{
    Class, Classes, Effect, Failure, Input, Journal, Outcome, Readiness, Refused, Retry,
};
use super::breaker::{Circuit, Sign};
use super::decide::{Action, attempts, decide};
use super::function::Owner;
use super::item::Item;
use super::limiter::{Limiter, Permit};
use super::target::Target;
use crate::time::Timestamp;

/// How often a destination without a circuit is probed.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The result of an input.
pub(super) struct Ran<T: Target> {
    pub(super) actions: Vec<Action>,
    /// The unit, if it was delivered.
    pub(super) taken: Option<(T::Unit, T::Taken)>,
    /// The attempt that another address makes.
    pub(super) elsewhere: Option<T::Call>,
    pub(super) way: Option<Way>,
}

impl<T: Target> Ran<T> {
    /// No attempt was made.
    pub(super) const fn of(actions: Vec<Action>) -> Self {
        Self {
            actions,
            taken: None,
            elsewhere: None,
            way: None,
        }
    }
}

/// The way to a destination.
pub(super) struct Way {
    pub(super) name: Arc<str>,
    pub(super) limiter: Arc<Limiter>,
    circuit: Option<Circuit>,
}

/// A prepared attempt.
struct Ready<C> {
    readiness: Readiness,
    /// The call to make, or why the attempt has already failed.
    call: Result<C, Box<Failure>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Way {
    /// How often the destination is probed.
    pub(super) fn ask_every(&self) -> Duration {
        self.circuit.map_or(ASK_EVERY, |circuit| circuit.open_for)
    }
}

impl<T: Target> Owner<T> {
    /// Applies `input` to the item, and makes the attempt that follows from it. An undelivered `unit` is left in place. With `is_probe` the
    /// attempt is a probe.
    pub(super) async fn run(
        &self,
        item: &mut Item,
        unit: &mut Option<T::Unit>,
        input: Input,
        is_probe: bool,
    ) -> Result<Ran<T>, Refused> {
        let now = self.now();
        let (mut ready, mut way) = (None, None);
        if let Some(unit) = unit
            .as_mut()
            .filter(|_| attempts(item, &input, now, &self.policy))
        {
            let made = self.ready(item, unit, is_probe).await;
            (ready, way) = (Some(made.0), made.1);
        }
        let readiness = ready.as_ref().map(|ready| ready.readiness);
        let mut actions = decide(
            item,
            input,
            readiness.unwrap_or_default(),
            now,
            &self.policy,
        )?;
        let mut taken = None;
        if let Some((epoch, n)) = called(&actions) {
            let outcome = match (ready, unit.as_mut()) {
                (Some(Ready { call: Ok(call), .. }), Some(_))
                    if self.policy.record == Journal::Elsewhere =>
                {
                    return Ok(Ran {
                        elsewhere: Some(call),
                        way,
                        ..Ran::of(actions)
                    });
                }
                (Some(ready), Some(unit)) => self.attempt(ready, unit, way.as_ref()).await,
                // Cannot happen: an attempt is prepared whenever one follows. It would count as one without an answer.
                _ => Err(None),
            };
            let outcome = match outcome {
                Ok(success) => {
                    taken = unit.take().map(|unit| (unit, success));
                    Outcome::Ok
                }
                Err(Some(failure)) => Outcome::Err(*failure),
                Err(None) => Outcome::NoAnswer,
            };
            let ended = Input::Outcome { epoch, n, outcome };
            let (ready, now) = (Readiness::Ready, self.now());
            actions.extend(decide(item, ended, ready, now, &self.policy)?);
        }
        Ok(Ran {
            actions,
            taken,
            elsewhere: None,
            way,
        })
    }

    /// Prepares an attempt, and waits for a permit.
    async fn ready(
        &self,
        item: &mut Item,
        unit: &mut T::Unit,
        is_probe: bool,
    ) -> (Ready<T::Call>, Option<Way>) {
        let mut ready = Ready {
            readiness: Readiness::Ready,
            call: Err(Box::new(Failure::retry("busy", "no attempt is possible"))),
            permit: None,
        };
        let prepared = match self.target.prepare(unit, &item.delivery) {
            Ok(prepared) => prepared,
            Err(failure) => {
                ready.call = Err(failure);
                return (ready, None);
            }
        };
        ready.call = Ok(prepared.call);
        let Some(goal) = prepared.goal else {
            return (ready, None);
        };
        if *item.delivery.target != *goal.name {
            goal.name.as_ref().clone_into(&mut item.delivery.target);
        }
        item.has_destination = true;
        let limiter = self.limiters.of(&goal, &self.registry);
        let spread = longest_wait(&self.policy.retry);
        match limiter
            .acquire(self.now(), self.policy.timeout, spread, is_probe)
            .await
        {
            Permit::Granted {
                permit,
                is_probe: probes_circuit,
            } => {
                ready.permit = Some(permit);
                if probes_circuit || is_probe {
                    ready.readiness = Readiness::Probe;
                }
            }
            // A delivery that will be woken needs no due time.
            Permit::Deferred(_) if self.policy.wake => ready.readiness = Readiness::Held,
            Permit::Deferred(at) => ready.readiness = Readiness::Later(at),
        }
        let way = Way {
            name: goal.name,
            limiter,
            circuit: goal.circuit,
        };
        (ready, Some(way))
    }

    async fn attempt(
        &self,
        ready: Ready<T::Call>,
        unit: &mut T::Unit,
        way: Option<&Way>,
    ) -> Result<T::Taken, Option<Box<Failure>>> {
        let call = ready.call?;
        #[cfg(feature = "runtime")]
        let in_progress = way.map(|way| self.registry.figures.begins(&way.name, self.now()));
        let outcome = self.target.call(call, unit, self.now()).await;
        #[cfg(feature = "runtime")]
        drop(in_progress);
        drop(ready.permit);
        if let Some(way) = way {
            #[cfg(feature = "runtime")]
            self.registry.figures.attempted(&way.name, outcome.is_ok());
            way.note(outcome.as_ref().err().map(Box::as_ref), self.now());
        }
        Ok(outcome?)
    }
}

impl Way {
    /// Records the outcome of an attempt, and logs when the destination goes down or works again.
    fn note(&self, failure: Option<&Failure>, now: Timestamp) {
        let sign = failure.map_or(Sign::Works, sign_of);
        let Some(waiting) = self.limiter.breaker.note(sign, now, self.circuit) else {
            return;
        };
        let destination = &self.name;
        match failure {
            Some(failure) => {
                let (code, error) = (&failure.code, &failure.message);
                tracing::warn!(%destination, waiting, code, error, "destination is down; deliveries for it wait");
            }
            None => tracing::info!(%destination, waiting, "destination works again"),
        }
    }
}

/// The attempt that the engine requests.
pub(super) fn called(actions: &[Action]) -> Option<(u64, u32)> {
    actions.iter().find_map(|action| match action {
        Action::Engine(Effect::Attempt { epoch, n, .. }) => Some((*epoch, *n)),
        _ => None,
    })
}

/// What a failure shows about the destination: an answer that blames the unit shows that the destination works.
fn sign_of(failure: &Failure) -> Sign {
    let blames_unit = match failure.detail.status_code {
        Some(status) => Classes::Default.of_status(status) == Some(Class::Permanent),
        None => failure.class == Class::Permanent,
    };
    if blames_unit {
        Sign::Works
    } else if is_silence(failure.detail.status_code) {
        Sign::Silent
    } else {
        Sign::Fails
    }
}

/// Whether a failure with this status, or without an answer, shows that the destination is down, whatever the unit.
pub(super) const fn is_silence(status: Option<u16>) -> bool {
    matches!(status, None | Some(429 | 502 | 503 | 504))
}

/// Deferred attempts are made again within the longest wait that the policy has between two attempts.
pub(super) fn longest_wait(retry: &Retry) -> Duration {
    match retry {
        Retry::Backoff { max, .. } => *max,
        Retry::Every(gap) => *gap,
        _ => Duration::from_secs(60),
    }
}
