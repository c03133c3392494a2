//! What the connectors of a module say of its documents before it runs: without the systems that they name, and after asking those.

use std::time::Duration;

use async_trait::async_trait;

use super::environment::Environment;
use crate::module::Finding;
use crate::transport::http::client::Network;

/// What connectors find in the documents of a module without their systems.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ConnectorFindings {
    /// What stops the start.
    pub faults: Vec<Finding>,
    /// What has no effect, or not everywhere.
    pub warnings: Vec<Finding>,
}

impl ConnectorFindings {
    /// These faults, and no warnings.
    pub(crate) const fn of_faults(faults: Vec<Finding>) -> Self {
        let warnings = Vec::new();
        Self { faults, warnings }
    }

    /// Adds the findings of another document.
    pub(crate) fn add(&mut self, other: Self) {
        self.faults.extend(other.faults);
        self.warnings.extend(other.warnings);
    }
}

/// The process that asks systems, and its patience.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Asking {
    /// How long each question waits at most.
    pub patience: Duration,
    /// The variables of the environment by which connectors are configured, such as those of AWS.
    pub environment: Environment,
    /// Proxies and certificate authorities.
    pub network: Network,
}

impl Asking {
    /// Waits for `patience` at most; without variables of an environment and without proxies.
    pub fn within(patience: Duration) -> Self {
        Self {
            patience,
            environment: Environment::default(),
            network: Network::default(),
        }
    }
}

/// What a system answered about a document.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SystemAnswer {
    /// What it means for the module.
    pub verdict: Verdict,
    /// The field that the question was about, and the answer.
    pub finding: Finding,
}

impl SystemAnswer {
    /// What `verdict` says about a field.
    #[cfg_attr(
        not(any(
            feature = "kafka",
            feature = "kinesis",
            feature = "mqtt",
            feature = "redis"
        )),
        expect(
            dead_code,
            reason = "systems are asked by connectors that a feature adds"
        )
    )]
    pub(crate) const fn new(verdict: Verdict, finding: Finding) -> Self {
        Self { verdict, finding }
    }
}

/// What an answer means for a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The system is as the module needs it.
    Fine,
    /// The system cannot be asked about it.
    Unknown,
    /// The module runs, and waits for something that is not there yet.
    Warning,
    /// What the document names cannot be used.
    Fault,
}

/// A document of a module as its connector sees it.
#[async_trait]
pub(crate) trait Examine: Send + Sync {
    /// What stops the start, and what has no effect. Connects to nothing.
    fn findings(&self) -> ConnectorFindings {
        ConnectorFindings::default()
    }

    /// Asks the system, and changes nothing there. Empty for a connector that cannot ask.
    async fn ask(&self, asking: &Asking) -> Vec<SystemAnswer> {
        let _ = asking;
        Vec::new()
    }
}
