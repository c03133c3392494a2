//! A harness with the functions of some destinations, whose closures answer as a script says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use stateful_functions::clock::ManualClock;
use stateful_functions::delivery::engine::{Delivery, DeliveryState, Entry};
use stateful_functions::delivery::{COMMAND, Command, Failure, REPLY, Reply, Verb};
use stateful_functions::jobs::{
    ACCEPTED, Accepted, Destination, EVENT, Event, Job, JobId, Jobs, JobsBuilder, NEW_EVENT,
    NewEvent,
};
use stateful_functions::pipeline::Kept;
use stateful_functions::testing::Harness;
use stateful_functions::{
    Address, FunctionSpec, MessageBuilder, StatefulFunctions, Timestamp, Type, TypeName, ValueSpec,
};

const fn raw(name: TypeName) -> Type<Bytes> {
    Type::new(
        name,
        |bytes, out| {
            out.extend_from_slice(bytes);
            Ok(())
        },
        |bytes| Ok(Bytes::copy_from_slice(bytes)),
    )
}

const HEAD: ValueSpec<Bytes> =
    ValueSpec::new("head", raw(TypeName::new("statefun.pipelines/head")));
const JOB: ValueSpec<Bytes> = ValueSpec::new("job", raw(TypeName::new("statefun.pipelines/job")));

/// What closures answer, in order, and what they were asked.
#[derive(Clone, Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<Failure>>>,
    pub(crate) asked: Arc<Mutex<Vec<Job>>>,
}

impl Script {
    /// The next attempts fail in this way; those after them succeed.
    pub(crate) fn fail(&self, failures: impl IntoIterator<Item = Failure>) {
        self.answers.lock().unwrap().extend(failures);
    }

    pub(crate) fn destination(&self, name: &str) -> Destination {
        let script = self.clone();
        Destination::new(name).call(move |job: Job| {
            script.asked.lock().unwrap().push(job);
            let answer = script.answers.lock().unwrap().pop_front();
            std::future::ready(answer.map_or(Ok(()), Err))
        })
    }

    /// `destination attempt` of every attempt so far.
    pub(crate) fn attempts(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .map(|job| format!("{} {}", job.destination, job.attempt))
            .collect()
    }
}

pub(crate) struct Site {
    pub(crate) harness: Harness,
    pub(crate) jobs: Jobs,
    events: u8,
}

impl Site {
    pub(crate) fn new(jobs: JobsBuilder) -> Self {
        Self::beside(jobs, [])
    }

    /// With other functions.
    pub(crate) fn beside(
        jobs: JobsBuilder,
        others: impl IntoIterator<Item = FunctionSpec>,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_767_225_600_000)));
        let jobs = jobs.clock(clock.clone()).build().unwrap();
        let mut functions = StatefulFunctions::new();
        for spec in jobs.functions().into_iter().chain(others) {
            functions = functions.with(spec).unwrap();
        }
        Self {
            harness: Harness::with_clock(functions, clock),
            jobs,
            events: 0,
        }
    }

    pub(crate) async fn submit(&mut self, event: NewEvent) -> Accepted {
        self.events += 1;
        let id = JobId::new(self.harness.now(), [self.events; 16]);
        self.submit_as(&id.to_string(), event).await
    }

    pub(crate) async fn submit_as(&mut self, id: &str, event: NewEvent) -> Accepted {
        let to = Address::new(self.jobs.events().clone(), id);
        let message = MessageBuilder::to(to).value_as(&NEW_EVENT, event).unwrap();
        let answer = self.harness.call(message).await.unwrap();
        self.harness.run().await.unwrap();
        answer.require(&ACCEPTED).unwrap()
    }

    pub(crate) fn event(&self, id: &str) -> Option<Event> {
        let address = Address::new(self.jobs.events().clone(), id);
        self.harness.state(&address, &EVENT).unwrap()
    }

    pub(crate) fn kept(&self, address: &Address) -> Option<Kept> {
        let head = self.harness.state(address, &HEAD).unwrap()?;
        let job = self.harness.state(address, &JOB).unwrap();
        Some(Kept::read(&head, None, job.as_deref()).unwrap())
    }

    /// The addresses of all jobs.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let keepers = self.jobs.keepers();
        keepers
            .flat_map(|keeper| self.harness.addresses(keeper, "head"))
            .collect()
    }

    pub(crate) fn delivery(&self, address: &Address) -> Delivery {
        self.kept(address).unwrap().delivery().clone()
    }

    pub(crate) fn state(&self, address: &Address) -> Option<DeliveryState> {
        self.kept(address)?.delivery().state
    }

    /// `state attempt` of every step.
    pub(crate) fn steps(&self, address: &Address) -> Vec<String> {
        let kept = self.kept(address).unwrap();
        let entries: Vec<Entry> = serde_json::from_value(kept.transitions()).unwrap();
        let step = |entry: &Entry| match entry {
            Entry::One(step) => format!("{} {}", step.state_after, step.attempt),
            other => panic!("{other:?} is folded"),
        };
        entries.iter().map(step).collect()
    }

    pub(crate) async fn command(&mut self, address: &Address, verb: Verb) -> Reply {
        let command = Command {
            verb,
            actor: "alice".to_owned(),
            reason: "because".to_owned(),
        };
        let message = MessageBuilder::to(address.clone()).value_as(&COMMAND, command);
        let answer = self.harness.call(message.unwrap()).await.unwrap();
        self.harness.run().await.unwrap();
        answer.require(&REPLY).unwrap()
    }

    pub(crate) async fn advance(&mut self, span: Duration) {
        self.harness.advance(span).await.unwrap();
    }
}

/// The address of a job in an answer.
pub(crate) fn address(accepted: &Accepted, at: usize) -> Address {
    let text = &accepted.jobs[at].address;
    let (type_name, id) = text.rsplit_once('/').unwrap();
    Address::new(type_name.parse().unwrap(), id)
}

pub(crate) fn paid(data: &serde_json::Value) -> NewEvent {
    NewEvent::new("shop", "order.paid").json(data).unwrap()
}
