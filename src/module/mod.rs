//! Module files: reads YAML documents into a checked module.
//!
//! Files are read as StateFun's runtime reads them, placeholders are replaced, and all faults are reported at once with file,
//! line, column and remedy. Nothing is opened or started here: `runtime::assemble` puts the parts together. `kinds` has a file per kind of
//! document, `documents` finds the kind, `foreign` recognises files that are something else, `coerce` and `scalars` read values as StateFun does. May
//! import `document`, `sdk`, `pipeline`, `jobs` and `time`.

mod coerce;
mod documents;
mod draft;
mod foreign;
mod kinds;
mod legacy;
mod listeners;
mod pipelines;
mod placeholder;
mod scalars;
mod sole_users;
mod spec;
mod token;
mod uri;

use std::fmt;

use crate::document::Findings;
use crate::pipeline::OwnStages;
use crate::sdk::TypeName;

pub use crate::document::{Complaint, Finding, Location};
/// The settings of each kind, for `runtime::assemble`.
#[doc(hidden)]
pub use kinds::{
    AsyncTransport, AwsCredentials, AwsRegion, DeliverySemantic, Endpoint, FileEgress, FileIngress,
    FunctionPattern, HttpEgress, HttpIngress, JobsSpec, KafkaEgress, KafkaIngress, KafkaStart,
    KinesisEgress, KinesisIngress, KinesisStart, MqttBroker, MqttEgress, MqttId, MqttIngress,
    OffsetReset, OkHttpTransport, PipelineSpec, Places, PlaygroundEgress, PlaygroundIngress,
    Properties, RedisEgress, RedisIngress, RedisOut, RedisServer, RedisStart, Rotation, Route,
    TlsFiles, TopicPartition, Transport,
};
pub use pipelines::documents_as_json;
pub use placeholder::Placeholders;
pub use token::{InvalidToken, Token};

use draft::Draft;
use listeners::Listening;

/// The checked content of one or more module files.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Module {
    /// Endpoints of functions over HTTP.
    pub endpoints: Vec<Endpoint>,
    /// Ingresses.
    pub ingresses: Vec<Ingress>,
    /// Egresses.
    pub egresses: Vec<Egress>,
    /// Whether the sample functions of the binary are bound.
    pub samples: bool,
    /// Declared pipelines.
    pub pipelines: Vec<PipelineSpec>,
    /// Declared destinations of jobs.
    pub jobs: Vec<JobsSpec>,
    /// Warnings, which do not prevent the module from running.
    pub warnings: Vec<Finding>,
    /// What StateFun on Apache Flink would refuse, or read differently.
    pub not_for_flink: Vec<Finding>,
    /// Valid documents that need a connector which this build does not have: the module can be checked, but not run.
    pub without_connector: Vec<Finding>,
    listeners: Vec<Listening>,
}

/// Ingresses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ingress {
    /// `statefun.http.v1/ingress`.
    Http(HttpIngress),
    /// `statefun.file.v1/ingress`.
    File(FileIngress),
    /// `io.statefun.playground.v1/ingress`.
    Playground(PlaygroundIngress),
    /// `io.statefun.kafka.v1/ingress`.
    Kafka(KafkaIngress),
    /// `io.statefun.kinesis.v1/ingress`.
    Kinesis(KinesisIngress),
    /// `statefun.mqtt.v1/ingress`.
    Mqtt(MqttIngress),
    /// `statefun.redis.v1/ingress`.
    Redis(RedisIngress),
}

/// Egresses.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Egress {
    /// The location of the document's `spec`.
    pub location: Location,
    /// The name to which functions send.
    pub id: TypeName,
    /// What it does with a record.
    pub target: EgressTarget,
}

/// What an egress does with a record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EgressTarget {
    /// `statefun.stdout.v1/egress`.
    Stdout,
    /// `statefun.file.v1/egress`.
    File(FileEgress),
    /// `statefun.http.v1/egress`.
    Http(HttpEgress),
    /// `io.statefun.playground.v1/egress`.
    Playground(PlaygroundEgress),
    /// `io.statefun.kafka.v1/egress`.
    Kafka(KafkaEgress),
    /// `io.statefun.kinesis.v1/egress`.
    Kinesis(KinesisEgress),
    /// `statefun.mqtt.v1/egress`.
    Mqtt(MqttEgress),
    /// `statefun.redis.v1/egress`.
    Redis(RedisEgress),
}

/// Text that must not appear in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text` from `Debug`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"***\"")
    }
}

/// The text of a module file, and its name for messages.
#[derive(Debug, Clone, Copy)]
pub struct ModuleFile<'a> {
    /// The name as given, such as `module.yaml`.
    pub name: &'a str,
    /// The YAML.
    pub text: &'a str,
}

/// A module that cannot be run, with all its faults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidModule {
    /// The faults; never empty.
    pub faults: Vec<Finding>,
    /// The warnings.
    pub warnings: Vec<Finding>,
}

impl Ingress {
    /// Whether StateFun has it, too.
    const fn is_portable(&self) -> bool {
        matches!(self, Self::Kafka(_) | Self::Kinesis(_))
    }
}

impl InvalidModule {
    /// A module with these faults, which are found after it was read.
    pub(crate) const fn of(faults: Vec<Finding>) -> Self {
        let warnings = Vec::new();
        Self { faults, warnings }
    }
}

impl fmt::Display for InvalidModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        write!(
            f,
            "the module has {count} fault{}",
            if count == 1 { "" } else { "s" }
        )?;
        self.faults
            .iter()
            .try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

impl std::error::Error for InvalidModule {}

impl Module {
    /// Reads and checks module files as one module.
    ///
    /// # Errors
    /// All faults of all files at once.
    pub fn parse(
        files: &[ModuleFile<'_>],
        placeholders: &Placeholders,
    ) -> Result<Self, InvalidModule> {
        Self::parse_with_stages(files, placeholders, &OwnStages::default())
    }

    /// Like [`parse`](Self::parse), for an application with stages of its own, which the pipelines of the module use.
    ///
    /// # Errors
    /// All faults of all files at once.
    pub fn parse_with_stages(
        files: &[ModuleFile<'_>],
        placeholders: &Placeholders,
        own: &OwnStages,
    ) -> Result<Self, InvalidModule> {
        let (module, faults) = Self::read_with_stages(files, placeholders, own);
        if !faults.is_empty() {
            let warnings = module.warnings;
            return Err(InvalidModule { faults, warnings });
        }
        Ok(module)
    }

    /// Reads module files even with faults: returns everything that could be read, and all faults.
    pub fn read(files: &[ModuleFile<'_>], placeholders: &Placeholders) -> (Self, Vec<Finding>) {
        Self::read_with_stages(files, placeholders, &OwnStages::default())
    }

    fn read_with_stages(
        files: &[ModuleFile<'_>],
        placeholders: &Placeholders,
        own: &OwnStages,
    ) -> (Self, Vec<Finding>) {
        let findings = Findings::default();
        let mut draft = Draft::new(&findings);
        draft.own_stages.clone_from(own);
        for file in files {
            documents::read_file(file, placeholders, &mut draft);
        }
        listeners::check(&draft);
        sole_users::check(&draft);
        let whole = files.first().map_or("module.yaml", |file| file.name);
        // The missing part may be in a document that could not be read.
        if !findings.has_faults() {
            draft.check_whole(&Location::file(whole));
        }
        draft.check_sockets();
        let mut module = draft.module;
        let faults;
        (faults, module.warnings, module.not_for_flink) = findings.into_parts();
        (module, faults)
    }

    /// Why the admin API cannot listen on `admin`, written `host:port`: a listener of the module has the same address.
    pub fn collisions_with_admin(&self, admin: &str) -> Vec<Finding> {
        listeners::with_admin(&self.listeners, admin)
    }

    /// The file and line that have something listen on `address`, written `host:port`.
    pub fn location_of_listener(&self, address: &str) -> Option<&Location> {
        listeners::location(&self.listeners, address)
    }

    /// The endpoint of `function`: an exact name overrides its namespace.
    pub fn endpoint_of(&self, function: &TypeName) -> Option<&Endpoint> {
        let exact = |e: &&Endpoint| matches!(&e.functions, FunctionPattern::Exact(name) if name == function);
        let namespace = |e: &&Endpoint| matches!(&e.functions, FunctionPattern::Namespace(name) if name == function.namespace());
        let mut endpoints = self.endpoints.iter();
        endpoints
            .clone()
            .find(exact)
            .or_else(|| endpoints.find(namespace))
    }
}
