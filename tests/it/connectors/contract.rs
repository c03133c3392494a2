//! The two contracts, with a log and a target in memory: when killed between a position and its effect, nothing is lost and
//! nothing is duplicated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stateful_functions::random::Random;
use stateful_functions::runtime::{
    Batch, Inlet, Runtime, RuntimeBuilder, RuntimeConfig, Source, StartError,
};
use stateful_functions::testing::conformance::sink::SinkRig;
use stateful_functions::testing::conformance::source::SourceRig;
use stateful_functions::testing::conformance::{
    Guarantee, LedgerEntry, MemoryFarSide, MemoryLog, OUT, sink, source,
};
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, TypeName,
};
use tokio::sync::Semaphore;

#[cfg(feature = "full")]
use crate::faults::hidden_attempts::{listed, started};
use crate::support::seeds::for_each_seed;
use crate::support::until::until;

const LOG: TypeName = TypeName::new("test/log");

struct Log {
    log: MemoryLog,
    seeds: AtomicU64,
    far_side: MemoryFarSide,
}

impl Log {
    fn new(seed: u64) -> Self {
        Self {
            log: MemoryLog::default(),
            seeds: AtomicU64::new(seed),
            far_side: MemoryFarSide::default(),
        }
    }
}

#[async_trait]
impl SourceRig for Log {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
        let source = self.log.source(Random::seeded(seed));
        builder.ingress(LOG, source)
    }

    async fn feed(&self, _runtime: &Runtime, record: &LedgerEntry) -> bool {
        self.log.append(record.clone());
        true
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

#[async_trait]
impl SinkRig for Log {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        builder.egress(OUT, self.far_side.sink())
    }

    async fn arrived(&self, _runtime: &Runtime) -> Vec<String> {
        self.far_side.texts()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

#[test]
fn records_take_effect_exactly_once_whatever_is_killed_between_their_position_and_their_effect() {
    for_each_seed(12, |seed| source::run(&Log::new(seed), seed));
}

#[test]
fn a_target_that_stores_the_position_has_every_record_exactly_once() {
    for_each_seed(12, |seed| sink::run(&Log::new(seed), seed));
}

/// Brings records without end, and counts them.
#[derive(Debug)]
struct Endless(Arc<AtomicU64>);

#[async_trait]
impl Source for Endless {
    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        loop {
            let target = Address::new(TypeName::new("test/slow"), "a");
            let batch = Batch::new().record(&MessageBuilder::to(target).value(1));
            let _ = inlet.bring(batch).await?;
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test]
async fn a_source_pauses_while_the_backlog_is_full_and_continues_after_it() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = {
        let gate = Arc::clone(&gate);
        FunctionSpec::new(TypeName::new("test/slow"), Held(gate))
    };
    let brought = Arc::new(AtomicU64::new(0));
    let mut config = RuntimeConfig::default();
    config.partitions = 1.try_into().unwrap();
    config.max_backlog = 10;
    let runtime = Runtime::builder()
        .config(config)
        .functions(StatefulFunctions::new().with(slow).unwrap())
        .ingress(LOG, Endless(Arc::clone(&brought)))
        .start()
        .await
        .unwrap();
    let count = || brought.load(Ordering::Relaxed);
    until("the source to fill the runtime", async || {
        (count() >= 10).then_some(())
    })
    .await;
    // What was asked about room before the last message arrived may still come in: one.
    assert!(count() <= 11, "{}", count());
    gate.add_permits(1_000_000);
    until("the source to go on", async || {
        (count() > 100).then_some(())
    })
    .await;
    runtime.shutdown().await;
}

/// A function that returns when it is let.
struct Held(Arc<Semaphore>);

impl stateful_functions::StatefulFunction for Held {
    async fn invoke(&self, _context: &mut Context, _message: Message) -> Result<(), BoxError> {
        self.0.acquire().await?.forget();
        Ok(())
    }
}

/// Fails, and works from the third run on.
#[derive(Debug)]
struct Flaky(Arc<AtomicU64>);

#[async_trait]
impl Source for Flaky {
    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err("the broker is away".into()),
            _ => {
                let position = inlet.position("")?;
                assert_eq!(position, None);
                let batch = Batch::new().position("", "end");
                inlet.bring(batch).await?.durable().await?;
                assert_eq!(inlet.position("")?.unwrap(), "end");
                assert_eq!(inlet.positions()?.len(), 1);
                let batch = Batch::new().forget("");
                inlet.bring(batch).await?.durable().await?;
                assert_eq!(inlet.positions()?, []);
                Ok(())
            }
        }
    }
}

#[tokio::test]
async fn a_source_that_fails_is_run_again_and_one_that_has_ended_is_not() {
    let runs = Arc::new(AtomicU64::new(0));
    let source = Flaky(Arc::clone(&runs));
    let runtime = Runtime::builder()
        .ingress(LOG, source)
        .start()
        .await
        .unwrap();
    until("the third run", async || {
        (runs.load(Ordering::Relaxed) == 3).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(5), runtime.shutdown())
        .await
        .unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 3);
}

/// Fails, then brings a record and keeps running.
#[cfg(feature = "full")]
#[derive(Debug)]
struct Recovering(Arc<AtomicU64>, Arc<Semaphore>);

#[cfg(feature = "full")]
#[async_trait]
impl Source for Recovering {
    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err("the broker is away".into());
        }
        self.1.acquire().await?.forget();
        _ = inlet.bring(Batch::new().position("", "1")).await?;
        inlet.stopped().await;
        Ok(())
    }
}

#[cfg(feature = "full")]
#[tokio::test]
async fn a_failed_run_is_no_longer_shown_once_a_later_one_brings_records() {
    let permits = Arc::new(Semaphore::new(0));
    let source = Recovering(Arc::default(), Arc::clone(&permits));
    let builder = Runtime::builder().ingress(LOG, source);
    let started = started(builder, crate::runtime::SAMPLES).await;
    let failing = |attempts: u64| {
        listed(&started, "ingresses", move |entry| {
            entry["ingress"] == LOG.as_str() && entry["failed_attempts"] == attempts
        })
    };
    assert_eq!(failing(1).await["last_failure"], "the broker is away");
    permits.add_permits(1);
    assert!(failing(0).await["last_failure"].is_null());
    started.runtime.shutdown().await;
}

#[tokio::test]
async fn two_ingresses_with_one_name_are_refused() {
    let log = MemoryLog::default();
    let source = || log.source(Random::seeded(1));
    let builder = Runtime::builder()
        .ingress(LOG, source())
        .ingress(LOG, source());
    let Err(StartError::BoundTwice { what }) = builder.start().await else {
        panic!("it started");
    };
    assert_eq!(what, "ingress test/log");
}
