//! The section `Writable`: the pipelines of the service, and where they find their secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::application::Application;
use super::super::services::Services;
use super::application::declare;
use super::older_names::add;
use super::services::address_of;
use super::settings::{Settings, Trigger};
use super::{below, below_mut};
use crate::document::{At, Complaint, Findings, Key, Location, Node, Value};
use crate::pipeline::{
    Answering, DEFAULT_NAMESPACE, DEFAULT_PIPELINE, Pipeline, PipelineConfig, SecretError,
    SecretProvider, Secrets, check_half, edgex_pipelines,
};

/// Keys of `Writable` whose effect is not on the pipelines.
const OTHERS: [&str; 2] = ["LogLevel", "Telemetry"];

/// The pipelines and the sources of their secrets; `None` if there are faults, which are reported. The first pipeline is the default one.
pub(super) fn read(
    tree: &Node,
    settings: Option<&Settings>,
    service_key: &str,
    stored: &StoredSecrets,
    (application, services): (&Application, &Services),
    findings: &Findings,
) -> Option<(Vec<PipelineConfig>, Secrets)> {
    let mut writable = tree.get("Writable")?.clone();
    for other in OTHERS {
        let _ = writable.take(other);
    }
    let own = declare(application, &mut writable, services);
    let at = At::new(&writable, "Writable", findings);
    if below(&writable, &["Pipeline"]).is_none_or(|node| matches!(node.value, Value::Null)) {
        let text = "`Pipeline` is missing: the service has nothing to do";
        let remedy = "write `ExecutionOrder` and `Functions` there";
        return at.complain(Complaint::with_remedy(text, remedy));
    }
    let namespace = namespace(&mut writable, findings);
    give_core_data(&mut writable, tree, service_key);
    let at = At::new(&writable, "Writable", findings);
    let secrets = sources(settings, stored);
    let name = DEFAULT_PIPELINE.to_owned();
    let space = namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    let pipelines = edgex_pipelines(&at, name, space, secrets, &own);
    let (pipelines, settings) = (pipelines?, settings?);
    namespace?;
    let secrets = pipelines.first()?.secrets().clone();
    let pipelines = triggered(pipelines, &settings.trigger, &at)?;
    let mut is_whole = true;
    for config in &pipelines {
        if let Err(invalid) = Pipeline::declared(config.clone()).build() {
            at.fault::<()>(invalid);
            is_whole = false;
        }
    }
    is_whole.then_some((pipelines, secrets))
}

/// Where secrets are found, besides those in the configuration.
fn sources(settings: Option<&Settings>, stored: &StoredSecrets) -> Secrets {
    let service = settings.map(|settings| &settings.service);
    let mut secrets = Secrets::default();
    secrets = match service.and_then(|service| service.secrets_file.as_ref()) {
        Some(file) => secrets.file(file),
        None => secrets.with(stored.clone()),
    };
    match service.and_then(|service| service.secrets_directory.as_ref()) {
        Some(directory) => secrets.directory(directory),
        None => secrets,
    }
}

/// The pipelines as the trigger feeds them.
fn triggered(
    pipelines: Vec<PipelineConfig>,
    trigger: &Trigger,
    at: &At<'_>,
) -> Option<Vec<PipelineConfig>> {
    match trigger {
        Trigger::Http => {
            if pipelines.len() > 1 {
                let text =
                    "`PerTopicPipelines` get nothing from the trigger `http`, which has no topics";
                let remedy = "name their functions in `ExecutionOrder`, or choose another trigger";
                at.warn(Complaint::with_remedy(text, remedy));
            }
            let answering = Answering {
                always: true,
                publisher: None,
            };
            let default = pipelines.into_iter().next()?;
            if default.stages().is_empty() {
                return Some(Vec::new()); // every request is answered with that
            }
            let default = default.without_routes().with_answering(answering);
            Some(vec![default])
        }
        Trigger::MessageBus(bus) if !bus.prefix.is_empty() => {
            let below = pipelines
                .into_iter()
                .map(|config| config.with_topics_below(&bus.prefix));
            let below: Result<Vec<_>, _> = below.collect();
            below.map_or_else(|err| at.fault(err), Some)
        }
        Trigger::MessageBus(_) | Trigger::ExternalMqtt(_) => Some(pipelines),
        Trigger::Custom(_) => {
            let answering = Answering {
                always: true,
                publisher: None,
            };
            let answered = |config: PipelineConfig| config.with_answering(answering.clone());
            Some(pipelines.into_iter().map(answered).collect())
        }
    }
}

/// `Pipeline.Namespace`, which the section itself does not know.
fn namespace(writable: &mut Node, findings: &Findings) -> Option<String> {
    let given = below_mut(writable, &["Pipeline"]).and_then(|section| section.take("Namespace"));
    let Some(node) = given else {
        return Some(DEFAULT_NAMESPACE.to_owned());
    };
    let at = At::new(&node, "Writable.Pipeline.Namespace", findings);
    at.parsed(|name| check_half(name).map(|()| name.to_owned()))
}

/// Tells the functions that push to core data where it is: EdgeX takes that from `Clients`.
fn give_core_data(writable: &mut Node, tree: &Node, service_key: &str) {
    let client = below(tree, &["Clients", "core-data"]);
    let Some(url) = client.and_then(address_of) else {
        return;
    };
    let Some(functions) = below_mut(writable, &["Pipeline", "Functions"]) else {
        return;
    };
    let Value::Map(functions) = &mut functions.value else {
        return;
    };
    for (name, function) in functions {
        if !name.name.starts_with("PushToCore") {
            continue;
        }
        let Some(parameters) = function.get_mut("Parameters") else {
            continue;
        };
        for (key, value) in [("CoreDataUrl", url.as_str()), ("ServiceKey", service_key)] {
            let is_given = parameters
                .keys()
                .any(|given| given.name.eq_ignore_ascii_case(key));
            if !is_given {
                let location = Location::file("Clients.core-data");
                let key = Key {
                    location: location.clone(),
                    name: key.to_owned(),
                };
                add(
                    parameters,
                    key,
                    Node::made(location, Value::Text(value.to_owned())),
                );
            }
        }
    }
}

/// Secrets that came over the service's route, while there is no file for them: they are lost with the process.
#[derive(Clone, Default)]
pub(in crate::edgex) struct StoredSecrets(Arc<Mutex<BTreeMap<String, BTreeMap<String, String>>>>);

impl StoredSecrets {
    /// Adds or replaces texts of a secret.
    pub(in crate::edgex) fn store(&self, name: &str, texts: Vec<(String, String)>) {
        self.table()
            .entry(name.to_owned())
            .or_default()
            .extend(texts);
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names, never texts.
impl fmt::Debug for StoredSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.table().keys()).finish()
    }
}

impl SecretProvider for StoredSecrets {
    fn secret(&self, name: &str, key: &str) -> Result<Option<String>, SecretError> {
        Ok(self
            .table()
            .get(name)
            .and_then(|texts| texts.get(key))
            .cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Configuration, ConfigurationOptions, InvalidConfiguration};
    use super::*;
    use crate::module::ModuleFile;

    fn read(text: &str) -> Result<Configuration, InvalidConfiguration> {
        let file = ModuleFile {
            name: "configuration.yaml",
            text,
        };
        let options = ConfigurationOptions::default();
        Configuration::read(file, None, &options, &BTreeMap::new())
    }

    fn faults(text: &str) -> Vec<String> {
        let faults = read(text).unwrap_err().faults;
        faults.iter().map(ToString::to_string).collect()
    }

    const FUNCTIONS: &str = "
    Functions:
      Transform: {Parameters: {Type: json}}
      TransformXml: {Parameters: {Type: xml}}
";

    #[test]
    fn all_faults_come_at_once_with_file_line_and_path() {
        let faults = faults(
            "Service: {Port: 70000, RequestTimeout: soon}
Trigger: {Type: carrier-pigeon, StoredStatus: 200}
Writable:
  Pipeline:
    TargetType: meric
    ExecutionOrder: Bogus, Compress
    Functions:
      Compress: {Parameters: {Algorithm: rar}}
",
        );
        let expected = [
            "configuration.yaml:1:17: `Service.Port`: 70000 is not a port",
            "configuration.yaml:1:40: `Service.RequestTimeout`: ",
            "configuration.yaml:2:17: `Trigger.Type`: `carrier-pigeon` is not a trigger",
            "configuration.yaml:2:47: `Trigger.StoredStatus`: 200 is neither 202 nor 422",
            "configuration.yaml:5:17: `Writable.Pipeline.TargetType`: ",
            "configuration.yaml:6:21: `Writable.Pipeline.ExecutionOrder`: function `Bogus`",
            "configuration.yaml:8:42: `Writable.Pipeline.Functions.Compress.Parameters.Algorithm`: ",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{expected}\nin {faults:#?}");
        }
    }

    #[test]
    fn topics_of_pipelines_have_the_prefix_with_the_message_bus_only() {
        let topics = |trigger: &str| {
            let text = format!(
                "Trigger: {trigger}
Writable:
  Pipeline:
    PerTopicPipelines:
      one: {{Id: one, Topics: events/+/x, ExecutionOrder: Transform}}{FUNCTIONS}"
            );
            let configuration = read(&text).unwrap();
            let routes = configuration.pipelines[0].routes();
            routes[0].filters[0].to_string()
        };
        assert_eq!(topics("{Type: edgex-messagebus}"), "edgex/events/+/x");
        assert_eq!(
            topics("{Type: external-mqtt, ExternalMqtt: {Url: 'tcp://b:1883'}}"),
            "events/+/x"
        );
    }

    #[test]
    fn a_service_that_is_called_has_its_default_pipeline_only_and_says_so() {
        let text = format!(
            "Trigger: {{Type: http}}
Writable:
  Pipeline:
    ExecutionOrder: Transform
    PerTopicPipelines:
      one: {{Id: one, Topics: x, ExecutionOrder: TransformXml}}{FUNCTIONS}"
        );
        let configuration = read(&text).unwrap();
        assert_eq!(configuration.pipelines.len(), 1);
        assert!(configuration.pipelines[0].answering().always);
        let warnings = configuration.warnings();
        assert!(
            warnings[0].message.contains("get nothing from the trigger"),
            "{warnings:?}"
        );
    }

    #[test]
    fn without_a_pipeline_there_is_nothing_to_do() {
        let faults = faults("Trigger: {Type: http}\n");
        assert!(faults[0].contains("`Pipeline` is missing"), "{faults:?}");
    }

    #[test]
    fn core_data_is_found_among_the_clients() {
        let text = "
Trigger: {Type: http}
Clients: {core-data: {Host: data, Port: 59880}}
Writable:
  Pipeline:
    ExecutionOrder: PushToCore
    Functions:
      PushToCore: {Parameters: {ProfileName: P, DeviceName: D, ResourceName: R, ValueType: String}}
";
        assert!(read(text).is_ok());
        let faults = faults(&text.replace("core-data", "other"));
        assert!(faults[0].contains("CoreDataUrl"), "{faults:?}");
    }

    #[test]
    fn pl_32_settings_of_the_application_are_lists_and_what_is_missing_is_one_of_two_errors() {
        let of = |settings: &str| {
            let text = format!(
                "Trigger: {{Type: http}}\nApplicationSettings: {settings}\nWritable:\n  Pipeline:\n    ExecutionOrder: Transform{FUNCTIONS}"
            );
            let configuration = read(&text).unwrap();
            configuration
                .application_setting_list("DeviceNames")
                .map_err(|err| err.to_string())
        };
        assert_eq!(
            of("{DeviceNames: 'dev1,   dev2'}").unwrap(),
            ["dev1", "dev2"]
        );
        assert_eq!(
            of("{Other: x}").unwrap_err(),
            "`ApplicationSettings` has no key `DeviceNames`"
        );
        assert!(of("{}").unwrap_err().contains("no settings"));
    }
}
