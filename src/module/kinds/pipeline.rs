//! `statefun.pipelines.v1/pipeline`: stages between a source and its destinations.

use crate::document::{At, Finding, Location};
use crate::pipeline::{Pipeline, PipelineConfig};

use super::super::draft::{Binding, Draft};
use super::Spec;

/// A declared pipeline.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PipelineSpec {
    /// The location of the document's `spec`.
    pub location: Location,
    /// The declared pipeline.
    pub config: PipelineConfig,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let at = spec.fields.at();
    let here = At::new(spec.node, at.path.as_str(), draft.findings);
    for config in PipelineConfig::read_all(here, &draft.own_stages).unwrap_or_default() {
        bind(&config, &at, draft);
        let location = at.location.clone();
        draft
            .module
            .pipelines
            .push(PipelineSpec { location, config });
    }
}

/// Binds the functions of the pipeline declared at `spec`.
pub(in crate::module) fn bind(config: &PipelineConfig, spec: &Finding, draft: &mut Draft<'_>) {
    let at = |complaint: String| Finding::new(spec.location.clone(), spec.path.as_str(), complaint);
    for (egress, named_at) in config.egresses() {
        draft.egresses.push((egress.clone(), named_at.clone()));
    }
    match Pipeline::declared(config.clone()).build() {
        Ok(pipeline) => {
            for function in pipeline.functions() {
                let binding = Binding::Function(function.type_name().clone());
                draft.bind(binding, at(String::new()));
            }
        }
        Err(invalid) => draft.findings.fault(at(invalid.to_string())),
    }
}
