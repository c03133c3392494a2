//! A disk that runs full, fails or loses power under a runtime with load on its real ingress.
//!
//! A schedule is a seed, but the threads' timing differs from run to run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stateful_functions::BoxError;
use stateful_functions::random::Random;
use stateful_functions::runtime::{
    EgressRecord, Runtime, RuntimeConfig, Sink, SinkBatch, StartError, StoreStatus,
};
use stateful_functions::storage::LogSettings;
use stateful_functions::testing::faulty::FaultyDisk;
use tokio::time::timeout;

use super::{Started, text};
use crate::support::ledger;
use crate::support::load::{Books, Load, Order, Plan};
use crate::support::seeds::for_each_seed;
use crate::support::until::until;

const INGRESS: &str = "
kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0', callTimeout: 30s}
";

/// Takes the records of `test/out`, and outlives every runtime.
#[derive(Debug, Clone, Default)]
struct FarSide(Arc<Mutex<Vec<(String, String)>>>);

#[async_trait]
impl Sink for FarSide {
    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let entry = |record: &EgressRecord| {
            let typed = stateful_functions::types::STRING;
            let text = typed.decode(&record.value).unwrap();
            (record.id.clone(), text)
        };
        self.0
            .lock()
            .unwrap()
            .extend(batch.records().iter().map(entry));
        Ok(())
    }
}

/// One life of a runtime, on an executor of its own that dies with it.
struct Life {
    executor: tokio::runtime::Runtime,
    started: Started,
}

impl Life {
    fn start(
        disk: &FaultyDisk,
        storage: LogSettings,
        far_side: &FarSide,
    ) -> Result<Self, StartError> {
        let executor = tokio::runtime::Runtime::new().unwrap();
        let mut config = RuntimeConfig::default();
        config.storage = storage;
        config.partitions = 3.try_into().unwrap();
        let builder = Runtime::builder()
            .admin(super::admin())
            .disk(Arc::new(disk.clone()))
            .functions(ledger::functions())
            .egress(ledger::OUT, far_side.clone())
            .config(config);
        let started = executor.block_on(Started::try_with(builder, INGRESS))?;
        Ok(Self { executor, started })
    }

    fn base(&self) -> String {
        self.started.url("http ingress", "")
    }

    /// Waits until the store has closed, and tells why.
    fn await_closed(&self) -> String {
        let status = self.started.runtime.store_status();
        let closed = until("the store to close", async || match &*status.borrow() {
            StoreStatus::Closed(reason) => Some(reason.clone()),
            _ => None,
        });
        self.executor.block_on(closed)
    }

    /// The answer to a sender now: status and body.
    fn probe(&self, verb: &str) -> (u16, String) {
        let path = format!("/{verb}/test/ledger/probe");
        let answer = self.started.post(&path, &[], "read");
        let answer = self.executor.block_on(answer);
        (answer.status.as_u16(), text(&answer).to_owned())
    }

    /// The answer to an operator now: status and body.
    async fn health(&self) -> (u16, String) {
        let get = http::Method::GET;
        let answer = self.started.request(get, "admin api", "/health", &[], "");
        let answer = answer.await;
        (answer.status.as_u16(), text(&answer).to_owned())
    }

    fn await_health(&self) {
        let healthy = async || (self.health().await.0 == 200).then_some(());
        self.executor.block_on(until("good health", healthy));
    }

    /// Ends at once: nothing is finished, nothing is synced.
    fn crash(self) {
        drop(self.executor);
        drop(self.started);
    }

    fn stop(self) {
        self.executor.block_on(self.started.runtime.shutdown());
    }
}

/// So small that a short load has many segments and checkpoints.
fn small() -> LogSettings {
    let mut storage = LogSettings::default();
    storage.overlay_bytes = 60_000;
    storage.log_bytes = 100_000;
    storage.segment_bytes = 30_000;
    // A disk is to get really full.
    storage.reserve_bytes = 0;
    storage
}

/// A load, the disk it ends up on, and where its records go.
struct Trial {
    clients: tokio::runtime::Runtime,
    load: Load,
    disk: FaultyDisk,
    far_side: FarSide,
    random: Random,
}

impl Trial {
    fn new(seed: u64) -> Self {
        let clients = tokio::runtime::Runtime::new().unwrap();
        let plan = Plan {
            seed,
            connections: 8,
            percent_counted: 0,
        };
        Self {
            load: Load::start(plan),
            clients,
            disk: FaultyDisk::default(),
            far_side: FarSide::default(),
            random: Random::seeded(seed),
        }
    }

    fn start(&self, storage: LogSettings) -> Life {
        let life = Life::start(&self.disk, storage, &self.far_side).unwrap();
        self.load.point_at(Some(life.base()));
        life
    }

    /// The runtime crashes, and the disk is what the next start finds: mostly with what was not synced lost or torn.
    fn crash(&mut self, life: Life) {
        self.load.point_at(None);
        // What happens from here on happens to nobody.
        self.disk.cut_power_after(0);
        self.disk = if self.random.chance(25) {
            self.disk.kill()
        } else {
            self.disk.lose_power(&mut self.random)
        };
        life.crash();
    }

    /// Ends the load, and holds what is there against what was told, now and after another start.
    fn check(self, life: Life) {
        let Self {
            clients,
            load,
            disk,
            far_side,
            ..
        } = self;
        let orders: Vec<Order> = load.finish();
        let read = |life: &Life| {
            let books = clients.block_on(Books::settled(&life.base(), &orders, false));
            let all = async || {
                let records = far_side.0.lock().unwrap();
                books.are_all_in(&records).then_some(())
            };
            clients.block_on(until("all records", all));
            books.check_records(&far_side.0.lock().unwrap());
        };
        read(&life);
        life.stop();
        let life = Life::start(&disk, small(), &far_side).unwrap();
        read(&life);
        life.stop();
    }
}

#[test]
fn sf_49_after_a_loss_of_power_everything_acknowledged_is_there_once() {
    for_each_seed(6, |seed| {
        let mut trial = Trial::new(seed);
        for _ in 0..5 {
            let mut cut = trial.random.below(400);
            if trial.random.chance(25) {
                // Maybe while it starts.
                cut = trial.random.below(30);
                trial.disk.cut_power_after(cut);
            }
            let Ok(life) = Life::start(&trial.disk, small(), &trial.far_side) else {
                trial.disk = trial.disk.lose_power(&mut trial.random);
                continue;
            };
            trial.disk.cut_power_after(cut);
            trial.load.point_at(Some(life.base()));
            life.await_closed();
            trial.crash(life);
        }
        let life = trial.start(small());
        trial.load.accept(40);
        trial.check(life);
    });
}

#[test]
fn a_full_disk_stops_the_intake_and_loses_nothing() {
    for_each_seed(4, |seed| {
        let mut trial = Trial::new(seed);
        let mut life = trial.start(small());
        for _ in 0..3 {
            let count = 20 + trial.random.below(100);
            trial.load.accept(count);
            let room = trial.random.below(60_000);
            trial.disk.set_room(Some(room));
            // Whether the log or a checkpoint notices it, senders get an error.
            let stopped = async || {
                let probe = life.started.post("/send/test/ledger/probe", &[], "read");
                // One that got in before waits for room: another is asked.
                let answer = timeout(Duration::from_secs(1), probe).await.ok()?;
                (answer.status == 503).then(|| text(&answer).to_owned())
            };
            let stopped = until("the intake to stop", stopped);
            let body = life.executor.block_on(stopped);
            assert!(body.contains("store.not_writable"), "{body}");
            let told = ["disk is full", "no storage space"];
            assert!(told.iter().any(|reason| body.contains(reason)), "{body}");
            assert_eq!(life.executor.block_on(life.health()).0, 503);
            if trial.random.chance(30) {
                trial.crash(life);
                life = trial.start(small());
            }
            trial.disk.set_room(None);
            trial.load.accept(40);
            life.await_health();
        }
        trial.check(life);
    });
}

#[test]
fn r_02_a_failed_sync_ends_all_acknowledgements_until_a_restart() {
    for_each_seed(4, |seed| {
        let mut trial = Trial::new(seed);
        for _ in 0..3 {
            let life = trial.start(small());
            let count = 20 + trial.random.below(100);
            trial.load.accept(count);
            trial.disk.fail_syncs(u32::MAX);
            let reason = life.await_closed();
            // The disk would do its work again, but what it has lost is not known.
            trial.disk.fail_syncs(0);
            for verb in ["send", "call"] {
                let (status, body) = life.probe(verb);
                assert_eq!(status, 503, "{body}");
                assert!(body.contains(&reason), "{body}");
            }
            assert_eq!(life.await_closed(), reason, "closed for good");
            let (status, body) = life.executor.block_on(life.health());
            assert_eq!(status, 503, "{body}");
            assert!(body.contains(&reason), "{body}");
            trial.crash(life);
        }
        let life = trial.start(small());
        trial.load.accept(40);
        life.await_health();
        trial.check(life);
    });
}

/// The files of the log, with their lengths.
fn log_files(disk: &FaultyDisk) -> Vec<(String, usize)> {
    use stateful_functions::storage::Disk as _;
    let names = disk.list().unwrap().into_iter();
    names
        .filter(|name| name.starts_with("log-"))
        .map(|name| {
            let length = disk.contents(&name).unwrap().len();
            (name, length)
        })
        .collect()
}

#[test]
fn requests_in_flight_when_the_disk_is_full_are_answered_at_once_and_count_once() {
    let (disk, far_side) = (FaultyDisk::default(), FarSide::default());
    let mut storage = LogSettings::default();
    storage.reserve_bytes = 0;
    let life = Life::start(&disk, storage, &far_side).unwrap();
    let before = log_files(&disk);
    disk.set_room(Some(50));
    let first = async {
        let sent = life.started.post("/send/test/ledger/a", &[], "first");
        let second = async {
            let status = life.started.runtime.store_status();
            let full = async || matches!(*status.borrow(), StoreStatus::Full(_)).then_some(());
            until("the disk to be full", full).await;
            assert_eq!(log_files(&disk), before, "the torn tail is cut");
            let second = life
                .started
                .post("/send/test/ledger/a", &[], "second")
                .await;
            assert_eq!(second.status, 503, "{}", text(&second));
            assert!(second.headers.contains_key("retry-after"));
        };
        let (sent, ()) = tokio::join!(sent, second);
        disk.set_room(None);
        assert_eq!(sent.status, 503, "{}", text(&sent));
        let written = async || {
            let read = life.started.post("/call/test/ledger/a", &[], "read").await;
            (read.status == 200).then(|| text(&read).to_owned())
        };
        until("an intake that works again", written).await
    };
    assert_eq!(life.executor.block_on(first), "first\n");
    life.crash();
    let life = Life::start(&disk.kill(), LogSettings::default(), &far_side).unwrap();
    let read = life.started.post("/call/test/ledger/a", &[], "read");
    assert_eq!(text(&life.executor.block_on(read)), "first\n");
}
