//! A small runtime for tests: functions at many addresses, messages between them, timers on virtual time, one thing after another.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stateful_functions::clock::{Clock, ManualClock};
use stateful_functions::delivery::{COMMAND, Command, REPLY, Reply, Verb};
use stateful_functions::pipeline::{Destinations, Kept, Pipeline, PipelineBuilder};
use stateful_functions::random::Random;
use stateful_functions::testing::TestContext;
use stateful_functions::{
    Address, CancellationToken, FunctionSpec, Message, MessageBuilder, Timestamp, Type, TypeName,
    ValueSpec,
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
const LOG: ValueSpec<Bytes> = ValueSpec::new("log", raw(TypeName::new("statefun.pipelines/log")));
const JOB: ValueSpec<Bytes> = ValueSpec::new("job", raw(TypeName::new("statefun.pipelines/job")));

struct Timer {
    due: Timestamp,
    order: u64,
    token: Option<CancellationToken>,
    from: Address,
    message: Message,
}

/// Ends of the process at random steps.
struct Kills {
    random: Random,
    /// The pipeline for the start after the kill of that number.
    again: Box<dyn Fn(u64) -> PipelineBuilder>,
    count: u64,
}

pub(crate) struct Town {
    kills: Option<Kills>,
    specs: HashMap<TypeName, FunctionSpec>,
    keepers: Vec<TypeName>,
    places: BTreeMap<Address, TestContext>,
    inbox: VecDeque<(Option<Address>, Message)>,
    timers: Vec<Timer>,
    armed: u64,
    pub(crate) clock: Arc<ManualClock>,
    /// Messages to functions that are not here.
    pub(crate) outside: Vec<Message>,
    /// How many messages were handled.
    pub(crate) handled: u64,
    pub(crate) destinations: Destinations,
}

/// A place in another process, with what was stored there.
fn with_same_values(
    spec: &FunctionSpec,
    address: &Address,
    place: &mut TestContext,
) -> TestContext {
    let mut again = TestContext::new(spec.clone(), address.id()).unwrap();
    for value in spec.values() {
        let value = ValueSpec::try_new(value.name.clone(), raw(value.type_name.clone()));
        let value = value.unwrap();
        if let Some(bytes) = place.storage().get(&value).unwrap() {
            again.storage().set(&value, bytes).unwrap();
        }
    }
    again
}

impl Town {
    /// The functions of a pipeline, made with the town's clock.
    pub(crate) fn new(pipeline: PipelineBuilder) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
        let pipeline: Pipeline = pipeline.clock(clock.clone()).build().unwrap();
        let by_name = |spec: FunctionSpec| (spec.type_name().clone(), spec);
        let destinations = Destinations::default();
        let functions = pipeline.functions_beside(&destinations);
        Self {
            specs: functions.into_iter().map(by_name).collect(),
            destinations,
            keepers: pipeline.keepers().cloned().collect(),
            places: BTreeMap::new(),
            inbox: VecDeque::new(),
            timers: Vec::new(),
            armed: 0,
            clock,
            outside: Vec::new(),
            handled: 0,
            kills: None,
        }
    }

    /// From here on the process ends at random steps, after a message was handled and before that was committed, and starts again with this pipeline.
    pub(crate) fn kill_at_random(
        &mut self,
        seed: u64,
        again: impl Fn(u64) -> PipelineBuilder + 'static,
    ) {
        self.kills = Some(Kills {
            random: Random::seeded(seed),
            again: Box::new(again),
            count: 0,
        });
    }

    /// How often the process has ended.
    pub(crate) fn kills(&self) -> u64 {
        self.kills.as_ref().map_or(0, |kills| kills.count)
    }

    /// What only the process knew is gone.
    fn start_after_kill(&mut self) {
        let Some(kills) = &mut self.kills else {
            return;
        };
        kills.count += 1;
        let pipeline = (kills.again)(kills.count);
        self.destinations = Destinations::default();
        self.restart_with(pipeline);
    }

    /// Starts again with other settings and what was kept.
    pub(crate) fn restart_with(&mut self, pipeline: PipelineBuilder) {
        let pipeline: Pipeline = pipeline.clock(self.clock.clone()).build().unwrap();
        let functions = pipeline.functions_beside(&self.destinations);
        for spec in functions {
            self.specs.insert(spec.type_name().clone(), spec);
        }
        for (address, place) in &mut self.places {
            *place = with_same_values(&self.specs[address.type_name()], address, place);
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sends text to the pipeline `pipelines/p` from the sender `id`, and handles what follows.
    pub(crate) async fn send(&mut self, id: &str, text: &str) {
        let entry = Address::new(TypeName::new("pipelines/p"), id);
        self.inbox
            .push_back((None, MessageBuilder::to(entry).value(text)));
        self.settle().await;
    }

    /// Sends a message, and handles what follows.
    pub(crate) async fn deliver(&mut self, caller: Option<Address>, message: Message) {
        self.inbox.push_back((caller, message));
        self.settle().await;
    }

    async fn settle(&mut self) {
        while let Some((caller, message)) = self.inbox.pop_front() {
            self.handle(caller, message).await;
        }
    }

    async fn handle(&mut self, caller: Option<Address>, message: Message) {
        let address = message.target().clone();
        let Some(spec) = self.specs.get(address.type_name()) else {
            self.outside.push(message);
            return;
        };
        self.handled += 1;
        let place = self.places.entry(address.clone());
        let place = place.or_insert_with(|| TestContext::new(spec.clone(), address.id()).unwrap());
        place.set_caller(caller.clone());
        let dies = |kills: &mut Kills| kills.random.chance(8);
        if self.kills.as_mut().is_some_and(dies) {
            // Whoever was called outside has seen it, and nothing is committed: the message comes again.
            let before = with_same_values(spec, &address, place);
            let _ = place.invoke(message.clone()).await.unwrap();
            self.places.insert(address, before);
            self.inbox.push_front((caller, message));
            self.start_after_kill();
            return;
        }
        let effects = place.invoke(message).await.unwrap();
        let sent = effects.messages.into_iter();
        self.inbox
            .extend(sent.map(|message| (Some(address.clone()), message)));
        self.timers.retain(|timer| {
            timer.from != address
                || !timer
                    .token
                    .as_ref()
                    .is_some_and(|token| effects.cancelled.contains(token))
        });
        for delayed in effects.delayed {
            self.armed += 1;
            self.timers.push(Timer {
                due: self.clock.now() + delayed.delay,
                order: self.armed,
                token: delayed.token,
                from: address.clone(),
                message: delayed.message,
            });
        }
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.timers.iter().map(|timer| timer.due).min()
    }

    /// Timers that are pending.
    pub(crate) fn pending(&self) -> usize {
        self.timers.len()
    }

    /// Lets time pass, timer by timer.
    pub(crate) async fn advance(&mut self, span: Duration) {
        let end = self.now() + span;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.move_to(due.max(self.now()));
            let (mut fired, left) = std::mem::take(&mut self.timers)
                .into_iter()
                .partition::<Vec<_>, _>(|timer| timer.due <= due);
            self.timers = left;
            fired.sort_by_key(|timer| (timer.due, timer.order));
            let fired = fired.into_iter();
            self.inbox
                .extend(fired.map(|timer| (Some(timer.from), timer.message)));
            self.settle().await;
        }
        self.move_to(end);
    }

    fn move_to(&mut self, time: Timestamp) {
        let span = time.since(self.now());
        self.clock.set(time);
        for place in self.places.values_mut() {
            place.advance(span); // what is due there is kept here too
        }
    }

    /// What stages keep, by address.
    pub(crate) fn kept(&mut self) -> BTreeMap<Address, Kept> {
        let keepers = self.keepers.clone();
        let mut kept = BTreeMap::new();
        for (address, place) in &mut self.places {
            if !keepers.contains(address.type_name()) {
                continue;
            }
            let storage = place.storage();
            let Some(head) = storage.get(&HEAD).unwrap() else {
                assert!(storage.get(&JOB).unwrap().is_none(), "a job without a head");
                continue;
            };
            let log = storage.get(&LOG).unwrap();
            let job = storage.get(&JOB).unwrap();
            let read = Kept::read(&head, log.as_deref(), job.as_deref()).unwrap();
            kept.insert(address.clone(), read);
        }
        kept
    }

    /// The one record that is kept.
    pub(crate) fn only(&mut self) -> (Address, Kept) {
        let mut kept = self.kept();
        assert_eq!(kept.len(), 1, "{:?}", kept.keys());
        kept.pop_first().unwrap()
    }

    /// `state reason attempt` of the one record that is kept.
    pub(crate) fn stands(&mut self) -> String {
        let (_, kept) = self.only();
        let delivery = kept.delivery();
        let reason = delivery.reason.map_or("", |reason| reason.as_str());
        format!("{} {reason} {}", delivery.state.unwrap(), delivery.attempt)
    }

    /// Addresses at which anything is remembered.
    pub(crate) fn remembering(&mut self) -> Vec<Address> {
        let specs = &self.specs;
        let remembers = |(address, place): (&Address, &mut TestContext)| {
            let spec = &specs[address.type_name()];
            let mut values = spec.values().iter().map(|value| {
                ValueSpec::try_new(value.name.clone(), raw(value.type_name.clone())).unwrap()
            });
            let any = values.any(|value| place.storage().get(&value).unwrap().is_some());
            any.then(|| address.clone())
        };
        self.places.iter_mut().filter_map(remembers).collect()
    }

    /// Sends an operator command, and returns the reply of the delivery.
    pub(crate) async fn command(&mut self, address: &Address, verb: Verb) -> Reply {
        let command = Command {
            verb,
            actor: "alice".to_owned(),
            reason: "looked into it".to_owned(),
        };
        let operator = Address::new(TypeName::new("test/operator"), "alice");
        let message = MessageBuilder::to(address.clone())
            .value_as(&COMMAND, command)
            .unwrap();
        self.deliver(Some(operator), message).await;
        let reply = self.outside.pop().unwrap();
        reply.require(&REPLY).unwrap()
    }
}
