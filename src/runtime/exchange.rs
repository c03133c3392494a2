//! What a running runtime binds, and how functions are exchanged for others while it runs.
//!
//! Each partition has a directory of its own, so that it looks nothing up under a lock; the intake has one for all that comes from outside. An exchange
//! gives them directories in three steps, so that no message meets a partition that does not know its function yet: first the functions that are new, then
//! the others, and at last stand-ins for those that are gone. Messages that were under way meanwhile are handled by the earlier functions.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;

use super::binding::bind_all;
use super::config::RuntimeConfig;
use super::endpoint::Directory;
use super::entrance::Entrances;
use super::error::StartError;
use super::function_set::FunctionSet;
use super::gone::{self, BoundSource, Gone, StandIns};
use super::handle::RuntimeHandle;
use super::intake::Intake;
use super::listener::stopped;
use super::partition::Command;
use crate::module::FunctionPattern;
use crate::sdk::{StatefulFunctions, TypeName};
use crate::storage::{StorageError, Store};

/// What is bound now.
#[derive(Debug)]
pub(super) struct Bound {
    now: RwLock<Now>,
    /// Held during an exchange.
    exchanging: Mutex<()>,
    stand_ins: Option<StandIns>,
    sources: Vec<BoundSource>,
    config: RuntimeConfig,
}

#[derive(Debug, Clone)]
struct Now {
    directory: Arc<Directory>,
    entrances: Arc<Entrances>,
    gone: Arc<[Gone]>,
}

/// Why functions were not exchanged. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The new ones cannot be bound.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store could not be read.
    #[error("the store cannot be read: {0}")]
    Store(#[from] StorageError),
    /// Reading it was cut off.
    #[error("reading the store was cut off")]
    CutOff,
    /// The runtime takes nothing any more.
    #[error("the runtime is stopping")]
    Stopping,
}

impl Bound {
    pub(super) fn new(
        directory: Arc<Directory>,
        entrances: Entrances,
        gone: Vec<Gone>,
        stand_ins: Option<StandIns>,
        sources: Vec<BoundSource>,
        config: RuntimeConfig,
    ) -> Self {
        Self {
            now: RwLock::new(Now {
                directory,
                entrances: Arc::new(entrances),
                gone: gone.into(),
            }),
            exchanging: Mutex::default(),
            stand_ins,
            sources,
            config,
        }
    }

    fn now(&self) -> Now {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// All functions and egresses.
    pub(super) fn directory(&self) -> Arc<Directory> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&now.directory)
    }

    /// The functions that only pass messages on.
    pub(super) fn entrances(&self) -> Arc<Entrances> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&now.entrances)
    }

    /// Data of functions and egresses that are not bound.
    pub(super) fn gone(&self) -> Arc<[Gone]> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&now.gone)
    }

    fn become_bound(&self, next: Now) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// The directories of an exchange, in their order.
struct Steps {
    /// The earlier functions, and those that are new.
    with_new: Arc<Directory>,
    /// The functions from now on, and those that are gone.
    with_gone: Arc<Directory>,
    /// For what comes from outside.
    from_outside: Arc<Directory>,
    /// The same, and whatever may still get a message from a function.
    inside: Arc<Directory>,
    entrances: Entrances,
    gone: Vec<Gone>,
}

impl RuntimeHandle {
    /// Binds the functions of `set` in place of those called `before`, and begins the chores of the set. What waits for a function stays, and goes on with the one of the same
    /// name; what waits for one that is gone gets a stand-in, as after a restart.
    ///
    /// # Errors
    /// If a function cannot be bound, or the store cannot be read. Nothing has changed then.
    pub(crate) async fn exchange(
        &self,
        before: &[TypeName],
        mut set: FunctionSet,
    ) -> Result<(), ExchangeError> {
        let intake = self.intake();
        let _exchanging = intake.bound.exchanging.lock().await;
        let chores = std::mem::take(&mut set.chores);
        let before: BTreeSet<TypeName> = before.iter().cloned().collect();
        let (bound, store) = (Arc::clone(&intake.bound), intake.store.clone());
        let planned = tokio::task::spawn_blocking(move || plan(&bound, &store, &before, set));
        let steps = planned.await.map_err(|_| ExchangeError::CutOff)??;
        give(intake, &steps.with_new).await?;
        give(intake, &steps.with_gone).await?;
        intake.bound.become_bound(Now {
            directory: steps.from_outside,
            entrances: Arc::new(steps.entrances),
            gone: steps.gone.into(),
        });
        give(intake, &steps.inside).await?;
        for chore in chores {
            let (work, closed) = (chore.begin(self.clone()), intake.stopping.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = work => {}
                    () = stopped(closed) => {}
                }
            });
        }
        Ok(())
    }
}

/// Gives all partitions a directory; ready when they have it.
async fn give(intake: &Intake, directory: &Arc<Directory>) -> Result<(), ExchangeError> {
    let make = |sender| Command::Bind(Arc::clone(directory), sender);
    let had = intake.router.ask_all(make).await;
    match had.is_empty() {
        true => Err(ExchangeError::Stopping),
        false => Ok(()),
    }
}

fn plan(
    bound: &Bound,
    store: &Store,
    before: &BTreeSet<TypeName>,
    set: FunctionSet,
) -> Result<Steps, ExchangeError> {
    let now = bound.now();
    let names: BTreeSet<TypeName> = set.names().cloned().collect();
    let gone: Vec<TypeName> = before.difference(&names).cloned().collect();
    let known = |name: &TypeName| now.directory.has(name);

    let mut from_outside = Directory::clone(&now.directory);
    // A stand-in from the start gives way to its function, which is back.
    for name in before.iter().chain(&names) {
        from_outside.unbind(name);
    }
    for functions in &set.functions {
        bind_all(&mut from_outside, functions, &bound.config)?;
    }
    for (function, form) in set.records {
        from_outside.takes_records(function, form);
    }
    from_outside.parts.extend(set.parts);

    let mut with_new = Directory::clone(&now.directory);
    for name in names.iter().filter(|name| !known(name)) {
        with_new.bind_from(&from_outside, name);
    }
    let mut with_gone = from_outside.clone();
    for name in &gone {
        with_gone.bind_from(&now.directory, name);
    }
    let (kept, stands) = (
        gone::find(store, &from_outside, &bound.sources)?,
        &bound.stand_ins,
    );
    for one in kept.iter().filter(|one| one.kind == "function") {
        tracing::warn!(
            name = %one.name, keeps = one.keeps,
            "this function is no longer bound but has stored data; add it again, or see `statefun queues` and `statefun deliveries`"
        );
    }
    let mut stand_ins = StatefulFunctions::new();
    for name in &gone {
        let declared = gone::declared(store, name)?;
        let spec = stands
            .as_ref()
            .and_then(|StandIns(make)| make(name, &declared));
        if let Some(spec) = spec {
            stand_ins = stand_ins.with(spec).map_err(|error| StartError::Declared {
                what: error.to_string(),
            })?;
        }
    }
    bind_all(&mut from_outside, &stand_ins, &bound.config)?;
    // What has never kept anything finishes what is under way.
    let mut inside = from_outside.clone();
    for name in gone.iter().filter(|name| !from_outside.has(name)) {
        inside.bind_from(&now.directory, name);
    }

    let mut entrances = now.entrances.without(before);
    let mut new = Entrances::default();
    for (function, enter) in set.entrances {
        // Messages that wait in the function must not be overtaken.
        if now.entrances.has(&function) || !known(&function) {
            new.add(function, enter);
        }
    }
    new.without_waiting(store)?;
    entrances.extend(new);
    Ok(Steps {
        with_new: Arc::new(with_new),
        with_gone: Arc::new(with_gone),
        from_outside: Arc::new(from_outside),
        inside: Arc::new(inside),
        entrances,
        gone: kept,
    })
}

impl Directory {
    /// Whether a function has a binding of its own.
    fn has(&self, name: &TypeName) -> bool {
        self.own_endpoint(name).is_some()
    }

    /// Binds a function as `other` does, if nothing is bound here.
    fn bind_from(&mut self, other: &Self, name: &TypeName) {
        if let Some(endpoint) = other.own_endpoint(name) {
            let endpoint = endpoint.clone();
            self.bind(&FunctionPattern::Exact(name.clone()), endpoint);
        }
    }
}
