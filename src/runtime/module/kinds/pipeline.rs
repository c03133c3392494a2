//! `statefun.pipelines.v1/pipeline`: stages between a source and its destinations.

use super::super::Draft;
use super::super::finding::{Complaint, Finding, Place};
use super::super::yaml::{Node, Value};
use super::Spec;

/// A declared pipeline, and where each part of it stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PipelineSpec {
    /// Where the document's `spec` stands.
    pub place: Place,
    /// The `spec` as JSON, placeholders replaced.
    pub spec: serde_json::Value,
    node: Node,
}

impl PipelineSpec {
    /// A remark about the part of the spec that `path` names, such as `stages[2].http-export.url`.
    ///
    /// It is placed there, or at the innermost part of the path that exists.
    pub fn finding(&self, path: &str, complaint: impl Into<Complaint>) -> Finding {
        let full = match path {
            "" => "spec".to_owned(),
            path => format!("spec.{path}"),
        };
        Finding::new(deepest(&self.node, path).place.clone(), full, complaint)
    }
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    draft.module.pipelines.push(PipelineSpec {
        place: spec.node.place.clone(),
        spec: spec.node.to_json(),
        node: spec.node.clone(),
    });
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
