//! Files of pipelines: module files, and configurations of EdgeX application services, whose section `Writable` has pipelines.

use serde_json::Value as Json;

use crate::document::{At, Finding, Findings, Location, Node, Repeated, yaml};
use crate::pipeline::PipelineConfig;

use super::draft::Draft;
use super::kinds::{self, PipelineSpec};
use super::{Module, ModuleFile, Placeholders, documents, sole_users};

impl Module {
    /// Reads files that declare pipelines: module files, and configurations of EdgeX application services.
    ///
    /// Returns everything that could be read, and all faults. A configuration is read by itself, without the layers below and above it.
    pub fn read_pipelines(
        files: &[ModuleFile<'_>],
        placeholders: &Placeholders,
    ) -> (Self, Vec<Finding>) {
        let (services, modules): (Vec<_>, Vec<_>) = files.iter().partition(|file| is_service(file));
        if services.is_empty() {
            return Self::read(files, placeholders);
        }
        let findings = Findings::default();
        let mut draft = Draft::new(&findings);
        for file in modules {
            documents::read_file(file, placeholders, &mut draft);
        }
        for file in services {
            for document in yaml::parse(file.name, file.text, Repeated::FaultAtTop, &findings) {
                read_service(&document, &mut draft);
            }
        }
        sole_users::check(&draft);
        let mut module = draft.module;
        let faults;
        (faults, module.warnings, module.not_for_flink) = findings.into_parts();
        (module, faults)
    }
}

/// The documents of a YAML file as JSON, without their locations.
///
/// # Errors
/// All faults of its syntax.
pub fn documents_as_json(file: &ModuleFile<'_>) -> Result<Vec<Json>, Vec<Finding>> {
    let findings = Findings::default();
    let documents = yaml::parse(file.name, file.text, Repeated::FaultAtTop, &findings);
    findings.into_result(Some(documents.iter().map(Node::to_json).collect()))
}

/// Whether the file is the configuration of an EdgeX application service.
fn is_service(file: &ModuleFile<'_>) -> bool {
    let findings = Findings::default();
    let documents = yaml::parse(file.name, file.text, Repeated::FaultAtTop, &findings);
    let is_it =
        |document: &Node| document.get("Writable").is_some() && document.get("kind").is_none();
    documents.first().is_some_and(is_it)
}

fn read_service(document: &Node, draft: &mut Draft<'_>) {
    let Some(writable) = document.get("Writable") else {
        return;
    };
    let at = At::new(writable, "Writable", draft.findings);
    if writable.get("Pipeline").is_none() {
        let text = "`Pipeline` is required and missing";
        draft
            .findings
            .fault(Finding::new(writable.location.clone(), "Writable", text));
        return;
    }
    for config in PipelineConfig::read_edgex(&at).unwrap_or_default() {
        let location: Location = writable.location.clone();
        let spec = Finding::new(location.clone(), "Writable", String::new());
        kinds::bind_pipeline(&config, &spec, draft);
        draft
            .module
            .pipelines
            .push(PipelineSpec { location, config });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "\
Writable:
  LogLevel: INFO
  Pipeline:
    ExecutionOrder: 'Transform, HTTPExport'
    Functions:
      Transform: {Parameters: {Type: TYPE}}
      HTTPExport: {Parameters: {Method: post, Url: 'http://h', MimeType: ''}}
Service: {Host: localhost}
";

    fn read(kind: &str) -> (Module, Vec<Finding>) {
        let text = SERVICE.replace("TYPE", kind);
        let file = ModuleFile {
            name: "configuration.yaml",
            text: &text,
        };
        Module::read_pipelines(&[file], &Placeholders::default())
    }

    #[cfg(feature = "mqtt")]
    #[test]
    fn two_exports_with_one_client_id_and_different_users_give_a_warning() {
        let export = |secret: &str| {
            format!(
                "{{Parameters: {{BrokerAddress: 'tcp://h', Topic: t, ClientId: c, AuthMode: usernamepassword, SecretName: {secret}}}}}"
            )
        };
        let text = format!(
            "Writable:\n  Pipeline:\n    ExecutionOrder: MQTTExport, MQTTExport2\n    Functions:\n      MQTTExport: {}\n      MQTTExport2: {}\n",
            export("a"),
            export("b")
        );
        let file = ModuleFile {
            name: "configuration.yaml",
            text: &text,
        };
        let (module, faults) = Module::read_pipelines(&[file], &Placeholders::default());
        assert!(faults.is_empty(), "{faults:?}");
        let told = module.warnings.iter().map(ToString::to_string);
        let told: Vec<_> = told.filter(|told| told.contains("client id")).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("each closes the connection of the other"),
            "{told:?}"
        );
    }

    #[test]
    fn the_pipelines_of_a_configuration_are_read_with_their_faults() {
        let (module, faults) = read("xml");
        assert_eq!(faults, []);
        assert_eq!(module.pipelines[0].config.name(), "default-pipeline");
        let (_, faults) = read("yaml");
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1);
        let place =
            "configuration.yaml:6:38: `Writable.Pipeline.Functions.Transform.Parameters.Type`: ";
        assert!(told[0].starts_with(place), "{told:?}");
    }

    #[test]
    fn a_module_file_is_read_as_one() {
        let file = ModuleFile {
            name: "module.yaml",
            text: "kind: statefun.pipelines.v1/pipeline\nspec: {name: p, stages: [{set: {a: 1}}]}\n",
        };
        let (module, faults) = Module::read_pipelines(&[file], &Placeholders::default());
        assert_eq!((module.pipelines.len(), faults.len()), (1, 0));
        assert_eq!(documents_as_json(&file).unwrap().len(), 1);
    }
}
