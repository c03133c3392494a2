//! Execution orders: the functions that a section names, as the stages of its pipelines.

use super::decode::{Decode, Target};
use super::names;
use super::parameters::list;
use super::unset::{is_unset, text};
use crate::document::{At, Complaint, Node, Value, nearest};
use crate::pipeline::config::{
    Forwarding, PipelineConfig, Route, StageConfig, StageNames, check_name,
};
use crate::pipeline::own_stages::{OwnStage, OwnStages};
use crate::pipeline::secrets::Secrets;
use crate::pipeline::stages::StageKind;
use crate::topic_filter::TopicFilter;

/// What the functions of a section have in common.
pub(super) struct Section<'a> {
    pub(super) namespace: String,
    pub(super) target: Target,
    pub(super) functions: Vec<(&'a str, At<'a>)>,
    pub(super) forwarding: Forwarding,
    pub(super) secrets: Secrets,
    pub(super) own: &'a OwnStages,
}

impl Section<'_> {
    pub(super) fn pipeline(&self, name: String, stages: Vec<StageConfig>) -> PipelineConfig {
        PipelineConfig::from_parts(name, self.namespace.clone(), stages)
            .with_secrets(self.secrets.clone())
            .with_storing(self.forwarding.storing())
    }

    /// One of `PerTopicPipelines`, with the topics that lead to it.
    pub(super) fn topic_pipeline(
        &self,
        at: &At<'_>,
        ids: &mut Vec<String>,
    ) -> Option<(Route, PipelineConfig)> {
        let fields = at.clone().fields()?;
        let id = fields.required("Id").and_then(|at| {
            let id = at.text()?.trim().to_owned();
            if ids.contains(&id) {
                return at.fault(format_args!("the id `{id}` is in use"));
            }
            ids.push(id.clone());
            match check_name(&id) {
                Ok(()) => Some(id),
                Err(text) => at.fault(text),
            }
        });
        let topics = fields.required("Topics").and_then(|at| topics(&at));
        let stages = fields.required("ExecutionOrder").and_then(|at| {
            let order = text(&at)?;
            match list(&order).next() {
                None => at.fault("names no function"),
                Some(_) => self.stages(&at, id.as_deref().unwrap_or_default(), &order),
            }
        });
        fields.finish();
        let (id, filters) = (id?, topics?);
        let route = Route {
            filters,
            to: id.clone(),
        };
        Some((route, self.pipeline(id, stages?)))
    }

    /// The stages of an order, after the one that decodes.
    pub(super) fn stages(
        &self,
        at: &At<'_>,
        pipeline: &str,
        order: &str,
    ) -> Option<Vec<StageConfig>> {
        let mut names = StageNames::default();
        let decode = StageConfig {
            name: names.of_kind("decode"),
            kind: StageKind::pure(Decode {
                target: self.target,
                pipeline: Some(pipeline.to_owned()),
            }),
        };
        let functions: Vec<_> = list(order)
            .map(|name| self.stage(at, name, &mut names))
            .collect();
        let functions: Option<Vec<StageConfig>> = functions.into_iter().collect();
        Some(std::iter::once(decode).chain(functions?).collect())
    }

    fn stage(&self, at: &At<'_>, name: &str, names: &mut StageNames) -> Option<StageConfig> {
        if name.contains(['/', '.']) {
            return at.fault(format_args!(
                "`{name}` has a slash or a dot, which names of stages can't have"
            ));
        }
        let Some((_, place)) = self.functions.iter().find(|(known, _)| *known == name) else {
            let known = self.functions.iter().map(|(known, _)| *known);
            let remedy = nearest(name, known).map_or_else(
                || "names are case sensitive".to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            let text = format!("function `{name}` is not in `Functions`");
            return at.complain(Complaint::with_remedy(text, remedy));
        };
        let own = self.own.with_prefix_of(name);
        let function = names::with_prefix_of(name);
        // The longest name counts, whoever has it.
        let is_own = |own: &&OwnStage| {
            function.is_none_or(|function| function.name.len() < own.name().len())
        };
        if let Some(own) = own.filter(is_own) {
            let kind = with_parameters(place, |at| own.read(&at))?;
            let name = names.of_kind(name);
            return Some(StageConfig { name, kind });
        }
        let Some(function) = function else {
            let mut known: Vec<&str> = names::names().collect();
            known.extend(self.own.names());
            let remedy = nearest(name, known).map_or_else(
                || "the name of a function begins with that of a built-in one".to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            let text = format!("`{name}` is not a built-in function");
            return place.complain(Complaint::with_remedy(text, remedy));
        };
        let stage = with_parameters(place, |at| {
            self.forwarding.read_stage(&at, |at| function.read(at))
        })?;
        Some(StageConfig {
            name: names.of_kind(name),
            kind: stage,
        })
    }
}

/// The stage of a function, which `read` makes of its parameters.
fn with_parameters(
    place: &At<'_>,
    read: impl FnOnce(At<'_>) -> Option<StageKind>,
) -> Option<StageKind> {
    if !is_unset(place) {
        let fields = place.clone().fields()?;
        let parameters = fields.get("Parameters");
        fields.finish();
        if let Some(at) = parameters {
            return read(at);
        }
    }
    // Nothing is there to read, and what is missing is reported at the function.
    let nothing = Node::made(place.node.location.clone(), Value::Null);
    let at = At::new(&nothing, place.path(), place.findings());
    read(at)
}

fn topics(at: &At<'_>) -> Option<Vec<TopicFilter>> {
    let topics = text(at)?;
    let filters: Result<Vec<TopicFilter>, _> = list(&topics).map(TopicFilter::parse).collect();
    match filters {
        Ok(filters) if filters.is_empty() => at.fault("names no topic"),
        Ok(filters) => Some(filters),
        Err(err) => at.fault(err),
    }
}
