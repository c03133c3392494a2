//! `statefun.pipelines.v1/pipeline`: stages between a source and its destinations.

use crate::pipeline::{Pipeline, PipelineConfig};

use super::super::finding::{Finding, Place};
use super::super::yaml::{Node, join};
use super::super::{Draft, function_key};
use super::Spec;

/// A declared pipeline.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PipelineSpec {
    /// Where the document's `spec` stands.
    pub place: Place,
    /// What it declares.
    pub config: PipelineConfig,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    match PipelineConfig::from_json(&spec.node.to_json()) {
        Ok(config) => {
            let place = spec.node.place.clone();
            bind(&config, &place, draft);
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

/// Binds the functions behind a pipeline.
pub(super) fn bind(config: &PipelineConfig, place: &Place, draft: &mut Draft<'_>) {
    let at = |complaint: String| Finding::new(place.clone(), "spec", complaint);
    match Pipeline::declared(config.clone()).build() {
        Ok(pipeline) => {
            for function in pipeline.functions() {
                draft.bind(function_key(function.type_name()), at(String::new()));
            }
        }
        Err(invalid) => draft.findings.fault(at(invalid.to_string())),
    }
}

/// A fault at the part of `spec` that `path` names, or at the innermost part of the path that exists.
pub(super) fn finding(spec: &Node, path: &str, message: String) -> Finding {
    let full = match path {
        "" => "spec".to_owned(),
        path => join("spec", path),
    };
    Finding::new(spec.at(path).place.clone(), full, message)
}
