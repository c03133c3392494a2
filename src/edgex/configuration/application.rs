//! The pipelines of an application as a section of the configuration, so that they are read like all others.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::super::application::Application;
use super::super::functions::{Function, FunctionStage, Functions};
use super::super::services::Services;
use super::layers::put_over;
use super::older_names::add;
use crate::document::{Key, Location, Node, Value};
use crate::pipeline::OwnStages;

/// Adds the pipelines of `application` to the section `Writable`, and returns its stages, of which its functions are some.
pub(super) fn declare(
    application: &Application,
    writable: &mut Node,
    services: &Services,
) -> OwnStages {
    let mut section = Section {
        stages: application.stages().clone(),
        names: names_in(writable),
        functions: Map::new(),
        services,
    };
    let mut pipeline = Map::new();
    if let Some(functions) = &application.default_pipeline {
        let order = section.order(functions);
        pipeline.insert("ExecutionOrder".to_owned(), order.into());
    }
    let mut per_topic = Map::new();
    for one in &application.topic_pipelines {
        let order = section.order(&one.functions);
        let topics = one.topics.join(",");
        let declared = json!({"Id": one.id, "Topics": topics, "ExecutionOrder": order});
        // No key of a file has a slash in front.
        per_topic.insert(format!("/{}", one.id), declared);
    }
    if !per_topic.is_empty() {
        pipeline.insert("PerTopicPipelines".to_owned(), per_topic.into());
    }
    if let Some(target) = &application.target_type {
        pipeline.insert("TargetType".to_owned(), target.as_str().into());
    }
    if application.has_pipelines() {
        pipeline.insert("Functions".to_owned(), section.functions.into());
    }
    let stages = section.stages;
    if !pipeline.is_empty() {
        let pipeline = Node::from_json(&Json::Object(pipeline));
        match writable.get_mut("Pipeline") {
            Some(given) => put_over(given, pipeline),
            None => {
                let key = Key {
                    location: Location::file("the application"),
                    name: "Pipeline".to_owned(),
                };
                add(writable, key, pipeline);
            }
        }
    }
    stages
}

/// The names of functions in the files.
fn names_in(writable: &Node) -> BTreeSet<String> {
    let functions = super::below(writable, &["Pipeline", "Functions"]);
    let functions = functions.filter(|node| matches!(node.value, Value::Map(_)));
    let keys = functions.into_iter().flat_map(Node::keys);
    keys.map(|key| key.name.clone()).collect()
}

struct Section<'a> {
    stages: OwnStages,
    names: BTreeSet<String>,
    functions: Map<String, Json>,
    services: &'a Services,
}

impl Section<'_> {
    /// The names of these functions, which are declared.
    fn order(&mut self, functions: &Functions) -> String {
        let names: Vec<String> = functions.iter().map(|one| self.declare(one)).collect();
        names.join(",")
    }

    fn declare(&mut self, function: &Function) -> String {
        let name = self.free(function.name());
        let parameters = match function {
            Function::BuiltIn(_, parameters) => parameters.clone(),
            Function::Own(_, own) => {
                let stage = FunctionStage {
                    function: Arc::clone(own),
                    services: self.services.clone(),
                };
                let stages = std::mem::take(&mut self.stages);
                let registered = stages.clone();
                // A name that cannot be registered is reported where the name is used.
                let registered = registered.register_stage(&name, move |_| Ok(stage.clone()));
                self.stages = registered.unwrap_or(stages);
                json!({})
            }
        };
        let declared = json!({"Parameters": parameters});
        self.functions.insert(name.clone(), declared);
        name
    }

    /// A name that no other function has: the name itself, or with a number behind it.
    fn free(&mut self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let free = names.find(|name| !self.names.contains(name));
        let free = free.unwrap_or_else(|| name.to_owned());
        self.names.insert(free.clone());
        free
    }
}
