//! The parts of a runtime, and its start: first everything is opened, so that any error stops the start; then it runs.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::acknowledgements::Acknowledgements;
use super::callers::Callers;
use super::commit::Committer;
use super::config::RuntimeConfig;
use super::core::{AnswerLimits, Core, CoreSettings, SourceCore, ValueWatch};
use super::egress::Egresses;
use super::endpoint::RecordForm;
use super::entrance::Entrances;
use super::environment::Environment;
use super::error::StartError;
use super::exchange::Bound;
use super::fatal_failure::FatalFailure;
use super::function_set::FunctionSet;
use super::gone::StandIns;
use super::handle::{Chore, RuntimeHandle};
use super::http_listeners::HttpListeners;
use super::intake::Intake;
use super::listener::stopped;
use super::opened::{bound, conditions, open_sinks, open_sources};
use super::partition::{Dependencies, Partitions};
use super::parts::Part;
use super::router::Router;
use super::running::{Runtime, Tasks};
use super::service::Service;
use super::sink::{self, Sink};
use super::source::{self, Inlet, Source};
use super::startup_scan::{Startup, StartupScan};
use crate::clock::{Clock, SystemClock};
use crate::module::Endpoint as EndpointSpec;
use crate::sdk::{StatefulFunctions, TypeName};
use crate::storage::{Disk, Folder, LogSettings, Memory, Store, Syncer};
use crate::transport::http::client::Network;

/// Where a runtime stores its data.
#[derive(Debug, Clone)]
pub(super) enum Home {
    /// In a folder.
    Disk(Arc<dyn Disk>),
    /// In memory: lost with the process.
    Ephemeral,
}

/// Configures a runtime. Nothing is opened before [`RuntimeBuilder::start`].
///
/// ```no_run
/// use stateful_functions::runtime::Runtime;
/// # use stateful_functions::StatefulFunctions;
/// # async fn example(functions: StatefulFunctions) -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::builder().functions(functions).data("statefun-data").start().await?;
/// runtime.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a runtime is started by `start`"]
pub struct RuntimeBuilder {
    pub(super) config: RuntimeConfig,
    clock: Arc<dyn Clock>,
    home: Home,
    at_rest: bool,
    pub(super) network: Network,
    #[cfg_attr(
        not(feature = "kinesis"),
        allow(dead_code, reason = "connectors read it")
    )]
    environment: Environment,
    pub(super) functions: Vec<StatefulFunctions>,
    pub(super) endpoints: Vec<EndpointSpec>,
    pub(crate) services: Vec<Box<dyn Service>>,
    /// The largest request body that a declared ingress accepts.
    pub(crate) largest_body: usize,
    sources: Vec<(TypeName, Box<dyn Source>)>,
    pub(super) sinks: Vec<(TypeName, Box<dyn Sink>)>,
    /// Egresses whose records are messages to a function.
    pub(super) egress_functions: Vec<(TypeName, TypeName)>,
    /// Values that parts above the runtime share.
    pub(super) shared: http::Extensions,
    pub(super) stand_ins: Option<StandIns>,
    /// Is notified of changes of some values.
    pub(super) watch: Option<Arc<dyn ValueWatch>>,
    /// Background work, started once the runtime runs.
    pub(super) chores: Vec<Chore>,
    /// Functions that take records.
    pub(super) records: Vec<(TypeName, RecordForm)>,
    /// Functions that are parts of a larger whole.
    pub(super) parts: Vec<Part>,
    /// Functions that only transform messages.
    pub(super) entrances: Entrances,
}

impl RuntimeBuilder {
    pub(super) fn new() -> Self {
        Self {
            config: RuntimeConfig::default(),
            clock: Arc::new(SystemClock),
            home: Home::Ephemeral,
            at_rest: false,
            network: Network::default(),
            environment: Environment::default(),
            functions: Vec::new(),
            endpoints: Vec::new(),
            services: Vec::new(),
            largest_body: 0,
            sources: Vec::new(),
            sinks: Vec::new(),
            egress_functions: Vec::new(),
            shared: http::Extensions::new(),
            stand_ins: None,
            watch: None,
            chores: Vec::new(),
            records: Vec::new(),
            parts: Vec::new(),
            entrances: Entrances::default(),
        }
    }

    /// Binds functions in this process. May be called several times; a type may be bound once.
    pub fn functions(mut self, functions: StatefulFunctions) -> Self {
        self.functions.push(functions);
        self
    }

    /// Binds functions with everything that belongs to them.
    pub(crate) fn function_set(mut self, set: FunctionSet) -> Self {
        self.functions.extend(set.functions);
        self.records.extend(set.records);
        self.parts.extend(set.parts);
        for (function, enter) in set.entrances {
            self.entrances.add(function, enter);
        }
        self.chores.extend(set.chores);
        self
    }

    /// Adds background work.
    pub(crate) fn chore(mut self, chore: Chore) -> Self {
        self.chores.push(chore);
        self
    }

    /// Binds an ingress: the records of `source` go to the functions they name. Its positions are stored under `name`.
    pub fn ingress(mut self, name: TypeName, source: impl Source) -> Self {
        self.sources.push((name, Box::new(source)));
        self
    }

    /// Binds an egress: records that functions send to `name` are delivered to `sink`.
    pub fn egress(mut self, name: TypeName, sink: impl Sink) -> Self {
        self.sinks.push((name, Box::new(sink)));
        self
    }

    /// Binds an egress whose records are messages to `function`, with the sender's id.
    pub(super) fn egress_function(mut self, name: TypeName, function: TypeName) -> Self {
        self.egress_functions.push((name, function));
        self
    }

    /// Stores everything in this folder. It is created if it does not exist, and locked while the runtime runs.
    pub fn data(self, folder: impl Into<PathBuf>) -> Self {
        self.disk(Arc::new(Folder::new(folder)))
    }

    /// Stores everything on `disk`, such as one that fails on purpose.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.home = Home::Disk(disk);
        self
    }

    /// Keeps everything in memory, where it is lost with the process. The default.
    pub fn ephemeral(mut self) -> Self {
        self.home = Home::Ephemeral;
        self
    }

    /// Opens the data without continuing the work: no function is called and no timer fires. For inspection and repairs.
    pub const fn at_rest(mut self) -> Self {
        self.at_rest = true;
        self
    }

    /// Sets the configuration.
    pub fn config(mut self, config: RuntimeConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the clock, instead of the system's. Waits still use real time.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets proxies and authorities for exports and remote functions. Call it before [`module`](Self::module), so that the
    /// exports of the module use it.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    pub(crate) const fn known_network(&self) -> &Network {
        &self.network
    }

    /// Sets the variables of the environment by which connectors are configured, such as those of AWS; the library itself reads no
    /// environment. Call it before [`module`](Self::module).
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    #[cfg(feature = "kinesis")]
    pub(super) const fn known_environment(&self) -> &Environment {
        &self.environment
    }

    /// The clock for all stored times.
    pub(super) fn wall_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Opens the data folder and all listeners, continues the stored work, and runs.
    ///
    /// # Errors
    /// If something cannot be opened, or a name is bound twice. Nothing is left running then.
    pub async fn start(self) -> Result<Runtime, StartError> {
        self.check_answers()?;
        let (closing, closed) = watch::channel(false);
        let mut directory = self.directory(&closed)?;
        directory.watched_by(self.watch);
        let listeners = HttpListeners::new(&self.config, self.largest_body);
        let sources = open_sources(self.sources, self.config.partitions.get(), &listeners).await?;
        let sinks = open_sinks(self.sinks, &listeners).await?;
        let mut services = Vec::with_capacity(self.services.len());
        for mut service in self.services {
            services.push((service.open(&listeners).await?, service));
        }
        let (store, syncer) = open_store(self.home, self.config.storage.clone()).await?;
        let router = Router::new(self.config.partitions.get(), self.config.max_memory_bytes);
        let callers = Callers::new(Uuid::new_v4().as_u64_pair().0);
        let acknowledgements = Acknowledgements::new(self.config.partitions.get(), callers);
        let told = acknowledgements.clone();
        let committer = Committer::start(store.clone(), syncer, told, router.clone());
        let committer = committer.map_err(StartError::Thread)?;
        let kept = StartupScan {
            store: store.clone(),
            durable: committer.durable.clone(),
            sinks: sinks.iter().map(|sink| sink.name.clone()).collect(),
            sources: bound(&sources),
            // For inspection, functions are neither bound nor missed.
            looks_for_gone: !self.at_rest,
            stand_ins: self.stand_ins,
            entrances: self.entrances,
            config: self.config.clone(),
        };
        let Startup {
            directory,
            gone,
            entrances,
            stand_ins,
            sources: bound_sources,
            lives,
            outboxes,
        } = blocking(move || kept.find(directory)).await??;
        let directory = Arc::new(directory);
        let egresses = Egresses::new(
            outboxes,
            self.config.max_outbox,
            settings(&self.config, 0).share_of(self.config.max_outbox),
        );
        directory.know_outboxes(egresses.clone());

        let (ending, ended) = watch::channel(false);
        let intake = Intake {
            router,
            callers: acknowledgements.callers().clone(),
            bound: Arc::new(Bound::new(
                Arc::clone(&directory),
                entrances,
                gone,
                stand_ins,
                bound_sources,
                self.config.clone(),
            )),
            egresses,
            store,
            sources: conditions(&sources),
            status: committer.status.subscribe(),
            stopping: closed.clone(),
            fatal_failure: FatalFailure::new(closing.clone()),
            clock: self.clock,
            shared: Arc::new(self.shared),
            counted_by: None,
        };
        let mut partitions = Partitions::default();
        for (index, inbox) in (0..).zip(intake.router.inboxes()) {
            let core = Core::new(
                CoreSettings {
                    at_rest: self.at_rest,
                    ..settings(&self.config, index)
                },
                intake.bound.directory(),
                intake.store.quiet(),
            );
            let dependencies = dependencies(&intake, &committer, &acknowledgements, &self.config);
            let started = partitions.start(core, inbox.clone(), dependencies);
            started.map_err(StartError::Thread)?;
        }

        let mut listeners = Vec::new();
        let (mut ingresses, mut delivering) = (JoinSet::new(), JoinSet::new());
        for opened in sinks {
            listeners.extend(opened.listener);
            if let Some(outbox) = intake.egresses.outbox(&opened.name) {
                let (lives, ended) = (lives.clone(), ended.clone());
                delivering.spawn(sink::drive(opened.name, opened.part, outbox, lives, ended));
            }
        }
        let conditions = Arc::clone(&intake.sources);
        for ((opened, index), (_, condition)) in sources.into_iter().zip(conditions.iter()) {
            listeners.extend(opened.listener);
            let cores = self.config.partitions.get();
            let store = intake.store.quiet();
            let core = SourceCore::new(index, cores, opened.name.as_str(), store);
            let condition = Arc::clone(condition);
            let durable = committer.durable.clone();
            let inlet = Inlet::new(opened.name, intake.clone(), core, durable, condition);
            if !self.at_rest {
                ingresses.spawn(source::drive(opened.part, inlet));
            }
        }
        for (listener, service) in services {
            listeners.push(listener);
            let runtime = RuntimeHandle::new(intake.clone());
            ingresses.spawn(service.run(runtime, closed.clone()));
        }
        if !self.at_rest {
            for chore in self.chores {
                let work = chore.begin(RuntimeHandle::new(intake.clone()));
                ingresses.spawn(until_closing(work, closed.clone()));
            }
        }
        let tasks = Tasks {
            closing,
            ingresses,
            ending,
            egresses: delivering,
            partitions,
        };
        Ok(Runtime::new(
            intake,
            committer,
            listeners,
            self.config,
            tasks,
        ))
    }

    /// A stage of a pipeline may make a record that needs all of the default limit. With a lower one its batch would be tried without end.
    fn check_answers(&self) -> Result<(), StartError> {
        let least = AnswerLimits::default().bytes;
        let given = self.config.answers.bytes;
        if self.records.is_empty() || self.at_rest || given >= least {
            return Ok(());
        }
        let what = format!(
            "`RuntimeConfig::answers.bytes` is {given}, and pipelines need at least {least}, because their records may have 60 MiB; raise it"
        );
        Err(StartError::Declared { what })
    }
}

async fn until_closing(work: impl Future<Output = ()>, closed: watch::Receiver<bool>) {
    tokio::select! {
        () = work => {}
        () = stopped(closed) => {}
    }
}
fn settings(config: &RuntimeConfig, index: u8) -> CoreSettings {
    CoreSettings {
        index,
        cores: config.partitions.get(),
        failure: config.failure,
        answers: config.answers,
        type_share_percent: config.type_share_percent,
        max_backlog: config.max_backlog,
        max_memory_bytes: config.max_memory_bytes,
        ..CoreSettings::default()
    }
}

fn dependencies(
    intake: &Intake,
    committer: &Committer,
    acknowledgements: &Acknowledgements,
    config: &RuntimeConfig,
) -> Dependencies {
    Dependencies {
        clock: Arc::clone(&intake.clock),
        store: intake.store.clone(),
        store_status: committer.status.clone(),
        directory: intake.bound.directory(),
        router: intake.router.clone(),
        acknowledgements: acknowledgements.clone(),
        egresses: intake.egresses.clone(),
        fatal_failure: intake.fatal_failure.clone(),
        application: Handle::current(),
        statefun_words: config.failure.statefun_words,
    }
}

async fn open_store(home: Home, settings: LogSettings) -> Result<(Store, Syncer), StartError> {
    match home {
        Home::Ephemeral => Ok(Memory::default().open()),
        // Replaying a log takes a moment.
        Home::Disk(disk) => Ok(blocking(move || crate::storage::open(disk, settings)).await??),
    }
}

/// Does what waits for the disk on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StartError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|failure| StartError::Thread(std::io::Error::other(failure)))
}
