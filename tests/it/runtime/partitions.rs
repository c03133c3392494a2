//! Partitions on threads of their own: where functions run, what ends a partition, and what waits on the way to one.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use stateful_functions::clock::Clock;
use stateful_functions::runtime::{IntakeError, Runtime, RuntimeConfig, StoreStatus};
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions,
    Timestamp, TypeName, ValueSpec, types,
};

use crate::support::until::until;

const THREAD: TypeName = TypeName::new("test/thread");
/// The same function. How long calls take is counted by type, and those of `THREAD` may be interrupted.
const BUSY: TypeName = TypeName::new("test/busy");
const FAN_OUT: TypeName = TypeName::new("test/fan-out");
const SUM: TypeName = TypeName::new("test/sum");
const TOTAL: ValueSpec<i64> = ValueSpec::new("total", types::LONG);
const WITHIN: Duration = Duration::from_secs(20);

/// Answers with the name of its thread: `quick` at once, `busy` after some computing, `later` after a wait, `blocking` after a section that blocks.
async fn name_of_thread(context: &mut Context, message: Message) -> Result<(), BoxError> {
    match message.require(&types::STRING)?.as_str() {
        "busy" => {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(3) {
                std::hint::spin_loop();
            }
        }
        "later" => tokio::task::yield_now().await,
        "blocking" => tokio::task::block_in_place(|| ()),
        _ => {}
    }
    let name = thread::current().name().unwrap_or_default().to_owned();
    context.reply(name);
    Ok(())
}

/// Sends as many messages to as many addresses as it is told.
async fn fan_out(context: &mut Context, message: Message) -> Result<(), BoxError> {
    for number in 0..message.require(&types::LONG)? {
        let target = Address::new(SUM, number.to_string());
        context.send(MessageBuilder::to(target).value(1_i64));
    }
    context.reply("sent".to_owned());
    Ok(())
}

/// Adds what other functions send, and answers a zero with the total. Other functions get no answer, because `FAN_OUT` would take it for an order.
async fn sum(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let added = message.require(&types::LONG)?;
    let total = context.storage().get(&TOTAL)?.unwrap_or(0) + added;
    context.storage().set(&TOTAL, total)?;
    if added == 0 {
        context.reply(total);
    }
    Ok(())
}

fn functions() -> StatefulFunctions {
    let functions = StatefulFunctions::new();
    let functions = functions.with(FunctionSpec::new(THREAD, name_of_thread));
    let functions = functions
        .unwrap()
        .with(FunctionSpec::new(BUSY, name_of_thread));
    let functions = functions.unwrap().with(FunctionSpec::new(FAN_OUT, fan_out));
    let sum = FunctionSpec::new(SUM, sum).value(TOTAL);
    functions.unwrap().with(sum).unwrap()
}

async fn thread_of(runtime: &Runtime, what: &str) -> String {
    let function = if what == "busy" { BUSY } else { THREAD };
    let message = MessageBuilder::to(Address::new(function, "a")).value(what);
    let answer = runtime.call(&message, WITHIN).await.unwrap();
    answer.require(&types::STRING).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_that_answer_at_once_run_on_the_partition_and_others_on_the_application() {
    let config = one_partition();
    let builder = Runtime::builder().config(config).functions(functions());
    let runtime = builder.start().await.unwrap();
    assert_eq!(thread_of(&runtime, "quick").await, "partition-0");
    assert_eq!(thread_of(&runtime, "blocking").await, "partition-0");
    assert_ne!(thread_of(&runtime, "later").await, "partition-0");
    // Once may be by chance.
    for _ in 0..2 {
        assert_eq!(thread_of(&runtime, "busy").await, "partition-0");
    }
    assert_ne!(thread_of(&runtime, "busy").await, "partition-0");
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_runtime_works_and_stops_in_an_application_with_one_thread() {
    let builder = Runtime::builder().functions(functions());
    let runtime = builder.start().await.unwrap();
    for what in ["quick", "later"] {
        thread_of(&runtime, what).await;
    }
    runtime.shutdown().await;
}

#[tokio::test]
async fn messages_between_partitions_arrive_though_all_memory_for_them_is_used_up() {
    let mut config = RuntimeConfig::default();
    config.partitions = NonZeroU8::new(3).unwrap();
    config.max_memory_bytes = 1;
    let builder = Runtime::builder().config(config).functions(functions());
    let runtime = builder.start().await.unwrap();
    for id in ["a", "b", "c", "d"] {
        let message = MessageBuilder::to(Address::new(FAN_OUT, id)).value(100_i64);
        until("room for the message", async || {
            runtime.call(&message, WITHIN).await.ok()
        })
        .await;
    }
    for number in 0..100 {
        let ask = MessageBuilder::to(Address::new(SUM, number.to_string())).value(0_i64);
        let total = until("all four messages", async || {
            let answer = runtime.call(&ask, WITHIN).await.ok()?;
            let total = answer.require(&types::LONG).unwrap();
            (total >= 4).then_some(total)
        });
        assert_eq!(total.await, 4, "of {number}");
    }
    runtime.shutdown().await;
}

/// A clock that makes the partition panic once it is told to.
#[derive(Debug, Default)]
struct BadClock(AtomicBool);

impl Clock for BadClock {
    fn now(&self) -> Timestamp {
        let on_partition = thread::current().name() == Some("partition-0");
        assert!(
            !(on_partition && self.0.load(Ordering::SeqCst)),
            "the clock broke"
        );
        SystemTime::now().into()
    }
}

#[tokio::test]
async fn a_partition_that_panics_stops_the_intake_and_says_so() {
    let clock = Arc::new(BadClock::default());
    let builder = Runtime::builder().config(one_partition());
    let builder = builder.clock(clock.clone()).functions(functions());
    let runtime = builder.start().await.unwrap();
    thread_of(&runtime, "quick").await;
    clock.0.store(true, Ordering::SeqCst);
    let message = MessageBuilder::to(Address::new(THREAD, "a")).value("quick");
    // Callers that wait are answered at once, and so are later ones.
    for _ in 0..2 {
        let failure = runtime.call(&message, WITHIN).await.unwrap_err();
        let IntakeError::NotWritable { reason } = failure else {
            panic!("{failure}");
        };
        assert!(reason.contains("partition-0 has panicked"), "{reason}");
    }
    let status = runtime.store_status().borrow().clone();
    assert!(matches!(status, StoreStatus::Closed(_)), "{status:?}");
    runtime.shutdown().await;
}

fn one_partition() -> RuntimeConfig {
    let mut config = RuntimeConfig::default();
    config.partitions = NonZeroU8::MIN;
    config
}
