//! The task that delivers the records of an outbox to a sink.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Lives, Sink, SinkBatch, SinkPosition};
use crate::retry::Backoff;
use crate::runtime::egress::{Outbox, OutboxRecord};
use crate::runtime::endpoint::chain;
use crate::runtime::listener::stopped;
use crate::sdk::{BoxError, TypeName};

/// Waits between the attempts to deliver a batch.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    factor: 2.0,
    max: Duration::from_secs(30),
};

/// Delivers the records of `outbox` to `sink` until `stop` becomes true.
pub(in crate::runtime) async fn drive(
    egress: TypeName,
    sink: Box<dyn Sink>,
    outbox: Outbox,
    lives: Lives,
    stop: watch::Receiver<bool>,
) {
    let mut driver = Driver {
        egress,
        sink: &*sink,
        outbox,
        lives,
        reached: None,
        failures: 0,
    };
    tokio::join!(sink.serve(stop.clone()), driver.run(&stop));
}

struct Driver<'a> {
    egress: TypeName,
    sink: &'a dyn Sink,
    outbox: Outbox,
    lives: Lives,
    /// The position in the target system; `None` if it must be read.
    reached: Option<Reached>,
    /// Consecutive failed attempts.
    failures: u32,
}

/// The state of the target system.
#[derive(Debug, Clone)]
enum Reached {
    /// It stores no position.
    Unknown,
    /// It has all records up to here.
    Position(SinkPosition),
}

impl Driver<'_> {
    /// Runs until `stop` becomes true. A delivery in progress may finish.
    async fn run(&mut self, stop: &watch::Receiver<bool>) {
        loop {
            let taken = tokio::select! {
                taken = self.outbox.take(self.sink.max_batch().max(1)) => taken,
                () = stopped(stop.clone()) => return,
            };
            let done = match taken {
                Ok(records) => self.settle(records, stop).await,
                Err(failure) => {
                    let egress = &self.egress;
                    warn!(%egress, %failure, "the outbox can't be read; will retry");
                    pause(BACKOFF.max, stop).await
                }
            };
            if !done {
                return;
            }
        }
    }

    /// Delivers records, with any number of attempts. False if the runtime stops, and they stay in the outbox.
    async fn settle(
        &mut self,
        mut records: Vec<OutboxRecord>,
        stop: &watch::Receiver<bool>,
    ) -> bool {
        while !records.is_empty() {
            let sink = self.sink;
            let outcome = tokio::select! {
                outcome = self.attempt(&mut records, stop) => outcome,
                // What it has in hand it gives to others, who may not come.
                () = stopped(stop.clone()), if sink.settles_itself() => return false,
            };
            let failure = match outcome {
                Ok(true) => break,
                Ok(false) => return false,
                Err(failure) => failure,
            };
            self.failures += 1;
            // Some of it may have arrived.
            self.reached = None;
            let (egress, wait) = (&self.egress, BACKOFF.delay(self.failures));
            let (attempt, retry_in_ms) = (self.failures, wait.as_millis());
            let failure = chain(failure.as_ref());
            warn!(%egress, attempt, retry_in_ms, %failure, "egress failed; will retry");
            self.outbox.condition().fails(attempt, failure);
            if !pause(wait, stop).await {
                return false;
            }
        }
        self.failures = 0;
        if self.outbox.condition().failing().is_some() && !self.outbox.is_keeping() {
            self.outbox.condition().works();
            info!(egress = %self.egress, "the egress works again");
        }
        true
    }

    /// False if the runtime stops before anything was delivered.
    async fn attempt(
        &mut self,
        records: &mut Vec<OutboxRecord>,
        stop: &watch::Receiver<bool>,
    ) -> Result<bool, BoxError> {
        let reached = match self.reached.take() {
            Some(reached) => reached,
            None => tokio::select! {
                asked = self.ask() => asked?,
                () = stopped(stop.clone()) => return Ok(false),
            },
        };
        let mut position = SinkPosition::default();
        if let Reached::Position(safe) = &reached {
            let (arrived, left) = records.drain(..).partition(|record| safe.covers(record.id));
            *records = left;
            self.outbox.settle(&ids(&arrived));
            position = safe.clone();
            for record in &*records {
                position.advance(record.id, &self.lives);
            }
        }
        if records.is_empty() {
            self.reached = Some(reached);
            return Ok(true);
        }
        let batch = SinkBatch::new(&self.egress, records, position, &self.outbox);
        let delivered = self.sink.deliver(&batch).await;
        records.retain(|record| !batch.keeps(record.id));
        delivered?;
        if !self.sink.settles_itself() {
            self.outbox.settle(&ids(records));
        }
        self.reached = Some(match reached {
            Reached::Unknown => Reached::Unknown,
            Reached::Position(_) => Reached::Position(batch.position().clone()),
        });
        Ok(true)
    }

    async fn ask(&self) -> Result<Reached, BoxError> {
        let Some(mut position) = self.sink.position().await? else {
            return Ok(Reached::Unknown);
        };
        self.outbox.make_durable(self.lives.mark()).await;
        let foreign = position.retain(&self.lives);
        if foreign > 0 {
            warn!(
                egress = %self.egress,
                foreign,
                "the position in the target system belongs to another data folder or an older backup: records that may have arrived are delivered again"
            );
        }
        Ok(Reached::Position(position))
    }
}

fn ids(records: &[OutboxRecord]) -> Vec<crate::runtime::core::MessageId> {
    records.iter().map(|record| record.id).collect()
}

/// False if the runtime stops meanwhile.
async fn pause(wait: Duration, stop: &watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = sleep(wait) => true,
        () = stopped(stop.clone()) => false,
    }
}
