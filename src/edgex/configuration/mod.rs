//! The configuration of a service: files, environment and flags in, checked values out.
//!
//! The layers, each over the one before: `defaults.yaml`, the sections `all-services` and `app-services` of the common file, the private file, the
//! environment. `layers` reads and merges them, `older_names` renames what earlier versions called otherwise, `known` finds misspelt keys,
//! `environment` applies variables, `options` has the flags and the service key, `settings` and `telemetry` give the values their types, `services` has what functions know of their service, `application`
//! declares the pipelines of the application, and `pipelines` reads what the service does. May import `document`, `module`, `pipeline` and `time`.

mod application;
mod environment;
mod known;
mod layers;
mod older_names;
mod options;
mod pipelines;
mod reader;
mod services;
mod settings;
mod shown;
mod telemetry;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::application::Application;
use super::reload::ConfigurationFiles;
use super::services::Services;
use super::telemetry::Telemetry;
use crate::document::{At, Finding, Findings, Node};
use crate::module::ModuleFile;
use crate::pipeline::{PipelineConfig, SecretError, Secrets, edgex_boolean};

pub use options::{ConfigurationOptions, PlacesOfFiles};
pub(super) use pipelines::StoredSecrets;
#[cfg(feature = "postgres")]
pub(super) use settings::Database;
pub(super) use settings::{Broker, Settings, SignIn, Trigger, with_prefix};

/// The variables of the environment, by name.
pub type EdgexVariables = BTreeMap<String, String>;

/// The checked configuration of an application service.
///
/// ```
/// use stateful_functions::edgex::{Configuration, ConfigurationOptions};
/// use stateful_functions::module::ModuleFile;
///
/// let text = r#"
/// Trigger: {Type: http}
/// Writable:
///   Pipeline:
///     ExecutionOrder: "Transform, SetResponseData"
///     Functions:
///       Transform: {Parameters: {Type: xml}}
///       SetResponseData: {Parameters: {ResponseContentType: application/xml}}
/// "#;
/// let file = ModuleFile { name: "configuration.yaml", text };
/// let configuration = Configuration::read(file, None, &ConfigurationOptions::default(), &Default::default())?;
/// assert_eq!(configuration.service_key(), "app-");
/// # Ok::<(), stateful_functions::edgex::InvalidConfiguration>(())
/// ```
#[derive(Debug, Clone)]
pub struct Configuration {
    service_key: String,
    pub(super) settings: Settings,
    pub(super) pipelines: Vec<PipelineConfig>,
    /// Where the trigger's credentials are found; the pipelines have the same.
    pub(super) secrets: Secrets,
    pub(super) stored_secrets: StoredSecrets,
    pub(super) services: Services,
    pub(super) telemetry: Telemetry,
    application: Application,
    /// The whole configuration, with secrets.
    whole: Whole,
    /// The files to watch.
    files: Option<ConfigurationFiles>,
    /// The whole configuration as JSON, without secrets.
    pub(super) shown: serde_json::Value,
    overridden: Vec<String>,
    warnings: Vec<Finding>,
}

/// A configuration, of which nothing is shown.
#[derive(Clone)]
struct Whole(Node);

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"***\"")
    }
}

/// How envelopes on the message bus are written, as EdgeX's variables `EDGEX_MSG_…` say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct EnvelopeForm {
    pub(super) is_cbor: bool,
    pub(super) has_base64: bool,
}

impl EnvelopeForm {
    fn of(environment: &EdgexVariables) -> Self {
        let is_set = |name: &str| {
            let text = environment.get(name).map(String::as_str);
            text.and_then(|text| edgex_boolean(text).ok()) == Some(true)
        };
        Self {
            is_cbor: is_set("EDGEX_MSG_CBOR_ENCODE"),
            has_base64: is_set("EDGEX_MSG_BASE64_PAYLOAD"),
        }
    }
}

/// A configuration that cannot be run, with all its faults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidConfiguration {
    /// The faults; never empty.
    pub faults: Vec<Finding>,
    /// The warnings.
    pub warnings: Vec<Finding>,
}

impl fmt::Display for InvalidConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "the configuration has {count} fault{plural}")?;
        let mut faults = self.faults.iter();
        faults.try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

impl std::error::Error for InvalidConfiguration {}

impl Configuration {
    /// Reads a private file over the common file, with the variables of the environment over both.
    ///
    /// # Errors
    /// All faults at once, each with its file, line and path.
    pub fn read(
        private: ModuleFile<'_>,
        common: Option<ModuleFile<'_>>,
        options: &ConfigurationOptions,
        environment: &EdgexVariables,
    ) -> Result<Self, InvalidConfiguration> {
        let findings = Findings::default();
        let read = Self::read_with(private, common, options, environment, None, &findings);
        Self::whole_of(read, findings)
    }

    /// Reads changed files while the service runs: of the sections that it knows only `Writable` may have changed. Others stay as they are, with a warning.
    ///
    /// # Errors
    /// All faults at once, each with its file, line and path.
    pub(super) fn read_again(
        &self,
        private: ModuleFile<'_>,
        common: Option<ModuleFile<'_>>,
        options: &ConfigurationOptions,
        environment: &EdgexVariables,
    ) -> Result<Self, InvalidConfiguration> {
        let findings = Findings::default();
        let before = Some(self);
        let read = Self::read_with(private, common, options, environment, before, &findings);
        Self::whole_of(read, findings)
    }

    fn whole_of(read: Option<Self>, findings: Findings) -> Result<Self, InvalidConfiguration> {
        let (faults, warnings, _) = findings.into_parts();
        match read {
            Some(mut configuration) if faults.is_empty() => {
                configuration.warnings = warnings;
                Ok(configuration)
            }
            _ => Err(InvalidConfiguration { faults, warnings }),
        }
    }

    fn read_with(
        private: ModuleFile<'_>,
        common: Option<ModuleFile<'_>>,
        options: &ConfigurationOptions,
        environment: &EdgexVariables,
        before: Option<&Self>,
        findings: &Findings,
    ) -> Option<Self> {
        let mut tree = layers::merged(private, common, findings)?;
        let overridden = environment::apply(&mut tree, environment, findings);
        options.apply_hosts(&mut tree, environment, findings);
        if let Some(before) = before {
            shown::keep_fixed_sections(&mut tree, &before.whole.0, findings);
        }
        let service_key = options.service_key(environment);
        let at = At::new(&tree, "", findings);
        let application = &options.application;
        let settings = Settings::read(&at, application);
        let telemetry = telemetry::read(&at);
        let stored_secrets = before.map(|before| before.stored_secrets.clone());
        let stored_secrets = stored_secrets.unwrap_or_default();
        let envelopes = EnvelopeForm::of(environment);
        let services = services::read(&tree, settings.as_ref(), &service_key, envelopes);
        // The faults of the pipelines are reported even if the settings have some.
        let read = pipelines::read(
            &tree,
            settings.as_ref(),
            &service_key,
            &stored_secrets,
            (application, &services),
            findings,
        );
        let (pipelines, secrets) = read?;
        services.know_secrets(secrets.clone());
        Some(Self {
            service_key,
            settings: settings?,
            pipelines,
            secrets,
            stored_secrets,
            services,
            telemetry: telemetry?,
            application: application.clone(),
            shown: shown::json(&tree),
            whole: Whole(tree),
            files: before.and_then(|before| before.files.clone()),
            overridden,
            warnings: Vec::new(),
        })
    }

    /// The name of the service: the service key, in which `<profile>` is replaced.
    pub fn service_key(&self) -> &str {
        &self.service_key
    }

    /// The variables of the environment that replaced a setting.
    pub fn overridden(&self) -> &[String] {
        &self.overridden
    }

    /// What does not prevent the service from running.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The text that the service logs once it runs; blank for none.
    pub fn startup_message(&self) -> &str {
        &self.settings.service.startup_message
    }

    /// Has the service watch its files, and apply changes of `Writable` and of sections of the application while it runs.
    #[must_use]
    pub fn watching(self, files: ConfigurationFiles) -> Self {
        let files = Some(files);
        Self { files, ..self }
    }

    pub(super) const fn files(&self) -> Option<&ConfigurationFiles> {
        self.files.as_ref()
    }

    /// The same without what the application adds, whose listeners get it.
    pub(super) fn without_application(self) -> Self {
        let application = Application::default();
        Self {
            application,
            ..self
        }
    }

    /// What the application adds in Rust.
    pub(super) const fn application(&self) -> &Application {
        &self.application
    }

    /// How long a request to a route may take: `Service.RequestTimeout`.
    pub const fn request_timeout(&self) -> Duration {
        self.settings.service.request_timeout
    }

    /// All settings of `ApplicationSettings`; `None` without such a section.
    pub const fn application_settings(&self) -> Option<&BTreeMap<String, String>> {
        self.settings.application.as_ref()
    }

    /// A section of the application's own, as its own type: EdgeX's `LoadCustomConfig`. Keys that are not in the type are ignored.
    ///
    /// # Errors
    /// If there is no such section, or it is of another form.
    pub fn custom_section<T: DeserializeOwned>(&self, name: &str) -> Result<T, MissingSetting> {
        let section = self.whole.0.get(name);
        let section = section.ok_or_else(|| MissingSetting::CustomSection(name.to_owned()))?;
        T::deserialize(section.to_json()).map_err(|err| MissingSetting::Malformed {
            section: name.to_owned(),
            error: err.to_string(),
        })
    }

    /// A text of a secret, from the sources of the service; `None` if there is none.
    ///
    /// # Errors
    /// If a source cannot be read.
    pub fn secret(&self, name: &str, key: &str) -> Result<Option<String>, SecretError> {
        self.secrets.find(name, key)
    }

    /// A setting of `ApplicationSettings`.
    ///
    /// # Errors
    /// If the section or the key is missing.
    pub fn application_setting(&self, key: &str) -> Result<&str, MissingSetting> {
        let settings = self.settings.application.as_ref();
        let settings = settings.ok_or(MissingSetting::Section)?;
        let setting = settings.get(key).map(String::as_str);
        setting.ok_or_else(|| MissingSetting::Key(key.to_owned()))
    }

    /// A setting of `ApplicationSettings` that is a comma list: its items, trimmed, without empty ones.
    ///
    /// # Errors
    /// If the section or the key is missing.
    pub fn application_setting_list(&self, key: &str) -> Result<Vec<String>, MissingSetting> {
        let items = self.application_setting(key)?.split(',').map(str::trim);
        Ok(items
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect())
    }
}

/// A setting of the application that is not in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MissingSetting {
    /// There is no section of settings.
    #[error("the configuration has no settings in `ApplicationSettings`")]
    Section,
    /// There is no such key.
    #[error("`ApplicationSettings` has no key `{0}`")]
    Key(String),
    /// There is no section of this name.
    #[error("the configuration has no section `{0}`")]
    CustomSection(String),
    /// A section is not of the form that the application expects.
    #[error("section `{section}`: {error}")]
    Malformed {
        /// The section.
        section: String,
        /// What is wrong.
        error: String,
    },
}

/// The value below `node` at a path of keys.
fn below<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, key| node.get(key))
}

/// The same, to change it.
fn below_mut<'a>(node: &'a mut Node, path: &[&str]) -> Option<&'a mut Node> {
    path.iter().try_fold(node, |node, key| node.get_mut(key))
}
