//! What an application adds to its service in Rust: EdgeX's `ApplicationService` before it runs.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::Value;
use tokio::sync::watch;

use super::configuration::Configuration;
use super::custom_trigger::CustomTrigger;
use super::functions::{Function, FunctionStage, Functions};
use super::publisher::BackgroundPublisher;
use super::routes::{Authentication, CustomRoute};
use super::services::Services;
use crate::pipeline::{OwnStages, Stage, StageNameError};
use crate::sdk::BoxError;

/// The id of the pipeline for all topics.
const DEFAULT_PIPELINE: &str = "default-pipeline";
const TRIGGERS: [&str; 4] = ["http", "edgex-messagebus", "messagebus", "external-mqtt"];

type MakeTrigger =
    Arc<dyn Fn(&Configuration) -> Result<Box<dyn CustomTrigger>, BoxError> + Send + Sync>;

/// What an application adds to its service: functions, pipelines, stages, triggers, routes and publishers. Give it to the configuration by
/// [`ConfigurationOptions::application`](super::ConfigurationOptions::application).
///
/// ```no_run
/// use bytes::Bytes;
/// use http::{Method, Request, Response};
/// use serde_json::json;
/// use stateful_functions::edgex::{
///     AppContext, AppData, Application, Authentication, Configuration, ConfigurationOptions, Functions, Outcome,
/// };
/// use stateful_functions::module::ModuleFile;
/// use stateful_functions::runtime::Runtime;
///
/// fn to_upper_case(context: &mut AppContext<'_>, data: AppData) -> Outcome {
///     context.set_response_content_type("text/plain");
///     Outcome::next(String::from_utf8_lossy(&data.to_bytes()).to_uppercase())
/// }
///
/// # async fn example(text: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let application = Application::new()
///     .target_type("raw")
///     .set_default_functions_pipeline(
///         Functions::new().function("ToUpperCase", to_upper_case).built_in("SetResponseData", json!({})),
///     )?
///     .add_custom_route("/myroute", Authentication::Unauthenticated, &[Method::GET], |_: Request<Bytes>| async {
///         Response::new(Bytes::from_static(b"hello"))
///     })?;
///
/// let mut options = ConfigurationOptions::default();
/// options.application = application;
/// let file = ModuleFile { name: "configuration.yaml", text };
/// let configuration = Configuration::read(file, None, &options, &Default::default())?;
/// let runtime = Runtime::builder().data("data").edgex(&configuration)?.start().await?;
/// # runtime.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use = "an application is given to a configuration"]
pub struct Application {
    pub(super) target_type: Option<String>,
    pub(super) default_pipeline: Option<Functions>,
    pub(super) topic_pipelines: Vec<TopicPipeline>,
    stages: OwnStages,
    triggers: Vec<(String, MakeTrigger)>,
    pub(super) routes: Vec<CustomRoute>,
    pub(super) publishers: Vec<BackgroundPublisher>,
    changes: Arc<watch::Sender<Option<Arc<Configuration>>>>,
}

/// Waits for configurations that take effect while a service runs.
#[derive(Debug)]
pub struct ConfigurationChanges(watch::Receiver<Option<Arc<Configuration>>>);

impl ConfigurationChanges {
    /// The next one; `None` once the application and its service are gone.
    pub async fn next(&mut self) -> Option<Arc<Configuration>> {
        loop {
            self.0.changed().await.ok()?;
            if let Some(configuration) = self.0.borrow_and_update().clone() {
                return Some(configuration);
            }
        }
    }
}

/// A pipeline for some topics.
#[derive(Debug, Clone)]
pub(super) struct TopicPipeline {
    pub(super) id: String,
    pub(super) topics: Vec<String>,
    pub(super) functions: Functions,
}

/// What cannot be added to an application.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// A pipeline needs functions.
    #[error("no transforms provided to pipeline")]
    NoFunctions,
    /// A pipeline for topics needs some.
    #[error("pipeline `{0}`: no topics")]
    NoTopics(String),
    /// A topic is blank.
    #[error("pipeline `{0}`: a topic is blank")]
    BlankTopic(String),
    /// Another pipeline has this id.
    #[error("pipeline `{0}`: the id is in use")]
    IdInUse(String),
    /// No pipeline has this id.
    #[error("there is no pipeline `{0}`")]
    UnknownPipeline(String),
    /// The name of a function or a stage.
    #[error(transparent)]
    Name(#[from] StageNameError),
    /// A route of the service.
    #[error("{0}: route is reserved")]
    Reserved(String),
    /// The same route again.
    #[error("{0}: the route was added already")]
    RouteTwice(String),
    /// Not a path.
    #[error("`{0}` is not a path: it begins with a slash and has no `?`, `#` or space")]
    MalformedRoute(String),
    /// A route without methods would answer nobody.
    #[error("{0}: the route has no methods")]
    NoMethods(String),
    /// The name of a built-in trigger.
    #[error("`{0}` is a built-in trigger; choose another name")]
    BuiltInTrigger(String),
    /// The same trigger again.
    #[error("trigger `{0}` is registered already")]
    TriggerTwice(String),
}

impl Application {
    /// An application that adds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what the functions get: `event`, `metric` or `raw`. Default: `TargetType` of the configuration, or else `event`.
    pub fn target_type(mut self, target_type: impl Into<String>) -> Self {
        self.target_type = Some(target_type.into());
        self
    }

    /// Sets the functions of the default pipeline, in place of those of the configuration.
    ///
    /// # Errors
    /// If there are none, or a function has the name of a built-in one.
    pub fn set_default_functions_pipeline(
        mut self,
        functions: Functions,
    ) -> Result<Self, ApplicationError> {
        checked(&functions)?;
        self.default_pipeline = Some(functions);
        Ok(self)
    }

    /// Adds a pipeline for messages whose topic matches one of these filters, which are MQTT's.
    ///
    /// # Errors
    /// If there are no functions or no topics, a topic is blank, or the id is in use.
    pub fn add_functions_pipeline_for_topics(
        mut self,
        id: impl Into<String>,
        topics: &[&str],
        functions: Functions,
    ) -> Result<Self, ApplicationError> {
        let id = id.into();
        checked(&functions)?;
        let topics = checked_topics(&id, topics)?;
        let is_used = self.topic_pipelines.iter().any(|known| known.id == id);
        if is_used || id == DEFAULT_PIPELINE {
            return Err(ApplicationError::IdInUse(id));
        }
        self.topic_pipelines.push(TopicPipeline {
            id,
            topics,
            functions,
        });
        Ok(self)
    }

    /// Replaces the topics of a pipeline. If they are refused, it keeps those it has.
    ///
    /// # Errors
    /// If there are no topics, one is blank, or no pipeline has this id.
    pub fn set_functions_pipeline_topics(
        &mut self,
        id: &str,
        topics: &[&str],
    ) -> Result<(), ApplicationError> {
        let topics = checked_topics(id, topics)?;
        let mut pipelines = self.topic_pipelines.iter_mut();
        let pipeline = pipelines.find(|known| known.id == id);
        let pipeline = pipeline.ok_or_else(|| ApplicationError::UnknownPipeline(id.to_owned()))?;
        pipeline.topics = topics;
        Ok(())
    }

    /// Removes all pipelines that were added.
    pub fn remove_all_function_pipelines(mut self) -> Self {
        self.default_pipeline = None;
        self.topic_pipelines.clear();
        self
    }

    /// Registers a stage that only computes, which the configuration uses like a built-in function: `ExecutionOrder` has its name, or a name that begins with it. `make`
    /// gets the parameters of each use, a mapping of texts; its error is a fault of the configuration.
    ///
    /// # Errors
    /// If the name is taken, or cannot be one.
    pub fn register_stage<S: Stage>(
        mut self,
        name: impl Into<String>,
        make: impl Fn(&Value) -> Result<S, BoxError> + Send + Sync + 'static,
    ) -> Result<Self, ApplicationError> {
        self.stages = self.stages.register_stage(name, make)?;
        Ok(self)
    }

    /// Registers a trigger: with `Trigger.Type: <name>`, in any case, the service has the one that `make` makes of its configuration.
    ///
    /// # Errors
    /// If a trigger of that name is built in or registered already.
    pub fn register_custom_trigger<T: CustomTrigger>(
        mut self,
        name: impl Into<String>,
        make: impl Fn(&Configuration) -> Result<T, BoxError> + Send + Sync + 'static,
    ) -> Result<Self, ApplicationError> {
        let name = name.into();
        let is = |known: &str| known.eq_ignore_ascii_case(name.trim());
        if TRIGGERS.into_iter().any(is) || name.trim().is_empty() {
            return Err(ApplicationError::BuiltInTrigger(name));
        }
        if self.triggers.iter().any(|(known, _)| is(known)) {
            return Err(ApplicationError::TriggerTwice(name));
        }
        let make: MakeTrigger = Arc::new(move |configuration| {
            let trigger: Box<dyn CustomTrigger> = Box::new(make(configuration)?);
            Ok(trigger)
        });
        self.triggers.push((name.trim().to_owned(), make));
        Ok(self)
    }

    /// Adds a route, for requests with these methods. In its path a part that begins with a colon stands for any one. A panic of the handler is answered with 500.
    ///
    /// # Errors
    /// If the route is one of the service's, was added already, or is not a path.
    pub fn add_custom_route<F, R>(
        mut self,
        path: &str,
        authentication: Authentication,
        methods: &[Method],
        handler: F,
    ) -> Result<Self, ApplicationError>
    where
        F: Fn(Request<Bytes>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let route = CustomRoute::new(path, authentication, methods, handler)?;
        if self.routes.iter().any(|known| known.path() == path) {
            return Err(ApplicationError::RouteTwice(path.to_owned()));
        }
        self.routes.push(route);
        Ok(self)
    }

    /// Makes a publisher to `Trigger.PublishTopic`, for code outside of pipelines. At most `capacity` publications are being stored at a time.
    pub fn add_background_publisher(&mut self, capacity: usize) -> BackgroundPublisher {
        self.publisher(None, capacity)
    }

    /// Makes a publisher to a topic, in which `{key}` stands for a value of the context.
    pub fn add_background_publisher_with_topic(
        &mut self,
        capacity: usize,
        topic: impl Into<String>,
    ) -> BackgroundPublisher {
        self.publisher(Some(topic.into()), capacity)
    }

    fn publisher(&mut self, topic: Option<String>, capacity: usize) -> BackgroundPublisher {
        let publisher = BackgroundPublisher::new(topic, capacity);
        self.publishers.push(publisher.clone());
        publisher
    }

    /// The configurations that take effect while the service runs: EdgeX's `ListenForCustomConfigChanges`. Only the newest is kept for a listener that is slow.
    pub fn configuration_changes(&self) -> ConfigurationChanges {
        ConfigurationChanges(self.changes.subscribe())
    }

    /// Tells listeners of a configuration that has taken effect.
    pub(super) fn tell(&self, configuration: &Configuration) {
        let told = configuration.clone().without_application();
        self.changes.send_replace(Some(Arc::new(told)));
    }

    pub(super) fn has_pipelines(&self) -> bool {
        self.default_pipeline.is_some() || !self.topic_pipelines.is_empty()
    }

    pub(super) const fn stages(&self) -> &OwnStages {
        &self.stages
    }

    pub(super) fn trigger_names(&self) -> impl Iterator<Item = &str> {
        self.triggers.iter().map(|(name, _)| name.as_str())
    }

    /// The trigger with this name.
    pub(super) fn trigger(
        &self,
        name: &str,
        configuration: &Configuration,
    ) -> Result<Box<dyn CustomTrigger>, BoxError> {
        let mut triggers = self.triggers.iter();
        let found = triggers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (_, make) = found.ok_or("the trigger is not registered")?;
        make(configuration)
    }
}

fn checked(functions: &Functions) -> Result<(), ApplicationError> {
    if functions.is_empty() {
        return Err(ApplicationError::NoFunctions);
    }
    for function in functions.iter() {
        if let Function::Own(name, own) = function {
            let stage = FunctionStage {
                function: Arc::clone(own),
                services: Services::default(),
            };
            OwnStages::default().register_stage(name, move |_| Ok(stage.clone()))?;
        }
    }
    Ok(())
}

fn checked_topics(id: &str, topics: &[&str]) -> Result<Vec<String>, ApplicationError> {
    if topics.is_empty() {
        return Err(ApplicationError::NoTopics(id.to_owned()));
    }
    if topics.iter().any(|topic| topic.trim().is_empty()) {
        return Err(ApplicationError::BlankTopic(id.to_owned()));
    }
    Ok(topics.iter().map(|topic| topic.trim().to_owned()).collect())
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("default_pipeline", &self.default_pipeline)
            .field("topic_pipelines", &self.topic_pipelines)
            .field("stages", &self.stages)
            .field("triggers", &self.trigger_names().collect::<Vec<_>>())
            .field("routes", &self.routes)
            .field("publishers", &self.publishers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::functions::{AppContext, AppData, Outcome};
    use super::*;

    fn one() -> Functions {
        Functions::new().built_in("Transform", json!({"Type": "xml"}))
    }

    #[test]
    fn pl_08_a_pipeline_needs_functions_topics_and_an_id_of_its_own() {
        let added = |id: &str, topics: &[&str], functions| {
            let application = Application::new();
            let application = application
                .add_functions_pipeline_for_topics("one", &["#"], one())
                .unwrap();
            application
                .add_functions_pipeline_for_topics(id, topics, functions)
                .map(|_| ())
        };
        assert_eq!(added("two", &["a/+"], one()), Ok(()));
        for (refused, text) in [
            (added("one", &["a"], one()), "in use"),
            (added("default-pipeline", &["a"], one()), "in use"),
            (added("two", &["a", " "], one()), "blank"),
            (added("two", &[], one()), "no topics"),
            (added("two", &["a"], Functions::new()), "no transforms"),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(text), "{refused}");
        }
        let empty = Application::new().set_default_functions_pipeline(Functions::new());
        assert_eq!(
            empty.unwrap_err().to_string(),
            "no transforms provided to pipeline"
        );
    }

    #[test]
    fn refused_topics_leave_those_that_were_there() {
        let application = Application::new();
        let mut application = application
            .add_functions_pipeline_for_topics("one", &["a"], one())
            .unwrap();
        assert!(
            application
                .set_functions_pipeline_topics("one", &[" "])
                .is_err()
        );
        assert_eq!(application.topic_pipelines[0].topics, ["a"]);
        let unknown = application.set_functions_pipeline_topics("two", &["b"]);
        assert_eq!(
            unknown,
            Err(ApplicationError::UnknownPipeline("two".to_owned()))
        );
        application
            .set_functions_pipeline_topics("one", &["b"])
            .unwrap();
        assert_eq!(application.topic_pipelines[0].topics, ["b"]);
    }

    #[test]
    fn functions_and_triggers_have_names_of_their_own() {
        let pass = |_: &mut AppContext<'_>, _: AppData| Outcome::Pass;
        let built_in = Functions::new().function("HTTPExport", pass);
        let refused = Application::new().set_default_functions_pipeline(built_in);
        assert!(refused.unwrap_err().to_string().contains("built-in"));
    }
}
