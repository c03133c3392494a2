//! How a job is run.

use std::time::Duration;

/// How a job is run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Egresses that are captured, each `<namespace>/<name>`.
    pub(crate) egresses: Vec<String>,
    /// How often it restarts before it fails for good.
    pub(crate) restarts: u32,
    pub(crate) restart_delay: Duration,
    pub(crate) checkpoint_interval: Duration,
    /// `hashmap` or `rocksdb`.
    pub(crate) backend: &'static str,
    /// At most 4.
    pub(crate) parallelism: u32,
    /// A process that no other test uses.
    pub(crate) own_process: bool,
    /// Whether state of functions that are gone may be left behind at a restore.
    pub(crate) may_drop_state: bool,
    /// Further settings of Flink and StateFun, by key.
    pub(crate) more: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            egresses: Vec::new(),
            restarts: u32::MAX >> 1,
            restart_delay: Duration::from_millis(50),
            checkpoint_interval: Duration::from_millis(200),
            backend: "hashmap",
            parallelism: 1,
            own_process: false,
            may_drop_state: false,
            more: Vec::new(),
        }
    }
}

impl Settings {
    pub(crate) fn capturing<'a>(egresses: impl IntoIterator<Item = &'a str>) -> Self {
        let egresses = egresses.into_iter().map(str::to_owned).collect();
        Self {
            egresses,
            ..Self::default()
        }
    }

    /// The first failure is the end of the job.
    pub(crate) fn without_restarts(self) -> Self {
        Self {
            restarts: 0,
            ..self
        }
    }
}
