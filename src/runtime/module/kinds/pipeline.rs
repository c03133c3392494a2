//! `statefun.pipelines.v1/pipeline`: stages between a source and its destinations.

use super::super::finding::{Finding, Place};
use super::super::yaml::{Node, Value};
use super::super::{Draft, function_key};
use super::Spec;
use crate::pipeline::PipelineConfig;
use crate::sdk::TypeName;

/// A declared pipeline.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PipelineSpec {
    /// Where the document's `spec` stands.
    pub place: Place,
    /// What it declares, checked.
    pub config: PipelineConfig,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let place = spec.node.place.clone();
    match PipelineConfig::from_json(&spec.node.to_json()) {
        Ok(config) => {
            if let Ok(entry) = TypeName::from_parts(config.namespace(), config.name()) {
                draft.bind(
                    function_key(&entry),
                    Finding::new(place.clone(), "spec.name", ""),
                );
            }
            draft.module.pipelines.push(PipelineSpec { place, config });
        }
        Err(faults) => {
            for fault in faults {
                draft
                    .findings
                    .fault(finding(spec.node, &fault.path, fault.message));
            }
        }
    }
}

/// What is wrong with the part of the spec that `path` names, such as `stages[2].http-export.url`.
///
/// It is placed there, or at the innermost part of the path that exists.
fn finding(node: &Node, path: &str, message: String) -> Finding {
    let full = match path {
        "" => "spec".to_owned(),
        path => format!("spec.{path}"),
    };
    Finding::new(deepest(node, path).place.clone(), full, message)
}

/// The node that as much of `path` as exists leads to.
fn deepest<'a>(node: &'a Node, path: &str) -> &'a Node {
    let path = path.trim_start_matches('.');
    if path.is_empty() {
        return node;
    }
    match &node.value {
        Value::List(items) => {
            let Some((number, rest)) = path.strip_prefix('[').and_then(|p| p.split_once(']'))
            else {
                return node;
            };
            let item = number.parse().ok().and_then(|n: usize| items.get(n));
            item.map_or(node, |item| deepest(item, rest))
        }
        // A key may itself contain dots: the longest key that the path begins with is meant.
        Value::Map(entries) => entries
            .iter()
            .filter_map(|(key, value)| Some((key, value, rest_after(path, &key.name)?)))
            .max_by_key(|(key, ..)| key.name.len())
            .map_or(node, |(_, value, rest)| deepest(value, rest)),
        _ => node,
    }
}

fn rest_after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    path.strip_prefix(key)
        .filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
