//! The parts of a runtime, and its start: first everything is opened, so that any error stops the start; then it runs.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::acknowledgements::Acknowledgements;
use super::callers::Callers;
use super::commit::Committer;
use super::condition::Condition;
use super::config::RuntimeConfig;
use super::core::keys::egress_prefix;
use super::core::{Bindings as _, Core, CoreSettings, EgressBinding, SourceCore, ValueWatch};
use super::egress::{Egresses, Outbox};
use super::endpoint::{Directory, Endpoint, InProcess, RecordForm, Remote};
use super::entrance::Entrances;
use super::environment::Environment;
use super::error::StartError;
use super::fatal_failure::FatalFailure;
use super::gone::{self, Gone, StandIns};
use super::handle::{Chore, RuntimeHandle};
use super::http_listeners::HttpListeners;
use super::intake::Intake;
use super::listener::{Listener, stopped};
use super::partition::{Dependencies, Partitions};
use super::parts::{Part, Parts};
use super::router::Router;
use super::running::{Runtime, Tasks};
use super::service::Service;
use super::sink::{self, Lives, Sink};
use super::source::{self, Inlet, Source};
use crate::clock::{Clock, SystemClock};
use crate::handler::RequestReplyHandler;
use crate::module::{Endpoint as EndpointSpec, FunctionPattern};
use crate::random::Random;
use crate::sdk::{StatefulFunctions, TypeName};
use crate::storage::{Disk, Folder, LogSettings, Memory, Position, Store, Syncer};
use crate::transport::http::client::Network;

/// Where a runtime stores its data.
#[derive(Debug, Clone)]
pub(super) enum Home {
    /// In a folder.
    Disk(Arc<dyn Disk>),
    /// In memory: lost with the process.
    Ephemeral,
}

/// Warns of data of functions and egresses that no longer exist, and binds stand-ins for it, where possible.
fn stand_in(
    store: &Store,
    gone: &[Gone],
    stand_ins: Option<&StandIns>,
    config: &RuntimeConfig,
    directory: &mut Directory,
) -> Result<(), StartError> {
    let mut functions = StatefulFunctions::new();
    for Gone { kind, name, keeps } in gone {
        tracing::warn!(
            %name, keeps,
            "this {kind} is no longer in the module but has stored data; add it again, or see `statefun queues` and `statefun deliveries`"
        );
        if *kind != "function" {
            continue;
        }
        let declared = match gone::declared(store, name) {
            Err(error) if error.is_of_one_row() => {
                tracing::error!(%name, %error, "its stored data waits until its declaration can be read");
                continue;
            }
            declared => declared?,
        };
        if let Some(spec) = stand_ins.and_then(|StandIns(make)| make(name, &declared)) {
            functions = functions.with(spec).map_err(|error| StartError::Declared {
                what: error.to_string(),
            })?;
        }
    }
    bind_all(directory, &functions, config)
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
    network: Network,
    #[cfg_attr(
        not(feature = "kinesis"),
        allow(dead_code, reason = "connectors read it")
    )]
    environment: Environment,
    functions: Vec<StatefulFunctions>,
    pub(super) endpoints: Vec<EndpointSpec>,
    pub(crate) services: Vec<Box<dyn Service>>,
    /// The largest request body that a declared ingress accepts.
    pub(super) largest_body: usize,
    sources: Vec<(TypeName, Box<dyn Source>)>,
    sinks: Vec<(TypeName, Box<dyn Sink>)>,
    /// Egresses whose records are messages to a function.
    egress_functions: Vec<(TypeName, TypeName)>,
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

    pub(super) const fn known_network(&self) -> &Network {
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
            directory,
            entrances: Arc::new(entrances),
            egresses,
            store,
            sources: conditions(&sources),
            status: committer.status.subscribe(),
            stopping: closed.clone(),
            fatal_failure: FatalFailure::new(closing.clone()),
            clock: self.clock,
            gone: gone.into(),
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
                intake.directory.clone(),
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
            let core = SourceCore::new(index, cores, opened.name.as_str(), intake.store.clone());
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

    /// All functions and egresses by name. Calls are not retried once `closed` becomes true.
    fn directory(&self, closed: &watch::Receiver<bool>) -> Result<Directory, StartError> {
        let mut directory = Directory::of(Parts::new(self.parts.clone()));
        for (function, form) in &self.records {
            directory.takes_records(function.clone(), *form);
        }
        for functions in &self.functions {
            bind_all(&mut directory, functions, &self.config)?;
        }
        for spec in &self.endpoints {
            let functions = spec.functions.clone();
            let random = Random::seeded(Uuid::new_v4().as_u64_pair().0);
            let invocations = directory.invocations.clone();
            let remote = Remote::new(
                spec.clone(),
                self.network.clone(),
                invocations,
                closed.clone(),
                random,
            );
            let endpoint = Endpoint::Remote(Arc::new(remote));
            bind(&mut directory, &functions, &endpoint)?;
        }
        let sinks = self.sinks.iter();
        let sinks = sinks.map(|(name, _)| (name, EgressBinding::Outbox));
        let functions = self.egress_functions.iter();
        let functions = functions.map(|(name, f)| (name, EgressBinding::Function(f.clone())));
        for (name, binding) in sinks.chain(functions) {
            if !directory.bind_egress(name, binding) {
                return Err(bound_twice("egress", name));
            }
        }
        for (name, function) in &self.egress_functions {
            if directory
                .function(function.namespace(), function.name())
                .is_none()
            {
                return Err(StartError::Declared {
                    what: format!("egress {name}: function {function} is not bound"),
                });
            }
        }
        Ok(directory)
    }
}

async fn until_closing(work: impl Future<Output = ()>, closed: watch::Receiver<bool>) {
    tokio::select! {
        () = work => {}
        () = stopped(closed) => {}
    }
}

/// Binds functions in this process.
fn bind_all(
    directory: &mut Directory,
    functions: &StatefulFunctions,
    config: &RuntimeConfig,
) -> Result<(), StartError> {
    let names: Vec<_> = functions
        .specs()
        .iter()
        .map(|spec| spec.type_name().clone())
        .collect();
    let handler = RequestReplyHandler::new(functions.clone());
    let in_process = InProcess::new(handler, config.max_backlog_per_address);
    let endpoint = Endpoint::InProcess(Arc::new(in_process));
    for name in names {
        bind(directory, &FunctionPattern::Exact(name), &endpoint)?;
    }
    Ok(())
}

fn bind(
    directory: &mut Directory,
    functions: &FunctionPattern,
    endpoint: &Endpoint,
) -> Result<(), StartError> {
    if directory.bind(functions, endpoint.clone()) {
        return Ok(());
    }
    Err(StartError::BoundTwice {
        what: format!("function {functions}"),
    })
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
        directory: Arc::clone(&intake.directory),
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

/// What is read of the store before anything runs.
struct StartupScan {
    store: Store,
    durable: watch::Receiver<Position>,
    sinks: Vec<TypeName>,
    looks_for_gone: bool,
    stand_ins: Option<StandIns>,
    entrances: Entrances,
    config: RuntimeConfig,
}

/// What was found there.
struct Startup {
    directory: Directory,
    gone: Vec<Gone>,
    entrances: Entrances,
    lives: Lives,
    /// By the prefix of their rows.
    outboxes: HashMap<Bytes, (TypeName, Outbox)>,
}

impl StartupScan {
    /// Reads it, and binds stand-ins for functions that no longer exist.
    fn find(self, mut directory: Directory) -> Result<Startup, StartError> {
        let store = &self.store;
        let gone = match self.looks_for_gone {
            true => gone::find(store, &directory)?,
            false => Vec::new(),
        };
        let stand_ins = self.stand_ins.as_ref();
        stand_in(store, &gone, stand_ins, &self.config, &mut directory)?;
        let mut entrances = self.entrances;
        entrances.without_waiting(store)?;
        let lives = Lives::begin(store, Uuid::new_v4().as_u64_pair().0)?;
        let mut outboxes = HashMap::new();
        for name in self.sinks {
            let prefix = egress_prefix(name.namespace(), name.name());
            let outbox = Outbox::open(prefix.clone(), store.clone(), self.durable.clone())?;
            outboxes.insert(prefix, (name, outbox));
        }
        Ok(Startup {
            directory,
            gone,
            entrances,
            lives,
            outboxes,
        })
    }
}

fn bound_twice(what: &str, name: &TypeName) -> StartError {
    StartError::BoundTwice {
        what: format!("{what} {name}"),
    }
}

/// A source or a sink with open sockets and files.
struct Opened<T> {
    name: TypeName,
    part: T,
    listener: Option<Listener>,
}

/// Opens the sources, and gives each a number after those of the cores.
async fn open_sources(
    sources: Vec<(TypeName, Box<dyn Source>)>,
    cores: u8,
    listeners: &HttpListeners,
) -> Result<Vec<(Opened<Box<dyn Source>>, u8)>, StartError> {
    let (mut open, mut names) = (Vec::with_capacity(sources.len()), HashSet::new());
    for ((name, mut part), place) in sources.into_iter().zip(0_u16..) {
        if !names.insert(name.clone()) {
            return Err(bound_twice("ingress", &name));
        }
        let index = u8::try_from(u16::from(cores) + place).map_err(|_| StartError::Declared {
            what: format!("ingress {name}: partitions and ingresses together are 256 at most"),
        })?;
        let listener = part.open(listeners).await?;
        let opened = Opened {
            name,
            part,
            listener,
        };
        open.push((opened, index));
    }
    Ok(open)
}

fn conditions(sources: &[(Opened<Box<dyn Source>>, u8)]) -> Arc<[(TypeName, Arc<Condition>)]> {
    let names = sources.iter().map(|(opened, _)| opened.name.clone());
    names.map(|name| (name, Arc::default())).collect()
}

async fn open_sinks(
    sinks: Vec<(TypeName, Box<dyn Sink>)>,
    listeners: &HttpListeners,
) -> Result<Vec<Opened<Box<dyn Sink>>>, StartError> {
    let mut open = Vec::with_capacity(sinks.len());
    for (name, mut part) in sinks {
        let listener = part.open(listeners).await?;
        open.push(Opened {
            name,
            part,
            listener,
        });
    }
    Ok(open)
}
