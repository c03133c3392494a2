//! What is read of the store before anything runs.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::binding::bind_all;
use super::config::RuntimeConfig;
use super::core::keys::egress_prefix;
use super::egress::Outbox;
use super::endpoint::Directory;
use super::entrance::Entrances;
use super::error::StartError;
use super::gone::{self, BoundSource, Gone, INGRESS, StandIns};
use super::sink::Lives;
use crate::sdk::{StatefulFunctions, TypeName};
use crate::storage::{Position, Store};

/// Reads it.
pub(super) struct StartupScan {
    pub(super) store: Store,
    pub(super) durable: watch::Receiver<Position>,
    pub(super) sinks: Vec<TypeName>,
    pub(super) sources: Vec<BoundSource>,
    pub(super) looks_for_gone: bool,
    pub(super) stand_ins: Option<StandIns>,
    pub(super) entrances: Entrances,
    pub(super) config: RuntimeConfig,
}

/// What was found there.
pub(super) struct Startup {
    pub(super) directory: Directory,
    pub(super) gone: Vec<Gone>,
    pub(super) entrances: Entrances,
    pub(super) stand_ins: Option<StandIns>,
    pub(super) sources: Vec<BoundSource>,
    pub(super) lives: Lives,
    /// By the prefix of their rows.
    pub(super) outboxes: HashMap<Bytes, (TypeName, Outbox)>,
}

impl StartupScan {
    /// Reads it, and binds stand-ins for functions that no longer exist.
    pub(super) fn find(self, mut directory: Directory) -> Result<Startup, StartError> {
        let store = &self.store;
        let gone = match self.looks_for_gone {
            true => gone::find(store, &directory, &self.sources)?,
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
            stand_ins: self.stand_ins,
            sources: self.sources,
            lives,
            outboxes,
        })
    }
}

/// Warns of data of functions, egresses and ingresses that no longer exist, and binds stand-ins for it, where possible.
fn stand_in(
    store: &Store,
    gone: &[Gone],
    stand_ins: Option<&StandIns>,
    config: &RuntimeConfig,
    directory: &mut Directory,
) -> Result<(), StartError> {
    let mut functions = StatefulFunctions::new();
    for Gone { kind, name, keeps } in gone {
        if *kind == INGRESS {
            tracing::warn!(
                %name, keeps,
                "this ingress is no longer in the module, and another one begins without a stored position; if it is the same one, give it its id again: under another id it reads what was read before once more, or leaves out what came meanwhile"
            );
            continue;
        }
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
