//! `statefun.jobs.v1/destinations`: where events are delivered as jobs, and when.

use crate::document::{At, Location};
use crate::jobs::JobsConfig;

use super::super::draft::{Binding, Draft};
use super::Spec;

/// Declared destinations of jobs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JobsSpec {
    /// The location of the document's `spec`.
    pub location: Location,
    /// The declared destinations.
    pub config: JobsConfig,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let at = spec.fields.at();
    let here = At::new(spec.node, at.path.as_str(), draft.findings);
    let Some(config) = JobsConfig::read(here) else {
        return;
    };
    for (egress, named_at) in config.egresses() {
        let named_at = named_at.unwrap_or(&at);
        draft.egresses.push((egress.clone(), named_at.clone()));
    }
    match config.functions() {
        Ok(functions) => {
            for function in functions {
                draft.bind(Binding::Function(function), at.clone());
            }
        }
        Err(invalid) => spec.fields.fault("", invalid.to_string()),
    }
    let location = at.location;
    draft.module.jobs.push(JobsSpec { location, config });
}
