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
    let at = spec.fields.at();
    match PipelineConfig::from_json(&spec.node.to_json()) {
        Ok(config) => {
            bind(&config, &at, draft);
            let place = at.place;
            draft.module.pipelines.push(PipelineSpec { place, config });
        }
        Err(faults) => {
            for fault in faults {
                let fault = finding(spec.node, &at.path, &fault.path, fault.message);
                draft.findings.fault(fault);
            }
        }
    }
}

/// Binds the functions behind a pipeline that is declared at `spec`.
pub(super) fn bind(config: &PipelineConfig, spec: &Finding, draft: &mut Draft<'_>) {
    let at = |complaint: String| Finding::new(spec.place.clone(), spec.path.as_str(), complaint);
    match Pipeline::declared(config.clone()).build() {
        Ok(pipeline) => {
            for function in pipeline.functions() {
                draft.bind(function_key(function.type_name()), at(String::new()));
            }
        }
        Err(invalid) => draft.findings.fault(at(invalid.to_string())),
    }
}

/// A fault at the part of `spec` that `path` names, or at the innermost part of the path that exists. `above` is the path of `spec`.
pub(super) fn finding(spec: &Node, above: &str, path: &str, message: String) -> Finding {
    let full = match path {
        "" => above.to_owned(),
        path => join(above, path),
    };
    Finding::new(spec.at(path).place.clone(), full, message)
}
