//! The `statefun` binary with a module file and a data folder of its own.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::process::Process;

pub(crate) struct Installed(TempDir);

impl Installed {
    /// A folder with this module file.
    pub(crate) fn with(module: &str) -> Self {
        let installed = Self::empty();
        installed.set_module(module);
        installed
    }

    /// A folder, for a module that names files in it.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn set_module(&self, module: &str) {
        fs::write(self.path("module.yaml"), module).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns when it is ready.
    pub(crate) fn run(&self) -> Process {
        Process::run(&self.path("module.yaml"), &self.path("data"))
    }

    /// The same, without waiting.
    pub(crate) fn spawn(&self) -> Process {
        Process::spawn(&self.path("module.yaml"), &self.path("data"))
    }
}
