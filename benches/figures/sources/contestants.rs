//! Who is compared: ours, and the real StateFun with each of its two kinds of state.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::jvm::Jvm;
use crate::process::Statefun;
use crate::table::Table;

pub(super) enum Contestant {
    Ours,
    StateFun { name: &'static str, jvm: Jvm },
}

/// All that can run here.
pub(super) fn contestants(table: &mut Table) -> Vec<Contestant> {
    let mut all = vec![Contestant::Ours];
    for (name, backend) in [(HEAP, "hashmap"), (ROCKSDB, "rocksdb")] {
        match Jvm::start(backend) {
            Ok(jvm) => all.push(Contestant::StateFun { name, jvm }),
            Err(why) => table.note(&format!("SKIPPED: {name}"), &format!("{why:#}")),
        }
    }
    all
}

pub(super) const OURS: &str = "ours";
pub(super) const HEAP: &str = "StateFun, heap state";
pub(super) const ROCKSDB: &str = "StateFun, RocksDB state";

impl Contestant {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::StateFun { name, .. } => name,
        }
    }

    /// Runs a module from its beginning, with data in `folder`.
    pub(super) fn begin(&mut self, module: &str, folder: &Path) -> Result<Run<'_>> {
        let file = folder.join("module.yaml");
        fs::write(&file, module)?;
        Ok(match self {
            Self::Ours => Run::Ours(Statefun::durable(&file, &folder.join("data"))?),
            Self::StateFun { jvm, .. } => {
                let job = jvm.submit(&file)?;
                Run::StateFun { jvm, job }
            }
        })
    }
}

/// A module that runs.
pub(super) enum Run<'a> {
    Ours(Statefun),
    StateFun { jvm: &'a mut Jvm, job: String },
}

impl Run<'_> {
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Ours(statefun) => statefun.pid(),
            Self::StateFun { jvm, .. } => jvm.pid(),
        }
    }

    /// Fails if it has ended by itself.
    pub(super) fn must_run(&mut self) -> Result<()> {
        match self {
            Self::Ours(_) => Ok(()),
            Self::StateFun { jvm, job } => jvm.must_run(job),
        }
    }

    pub(super) fn end(self) -> Result<()> {
        match self {
            Self::Ours(statefun) => statefun.kill(),
            Self::StateFun { jvm, job } => jvm.cancel(&job),
        }
    }
}
