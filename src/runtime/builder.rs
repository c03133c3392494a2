//! What a runtime is made of, and the start: open everything first, so that what is wrong stops the start; then run.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::commit::Committer;
use super::config::RuntimeConfig;
use super::core::keys::egress_prefix;
use super::core::{Bindings as _, Core, CoreSettings, EgressBinding};
use super::egress::file::FileEgress;
use super::egress::playground::OpenPlaygroundEgress;
use super::egress::{Egress, Egresses, OpenEgress, Outbox, Push};
use super::endpoint::{Directory, Endpoint, InProcess, Remote};
use super::error::StartError;
use super::fate::Fate;
use super::gateways::Gateways;
use super::ingress::Ingress;
use super::intake::Intake;
use super::module::{Endpoint as EndpointSpec, FunctionPattern, PlaygroundEgress};
use super::partition::{self, Router, Surroundings};
use super::running::{Runtime, Tasks};
use crate::clock::{Clock, SystemClock};
use crate::handler::RequestReplyHandler;
use crate::random::Random;
use crate::sdk::{StatefulFunctions, TypeName};
use crate::storage::{Disk, Folder, LogSettings, Memory, Store, Syncer};

/// Where a runtime keeps what it must not forget.
#[derive(Debug, Clone)]
pub(super) enum Home {
    /// In a folder.
    Disk(Arc<dyn Disk>),
    /// In memory: gone with the process.
    Ephemeral,
}

/// What stands behind an egress name.
#[derive(Debug)]
pub(super) enum EgressPlan {
    Push(Arc<dyn Egress>),
    File(PathBuf),
    Playground(PlaygroundEgress),
    Function(TypeName),
}

/// Puts a runtime together. Nothing is opened before [`RuntimeBuilder::start`].
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
    functions: Vec<StatefulFunctions>,
    pub(super) endpoints: Vec<EndpointSpec>,
    pub(crate) ingresses: Vec<Box<dyn Ingress>>,
    pub(super) egresses: Vec<(TypeName, EgressPlan)>,
}

impl RuntimeBuilder {
    pub(super) fn new() -> Self {
        Self {
            config: RuntimeConfig::default(),
            clock: Arc::new(SystemClock),
            home: Home::Ephemeral,
            at_rest: false,
            functions: Vec::new(),
            endpoints: Vec::new(),
            ingresses: Vec::new(),
            egresses: Vec::new(),
        }
    }

    /// Binds functions of this process. May be called several times; a type may be bound once.
    pub fn functions(mut self, functions: StatefulFunctions) -> Self {
        self.functions.push(functions);
        self
    }

    /// Binds an egress: what functions send to `name` is brought to `egress`.
    pub fn egress(mut self, name: TypeName, egress: impl Egress) -> Self {
        self.egresses
            .push((name, EgressPlan::Push(Arc::new(egress))));
        self
    }

    /// Keeps everything in this folder; it is made when it does not exist, and locked while the runtime runs.
    pub fn data(self, folder: impl Into<PathBuf>) -> Self {
        self.disk(Arc::new(Folder::new(folder)))
    }

    /// Keeps everything on `disk`, such as one that fails on purpose.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.home = Home::Disk(disk);
        self
    }

    /// Keeps everything in memory: it is gone with the process. The default.
    pub fn ephemeral(mut self) -> Self {
        self.home = Home::Ephemeral;
        self
    }

    /// Opens what is there without going on with it: no function is called and no timer fires. For looking, and for repairs.
    pub const fn at_rest(mut self) -> Self {
        self.at_rest = true;
        self
    }

    /// Other settings than the default ones.
    pub fn config(mut self, config: RuntimeConfig) -> Self {
        self.config = config;
        self
    }

    /// Another clock than the system's. Waits are still waited by the real one.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The clock of everything that stores times.
    pub(super) fn wall_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Opens the data folder and all listeners, takes up what waits from before, and runs.
    ///
    /// # Errors
    /// When something can't be opened, or a name is bound twice. Nothing is left running then.
    pub async fn start(self) -> Result<Runtime, StartError> {
        let (closing, closed) = watch::channel(false);
        let directory = Arc::new(self.directory(&closed)?);
        let mut open = Vec::with_capacity(self.ingresses.len());
        for ingress in self.ingresses {
            open.push(ingress.open().await?);
        }
        let (store, syncer) = open_store(self.home, self.config.storage.clone()).await?;
        let committer = Committer::start(store.clone(), syncer).map_err(StartError::Thread)?;
        let egresses = open_egresses(self.egresses, &store, &committer, &self.config).await?;
        directory.know_outboxes(egresses.all.clone());

        let (ending, ended) = watch::channel(false);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..self.config.partitions.get())
            .map(|_| mpsc::unbounded_channel())
            .unzip();
        let intake = Intake {
            router: Router::new(senders),
            gateways: Gateways::default(),
            directory,
            egresses: egresses.all,
            store,
            status: committer.status.clone(),
            stopping: closed.clone(),
            fate: Fate::new(closing.clone()),
            clock: self.clock,
        };
        let mut partitions = JoinSet::new();
        for (index, commands) in (0..).zip(receivers) {
            let core = Core::new(
                CoreSettings {
                    at_rest: self.at_rest,
                    ..settings(&self.config, index)
                },
                intake.directory.clone(),
                intake.store.clone(),
            );
            partitions.spawn(partition::run(
                core,
                surroundings(&intake, &committer, &self.config),
                commands,
            ));
        }

        let mut listeners = Vec::new();
        let (mut ingresses, mut delivering) = (JoinSet::new(), JoinSet::new());
        for (egress, outbox) in egresses.open {
            listeners.extend(egress.listening());
            delivering.spawn(egress.run(outbox, ended.clone()));
        }
        for ingress in open {
            listeners.push(ingress.listening());
            ingresses.spawn(ingress.run(intake.clone(), closed.clone()));
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

    /// All functions and egresses by name. Calls are not tried again once `closed` turns true.
    fn directory(&self, closed: &watch::Receiver<bool>) -> Result<Directory, StartError> {
        let mut directory = Directory::default();
        for functions in &self.functions {
            let names: Vec<_> = functions
                .specs()
                .iter()
                .map(|spec| spec.type_name().clone())
                .collect();
            let handler = RequestReplyHandler::new(functions.clone());
            let endpoint = Arc::new(Endpoint::InProcess(InProcess::new(
                handler,
                self.config.max_backlog_per_address,
            )));
            for name in names {
                bind(&mut directory, &FunctionPattern::Exact(name), &endpoint)?;
            }
        }
        for spec in &self.endpoints {
            let functions = spec.functions.clone();
            let random = Random::seeded(Uuid::new_v4().as_u64_pair().0);
            let invocations = directory.invocations.clone();
            let remote = Remote::new(spec.clone(), invocations, closed.clone(), random);
            let endpoint = Arc::new(Endpoint::Remote(Box::new(remote)));
            bind(&mut directory, &functions, &endpoint)?;
        }
        for (name, plan) in &self.egresses {
            let binding = match plan {
                EgressPlan::Function(function) => EgressBinding::Function(function.clone()),
                _ => EgressBinding::Outbox,
            };
            if !directory.bind_egress(name, binding) {
                return Err(StartError::BoundTwice {
                    what: format!("egress {name}"),
                });
            }
        }
        for (name, plan) in &self.egresses {
            if let EgressPlan::Function(function) = plan
                && directory
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

fn bind(
    directory: &mut Directory,
    functions: &FunctionPattern,
    endpoint: &Arc<Endpoint>,
) -> Result<(), StartError> {
    if directory.bind(functions, Arc::clone(endpoint)) {
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

fn surroundings(intake: &Intake, committer: &Committer, config: &RuntimeConfig) -> Surroundings {
    Surroundings {
        clock: Arc::clone(&intake.clock),
        directory: Arc::clone(&intake.directory),
        router: intake.router.clone(),
        gateways: intake.gateways.clone(),
        egresses: intake.egresses.clone(),
        durable: committer.durable.clone(),
        fate: intake.fate.clone(),
        statefun_words: config.failure.statefun_words,
    }
}

async fn open_store(home: Home, settings: LogSettings) -> Result<(Store, Syncer), StartError> {
    match home {
        Home::Ephemeral => Ok(Memory::default().open()),
        // Replaying a log takes a moment.
        Home::Disk(disk) => {
            let opened =
                tokio::task::spawn_blocking(move || crate::storage::open(disk, settings)).await;
            let opened =
                opened.map_err(|failure| StartError::Thread(std::io::Error::other(failure)))?;
            Ok(opened?)
        }
    }
}

/// Egresses whose sockets and files are open.
struct OpenEgresses {
    all: Egresses,
    open: Vec<(Box<dyn OpenEgress>, Outbox)>,
}

async fn open_egresses(
    plans: Vec<(TypeName, EgressPlan)>,
    store: &Store,
    committer: &Committer,
    config: &RuntimeConfig,
) -> Result<OpenEgresses, StartError> {
    let (mut all, mut open) = (HashMap::new(), Vec::new());
    for (name, plan) in plans {
        let driver: Box<dyn OpenEgress> = match plan {
            EgressPlan::Push(egress) => Box::new(Push {
                name: name.clone(),
                egress,
            }),
            EgressPlan::File(path) => {
                let file =
                    FileEgress::open(name.clone(), &path).map_err(|source| StartError::Egress {
                        egress: name.clone(),
                        source: format!("{}: {source}", path.display()).into(),
                    })?;
                Box::new(Push {
                    name: name.clone(),
                    egress: Arc::new(file),
                })
            }
            EgressPlan::Playground(spec) => Box::new(OpenPlaygroundEgress::open(spec).await?),
            EgressPlan::Function(_) => continue,
        };
        let prefix = egress_prefix(name.namespace(), name.name());
        let outbox = Outbox::open(prefix.clone(), store.clone(), committer.durable.clone())?;
        all.insert(prefix, (name, outbox.clone()));
        open.push((driver, outbox));
    }
    Ok(OpenEgresses {
        all: Egresses::new(
            all,
            config.max_outbox,
            settings(config, 0).share_of(config.max_outbox),
        ),
        open,
    })
}
