//! The real Apache StateFun 3.3.0, for tests that compare with it or run functions behind it.
//!
//! ```ignore
//! let Some(mut flink) = Flink::start(&module, Settings::capturing(["test/out"])).await else { return }; // prints SKIPPED
//! flink.feed(&MessageBuilder::to(address).value(5));                       // a replayable ingress; no caller
//! let records = flink.records_until("three records", |records| records.len() == 3).await;
//! flink.fail_job("as a machine would").await;                             // restarts from its last checkpoint; waits for that
//! flink.stop().await;
//! ```
//!
//! - A module is the text of a `module.yaml` whose endpoints bind the functions; [`endpoint`] writes one. Ingress and captured egresses
//!   come from the driver beside the file: no ingress is needed, and an egress of the file must not have the id of a captured one.
//! - The test's function server may run in the same process: nothing here blocks its thread for long, but the first start, which may have to
//!   resolve and compile.
//! - All tests of a program share one process of the real runtime, and at most two of their jobs run at a time. [`Settings::own_process`]
//!   gives a test a process of its own, which it may kill; one of them runs at a time.
//! - A first call of a function type that hangs cannot be cancelled: its job ends when that call's budget is used up, two minutes unless the
//!   module says less. Such tests set `call`, or have a process of their own.
//! - Every wait fails after a minute without any progress of the job, or at once when the job has ended; it says what is known then.
//! - What was fed is never lost, whatever becomes of the job; a checkpoint that is asked for holds all that was fed before. Periodic ones come
//!   every 200 ms, and a failure restarts from the last of them.
//! - [`Flink::events`] is everything known so far: records as they came (`seen`), records without those that restarts undid (`records`), starts
//!   with their positions and the failures before them, the end with its causes.
//! - [`parse`] has a module file loaded by the real loader without running it.
//!
//! How it works: `tests/flink` is a small driver of our own around the unchanged runtime. It is made once, below `target/flink`.

mod cause;
mod installation;
mod job;
mod jvm;
mod loader;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use stateful_functions::{Address, Message};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::made::skipped;
use super::until::until;
pub(crate) use cause::Cause;
use job::Job;
pub(crate) use job::{End, Events, Record, Start};
use jvm::Jvm;
pub(crate) use loader::{Verdict, parse};
pub(crate) use settings::Settings;

/// Where everything is that the real runtime needs.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/flink");
/// In the failure of a checkpoint that came too early.
const NOT_RUNNING: &str = "Not all required tasks are currently running";
/// Without any progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a job to end after it was cancelled. If its first call hangs, it takes as long as the time limit of that call; other jobs have slots of their own.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

static SHARED: Semaphore = Semaphore::const_new(2);
static OWN: Semaphore = Semaphore::const_new(1);

/// A document of a module file: `functions` (`<namespace>/<name>` or `<namespace>/*`) at `url`, with default transport.
pub(crate) fn endpoint(functions: &str, url: &str) -> String {
    format!(
        "---\nkind: io.statefun.endpoints.v2/http\nspec:\n  functions: {functions}\n  urlPathTemplate: {url}\n"
    )
}

/// The class path, unless something is missing here: then it says so, loudly, under the name of the test.
fn class_path() -> Option<&'static str> {
    let found = installation::class_path();
    if let Err(lack) = found {
        let thread = std::thread::current();
        skipped(
            thread.name().unwrap_or("a test with the real StateFun"),
            lack,
        );
    }
    found.ok()
}

/// One job on the real runtime. It is cancelled when it is dropped.
pub(crate) struct Flink {
    jvm: Arc<Jvm>,
    job: Arc<Job>,
    settings: Settings,
    /// Module and checkpoints.
    folder: TempDir,
    name: String,
    job_id: String,
    restored_from: Option<String>,
    fed: Vec<Value>,
    permit: Option<SemaphorePermit<'static>>,
}

impl Flink {
    /// Starts a job; returns when its source has started. `None`, and a line that says so, where the real runtime cannot run.
    pub(crate) async fn start(module: &str, settings: Settings) -> Option<Self> {
        let class_path = class_path()?;
        let permits = if settings.own_process { &OWN } else { &SHARED };
        let permit = Some(permits.acquire().await.unwrap());
        let jvm = if settings.own_process {
            Jvm::start(class_path)
        } else {
            Jvm::shared(class_path)
        };
        let folder = tempfile::Builder::new()
            .prefix("job-")
            .tempdir_in(ROOT)
            .unwrap();
        let mut flink = Self {
            jvm,
            job: Arc::default(),
            settings,
            folder,
            name: String::new(),
            job_id: String::new(),
            restored_from: None,
            fed: Vec::new(),
            permit,
        };
        flink.submit(module, None).await;
        Some(flink)
    }

    async fn submit(&mut self, module: &str, restore: Option<String>) {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        self.name = format!("job-{}", NUMBERS.fetch_add(1, Ordering::Relaxed));
        let file = self.folder.path().join("module.yaml");
        std::fs::write(&file, module).unwrap();
        let started = self.job.look(|events| {
            events.end = None;
            events.checkpoint = None;
            events.starts.len()
        });
        self.jvm.watch(&self.name, &self.job);
        let request = json!({
            "verb": "start",
            "job": self.name,
            "settings": self.flink_settings(&file),
            "egresses": self.settings.egresses,
            "restore": restore,
            "allow_non_restored_state": self.settings.may_drop_state,
        });
        let answer = self.jvm.ask(request).await;
        answer["job_id"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.job_id);
        self.restored_from = restore;
        for message in &self.fed {
            self.tell(message);
        }
        self.wait("the source starts", |events| {
            (events.starts.len() > started).then_some(())
        })
        .await;
    }

    fn flink_settings(&self, module: &Path) -> Map<String, Value> {
        let Settings {
            restarts,
            restart_delay,
            checkpoint_interval,
            backend,
            parallelism,
            ..
        } = &self.settings;
        let own = [
            ("statefun.remote.module-name", module.display().to_string()),
            ("parallelism.default", parallelism.to_string()),
            (
                "execution.checkpointing.interval",
                format!("{} ms", checkpoint_interval.as_millis()),
            ),
            ("execution.checkpointing.mode", "EXACTLY_ONCE".to_owned()),
            // On a busy machine one may fail; by default that restarts the job.
            (
                "execution.checkpointing.tolerable-failed-checkpoints",
                "1000000".to_owned(),
            ),
            (
                "execution.checkpointing.externalized-checkpoint-retention",
                "RETAIN_ON_CANCELLATION".to_owned(),
            ),
            ("restart-strategy", "fixed-delay".to_owned()),
            (
                "restart-strategy.fixed-delay.attempts",
                restarts.to_string(),
            ),
            (
                "restart-strategy.fixed-delay.delay",
                format!("{} ms", restart_delay.as_millis()),
            ),
            ("state.backend", (*backend).to_owned()),
            (
                "state.checkpoints.dir",
                format!("file://{}", self.checkpoints().display()),
            ),
        ];
        let own = own.map(|(key, value)| (key.to_owned(), value));
        let all = own.into_iter().chain(self.settings.more.iter().cloned());
        all.map(|(key, value)| (key, Value::from(value))).collect()
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.path().join("checkpoints")
    }

    fn tell(&self, message: &Value) {
        let mut message = message.clone();
        message["verb"] = "feed".into();
        message["job"] = self.name.as_str().into();
        self.jvm.tell(&message);
    }

    /// A message without a caller. It is not lost by whatever becomes of the job.
    pub(crate) fn feed(&mut self, message: &Message) {
        self.feed_raw(
            message.target(),
            message.value_type_name(),
            message.raw_value().as_deref(),
        );
    }

    /// The same, of any type; without a value where there is none.
    pub(crate) fn feed_raw(&mut self, target: &Address, typename: &str, value: Option<&[u8]>) {
        let message = json!({
            "namespace": target.type_name().namespace(),
            "type": target.type_name().name(),
            "target": target.id(),
            "typename": typename,
            "value": value.map(|value| STANDARD.encode(value)),
        });
        self.tell(&message);
        self.fed.push(message);
    }

    /// What is known so far.
    pub(crate) fn events(&self) -> Events {
        self.job.look(|events| events.clone())
    }

    /// Every record behind the first `known` ones, in the order of their arrival; those repeat that a restart undid.
    pub(crate) fn seen_behind(&self, known: usize) -> Vec<Record> {
        self.job.look(|events| events.seen[known..].to_vec())
    }

    /// The records that count so far.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.job.look(|events| events.records.clone())
    }

    /// Waits until the records that count are as they should be.
    pub(crate) async fn records_until(
        &self,
        what: &str,
        are: impl Fn(&[Record]) -> bool,
    ) -> Vec<Record> {
        self.wait(what, |events| {
            are(&events.records).then(|| events.records.clone())
        })
        .await
    }

    /// Waits for an answer from what is known, as long as there is news.
    pub(crate) async fn wait<T>(&self, what: &str, mut ask: impl FnMut(&Events) -> Option<T>) -> T {
        let (answer, ended) = self
            .news(what, |events| {
                let answer = ask(events);
                (answer.is_some() || events.end.is_some()).then(|| (answer, events.end.clone()))
            })
            .await;
        answer.unwrap_or_else(|| {
            panic!(
                "the job ended before {what}: {ended:?}\n{}",
                self.jvm.end_of_log()
            )
        })
    }

    /// The end of the job, if it has ended.
    pub(crate) fn end(&self) -> Option<End> {
        self.job.look(|events| events.end.clone())
    }

    /// Waits for the end of the job.
    pub(crate) async fn ended(&self) -> End {
        self.news("the job ends", |events| events.end.clone()).await
    }

    /// As [`wait`](Self::wait), where the end of the job may be part of the answer.
    pub(crate) async fn news<T>(&self, what: &str, mut ask: impl FnMut(&Events) -> Option<T>) -> T {
        loop {
            let changed = self.job.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (answer, news) = self.job.look(|events| (ask(events), events.news));
            if let Some(answer) = answer {
                return answer;
            }
            let mut changed = Some(changed);
            let fresh = async {
                loop {
                    match changed.take() {
                        Some(changed) => changed.await,
                        None => self.job.changed.notified().await,
                    }
                    if self.job.look(|events| events.news != news) {
                        return;
                    }
                }
            };
            if tokio::time::timeout(PATIENCE, fresh).await.is_err() {
                panic!("gave up waiting until {what}: {}", self.told());
            }
        }
    }

    /// Completes a checkpoint that holds everything up to now.
    pub(crate) async fn checkpoint(&self) {
        let request = json!({"verb": "checkpoint", "job": self.name});
        // A job that has just been told to run has not started all its tasks.
        let answer = until("all tasks of the job to run", async || {
            self.jvm.ask_unless(request.clone(), NOT_RUNNING).await
        })
        .await;
        let (_, number) = answer["path"]
            .as_str()
            .unwrap()
            .rsplit_once("chk-")
            .unwrap();
        let number = number.parse().unwrap();
        self.job.look(|events| events.completed(number));
    }

    /// Completes a savepoint, to be given to [`start_from`](Self::start_from).
    pub(crate) async fn savepoint(&self) -> String {
        let directory = format!("file://{}", self.folder.path().join("savepoints").display());
        let request = json!({"verb": "savepoint", "job": self.name, "directory": directory});
        self.jvm.ask(request).await["path"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The source throws; returns when the job has started again from its last checkpoint.
    pub(crate) async fn fail_job(&self, text: &str) {
        let started = self.job.look(|events| events.starts.len());
        self.jvm
            .ask(json!({"verb": "fail", "job": self.name, "text": text}))
            .await;
        self.wait("the job starts again", |events| {
            (events.starts.len() > started).then_some(())
        })
        .await;
    }

    /// How often the job started after its first start.
    pub(crate) fn restarts(&self) -> usize {
        self.job.look(|events| events.starts.len() - 1)
    }

    /// Waits until the job has failed and started again `count` times in all, and returns all starts.
    pub(crate) async fn restarted(&self, count: usize) -> Vec<Start> {
        let what = format!("there are {count} restarts");
        self.wait(&what, |events| {
            (events.starts.len() > count).then(|| events.starts.clone())
        })
        .await
    }

    /// SIGKILL to the process, which must be the test's own.
    pub(crate) async fn kill(&self) {
        assert!(self.settings.own_process, "other tests run in this process");
        self.jvm.kill();
        self.ended().await;
    }

    /// Starts a job that has ended (or was killed, in a new process) again from its last checkpoint, with this module.
    pub(crate) async fn start_again(&mut self, module: &str) {
        let completed = self.job.look(|events| events.checkpoint);
        let path = completed.map(|number| {
            let checkpoint = self
                .checkpoints()
                .join(&self.job_id)
                .join(format!("chk-{number}"));
            format!("file://{}", checkpoint.display())
        });
        let path = path.or_else(|| self.restored_from.clone());
        self.start_from(path, module).await;
    }

    /// Starts a job that has ended again from a savepoint, or from nothing.
    pub(crate) async fn start_from(&mut self, savepoint: Option<String>, module: &str) {
        assert!(
            self.job.look(|events| events.end.is_some()),
            "it still runs"
        );
        if self.jvm.is_gone() {
            let class_path = installation::class_path().unwrap();
            self.jvm = Jvm::start(class_path);
        }
        self.submit(module, savepoint).await;
    }

    /// Other settings from the next start on.
    pub(crate) fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
    }

    /// Cancels the job; it can be started again.
    pub(crate) async fn stop(&self) -> End {
        self.jvm.cancel(&self.name);
        self.ended().await
    }

    /// What was heard of the job, and the last lines of the log: for a test that gives up.
    pub(crate) fn told(&self) -> String {
        format!("{:#?}\n{}", self.events(), self.jvm.end_of_log())
    }

    /// Warnings and errors of the whole process. Other tests have their part in it, unless the process is the test's own.
    pub(crate) fn log(&self) -> String {
        self.jvm.log()
    }
}

impl Drop for Flink {
    fn drop(&mut self) {
        if self.settings.own_process {
            self.jvm.kill();
            return;
        }
        self.jvm.cancel(&self.name);
        let (job, permit) = (self.job.clone(), self.permit.take());
        std::thread::spawn(move || {
            let ends = Instant::now() + LAST_PATIENCE;
            while job.look(|events| events.end.is_none()) && Instant::now() < ends {
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(permit);
        });
    }
}
