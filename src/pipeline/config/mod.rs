//! The declared form of a pipeline: reads a document into checked settings, with all faults at once.

mod circuit;
mod forwarding;
mod names;
mod retry;
mod stage;

use serde_json::Value;

pub(crate) use circuit::read as read_circuit;
pub(crate) use forwarding::{Form, Forwarding};
#[cfg(feature = "edgex")]
pub(crate) use forwarding::{boolean, bytes};
pub(crate) use names::{StageNames, check_half, check_name};
pub(crate) use retry::{is_edgex, read as read_retry};
pub(crate) use stage::StageConfig;

use stage::read_stages;

use super::answering::Answering;
#[cfg(feature = "edgex")]
use super::edgex::section as edgex;
use super::own_stages::OwnStages;
use super::secrets::Secrets;
#[cfg(all(feature = "runtime", feature = "mqtt"))]
use super::stages::MqttClient;
#[cfg(feature = "runtime")]
use super::stages::{self, StageKind};
use super::storing::Storing;
use crate::document::{At, Finding, Findings, Node};
#[cfg(feature = "runtime")]
use crate::sdk::TypeName;
#[cfg(feature = "runtime")]
use crate::topic_filter::InvalidFilter;
use crate::topic_filter::TopicFilter;

/// The default namespace of pipelines.
pub(crate) const DEFAULT_NAMESPACE: &str = "pipelines";

/// A checked declaration of a pipeline.
///
/// ```
/// use stateful_functions::pipeline::PipelineConfig;
///
/// let spec = serde_json::json!({
///     "name": "orders",
///     "stages": [
///         {"filter": {"rule": {">": [{"var": "total"}, 100]}}},
///         {"set": {"shop": "north"}},
///         {"name": "crm", "http-export": {"url": "https://crm.example/orders", "orderKey": "customer"}},
///     ],
/// });
/// assert!(PipelineConfig::from_json(&spec).is_ok());
///
/// let faults = PipelineConfig::from_json(&serde_json::json!({
///     "name": "orders",
///     "stages": [{"http-export": {"url": "crm.example", "tiemout": "5s"}}],
/// })).unwrap_err();
/// assert_eq!(faults[0].path, "stages[0].http-export.tiemout");
/// assert_eq!(faults[1].path, "stages[0].http-export.url");
/// ```
#[derive(Debug, Clone)]
pub struct PipelineConfig {
    name: String,
    namespace: String,
    stages: Vec<StageConfig>,
    secrets: Secrets,
    routes: Vec<Route>,
    storing: Storing,
    answering: Answering,
}

/// Where a pipeline sends the records of some topics, too.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "edgex"),
    allow(dead_code, reason = "sections of EdgeX have topics")
)]
pub(crate) struct Route {
    pub(crate) filters: Vec<TopicFilter>,
    /// The name of a pipeline in the same namespace.
    pub(crate) to: String,
}

impl PipelineConfig {
    /// The pipeline that `spec` declares: `{name, namespace?, stages: […]}`.
    ///
    /// # Errors
    /// All faults at once, each with its path below `spec`.
    pub fn from_json(spec: &Value) -> Result<Self, Vec<Finding>> {
        Self::from_json_with(spec, &OwnStages::default())
    }

    /// Like [`from_json`](Self::from_json), with stages of the application.
    ///
    /// # Errors
    /// All faults at once, each with its path below `spec`.
    pub fn from_json_with(spec: &Value, own: &OwnStages) -> Result<Self, Vec<Finding>> {
        let (tree, findings) = (Node::from_json(spec), Findings::default());
        let config = Self::read(At::new(&tree, "", &findings), own);
        findings.into_result(config)
    }

    /// The pipelines that `spec` declares: one, or with `edgex: {…}` those of a pipeline section of EdgeX, of which the first routes records to
    /// the others by their value `receivedtopic`.
    ///
    /// # Errors
    /// All faults at once, each with its path below `spec`.
    #[cfg(feature = "edgex")]
    pub fn all_from_json(spec: &Value) -> Result<Vec<Self>, Vec<Finding>> {
        Self::all_from_json_with(spec, &OwnStages::default())
    }

    /// Like [`all_from_json`](Self::all_from_json), with stages of the application.
    ///
    /// # Errors
    /// All faults at once, each with its path below `spec`.
    #[cfg(feature = "edgex")]
    pub fn all_from_json_with(spec: &Value, own: &OwnStages) -> Result<Vec<Self>, Vec<Finding>> {
        let (tree, findings) = (Node::from_json(spec), Findings::default());
        let configs = Self::read_all(At::new(&tree, "", &findings), own);
        findings.into_result(configs)
    }

    /// The pipelines declared at `at`: one, or with `edgex` those of a section of EdgeX. `None` if there are faults, which are reported.
    #[cfg(feature = "edgex")]
    pub(crate) fn read_all(at: At<'_>, own: &OwnStages) -> Option<Vec<Self>> {
        if at.node.get("edgex").is_none() {
            return Self::read(at, own).map(|config| vec![config]);
        }
        let fields = at.fields()?;
        let name = fields.get("name").map_or_else(
            || Some(edgex::DEFAULT_PIPELINE.to_owned()),
            |at| at.parsed(|name| check_name(name).map(|()| name.to_owned())),
        );
        let namespace = fields.get("namespace").map_or_else(
            || Some(DEFAULT_NAMESPACE.to_owned()),
            |at| at.parsed(|name| check_half(name).map(|()| name.to_owned())),
        );
        let secrets = fields
            .get("secrets")
            .map_or_else(|| Some(Secrets::default()), read_secrets);
        let section = fields.required("edgex");
        fields.finish();
        let (shown, space) = (name.clone(), namespace.clone());
        let configs = edgex::read(
            &section?,
            shown.unwrap_or_else(|| edgex::DEFAULT_PIPELINE.to_owned()),
            space.as_deref().unwrap_or(DEFAULT_NAMESPACE),
            secrets.clone().unwrap_or_default(),
            own,
        );
        name.and(namespace).and(secrets).and(configs)
    }

    /// The pipelines of the section `Writable` of an EdgeX configuration; `None` if there are faults, which are reported.
    #[cfg(feature = "runtime")]
    pub(crate) fn read_edgex(writable: &At<'_>) -> Option<Vec<Self>> {
        let name = edgex::DEFAULT_PIPELINE.to_owned();
        let (secrets, own) = (Secrets::default(), OwnStages::default());
        edgex::read(writable, name, DEFAULT_NAMESPACE, secrets, &own)
    }

    /// The pipeline declared at `at`; `None` if it has faults, which are reported.
    pub(crate) fn read(at: At<'_>, own: &OwnStages) -> Option<Self> {
        let fields = at.fields()?;
        let name = fields
            .required("name")
            .and_then(|at| at.parsed(|name| check_name(name).map(|()| name.to_owned())));
        let namespace = fields.get("namespace").map_or_else(
            || Some(DEFAULT_NAMESPACE.to_owned()),
            |at| at.parsed(|name| check_half(name).map(|()| name.to_owned())),
        );
        let secrets = fields
            .get("secrets")
            .map_or_else(|| Some(Secrets::default()), read_secrets);
        let forwarding = fields.get("storeAndForward").map_or_else(
            || Some(Forwarding::of(Form::Own)),
            |at| Forwarding::read(&at, Form::Own),
        );
        let known = forwarding.clone();
        let known = known.unwrap_or_else(|| Forwarding::broken(Form::Own));
        let stages = fields
            .required("stages")
            .and_then(|at| read_stages(at, &known, own));
        fields.finish();
        Some(Self {
            name: name?,
            namespace: namespace?,
            stages: stages?,
            secrets: secrets?,
            routes: Vec::new(),
            storing: forwarding?.storing(),
            answering: Answering::default(),
        })
    }

    /// A pipeline of one stage, with its settings at `at`.
    #[cfg(feature = "runtime")]
    pub(crate) fn of_stage(kind: &str, at: At<'_>, name: String, namespace: &str) -> Option<Self> {
        let stage = StageConfig {
            name: kind.to_owned(),
            kind: stages::reader(kind)?.read(at)?,
        };
        Some(Self::from_parts(name, namespace.to_owned(), vec![stage]))
    }

    pub(crate) fn from_parts(name: String, namespace: String, stages: Vec<StageConfig>) -> Self {
        Self {
            name,
            namespace,
            stages,
            secrets: Secrets::default(),
            routes: Vec::new(),
            storing: Storing::default(),
            answering: Answering::default(),
        }
    }

    /// Sets what it keeps.
    pub(crate) fn with_storing(self, storing: Storing) -> Self {
        Self { storing, ..self }
    }

    pub(crate) const fn storing(&self) -> &Storing {
        &self.storing
    }

    /// Sets where the stages find their secrets.
    #[cfg(feature = "edgex")]
    pub(crate) fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// Sets which other pipelines get its records, too.
    #[cfg(feature = "edgex")]
    pub(crate) fn with_routes(self, routes: Vec<Route>) -> Self {
        Self { routes, ..self }
    }

    /// Has its topics begin with `prefix`.
    ///
    /// # Errors
    /// If a topic with the prefix is not a filter.
    #[cfg(feature = "runtime")]
    pub(crate) fn with_topics_below(mut self, prefix: &str) -> Result<Self, InvalidFilter> {
        for filter in self.routes.iter_mut().flat_map(|route| &mut route.filters) {
            *filter = TopicFilter::parse(&format!("{prefix}/{filter}"))?;
        }
        Ok(self)
    }

    /// Without other pipelines that get its records.
    #[cfg(feature = "runtime")]
    pub(crate) fn without_routes(self) -> Self {
        let routes = Vec::new();
        Self { routes, ..self }
    }

    /// Sets how it answers.
    pub(crate) fn with_answering(self, answering: Answering) -> Self {
        Self { answering, ..self }
    }

    pub(crate) const fn answering(&self) -> &Answering {
        &self.answering
    }

    pub(crate) const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace of its functions.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn stages(&self) -> &[StageConfig] {
        &self.stages
    }

    /// The egresses to which its stages send, and where they are named.
    #[cfg(feature = "runtime")]
    pub(crate) fn egresses(&self) -> impl Iterator<Item = (&TypeName, &Finding)> {
        self.stages.iter().filter_map(|stage| match &stage.kind {
            StageKind::Egress(export) => Some((&export.id, &export.named_at)),
            _ => None,
        })
    }

    /// The clients with which its stages publish, each with the name of its stage.
    #[cfg(all(feature = "runtime", feature = "mqtt"))]
    pub(crate) fn mqtt_clients(&self) -> impl Iterator<Item = (&str, MqttClient<'_>)> {
        self.stages.iter().filter_map(|stage| match &stage.kind {
            StageKind::Export(exporter) => Some((&*stage.name, exporter.mqtt_client()?)),
            _ => None,
        })
    }

    pub(crate) fn into_stages(self) -> Vec<StageConfig> {
        self.stages
    }
}

/// `secrets: {file, directory}`, in this order after the environment.
fn read_secrets(at: At<'_>) -> Option<Secrets> {
    let fields = at.fields()?;
    let mut secrets = Secrets::default();
    let (mut file, mut directory) = (None, None);
    let whole = [
        fields.set("file", &mut file, |at| at.text().map(Some)),
        fields.set("directory", &mut directory, |at| at.text().map(Some)),
    ];
    fields.finish();
    if let Some(path) = file {
        secrets = secrets.file(path);
    }
    if let Some(path) = directory {
        secrets = secrets.directory(path);
    }
    (!whole.contains(&false)).then_some(secrets)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(spec: &Value) -> Vec<String> {
        let faults = PipelineConfig::from_json(spec).unwrap_err();
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pipelines_have_a_namespace_of_their_own_or_the_default() {
        let spec = |namespace: &str| json!({"name": "p", "namespace": namespace, "stages": [{"set": {"a": 1}}]});
        assert_eq!(
            PipelineConfig::from_json(&spec("acme"))
                .unwrap()
                .namespace(),
            "acme"
        );
        let spec = json!({"name": "p", "stages": [{"set": {"a": 1}}]});
        assert_eq!(
            PipelineConfig::from_json(&spec).unwrap().namespace(),
            "pipelines"
        );
    }

    #[test]
    fn all_faults_are_reported_at_once_each_with_its_path() {
        let faults = faults(&json!({
            "name": "a/b",
            "stagess": [],
            "stages": [
                {"set": {"a": 1}, "name": "x.y"},
                {"set": {"a": 1}, "remove": ["b"]},
                {"nope": {}},
                {"name": "lonely"},
                {"filter": {}},
                7,
                {"http-export": {"timeout": "0s", "retry": {"max": "x"}, "url": "ftp://h"}},
            ],
        }));
        for path in [
            "name: `a/b` is not a name",
            "stagess: key `stagess` is unknown (did you mean `stages`?)",
            "stages[0].name: `x.y` contains a dot",
            "stages[1]: names several stages",
            "stages[2].nope: unknown stage (known: filter, set,",
            "stages[3]: names no stage",
            "stages[4].filter.rule: is required",
            "stages[5]: expected a mapping",
            "stages[6].http-export.timeout: must not be zero",
            "stages[6].http-export.retry.max: invalid duration `x`",
            "stages[6].http-export.url: `ftp://h` is not an absolute http or https URL",
        ] {
            assert!(
                faults.iter().any(|fault| fault.starts_with(path)),
                "{path} in {faults:#?}"
            );
        }
        assert_eq!(faults.len(), 11, "{faults:#?}");
    }

    #[test]
    fn pl_08_a_pipeline_without_stages_or_with_two_of_one_name_is_refused() {
        assert_eq!(
            faults(&json!({"name": "p", "stages": []})),
            ["stages: a pipeline needs at least one stage"]
        );
        let twice = json!([{"set": {"a": 1}, "name": "x"}, {"set": {"b": 1}, "name": "x"}]);
        assert_eq!(
            faults(&json!({"name": "p", "stages": twice})),
            ["stages[1].name: another stage has the name `x` already"]
        );
        assert!(
            faults(&json!({"name": "lane.p", "stages": [{"set": {"b": 1}}]}))[0]
                .contains("reserved")
        );
    }
}
