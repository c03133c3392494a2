//! `statefun.http.v1/egress`: a request for each record, tried again until it is delivered or given up.
//!
//! It is a pipeline of one `http-export` stage: it has the same settings, and waiting records are shown as deliveries.

use crate::document::At;
use crate::pipeline::PipelineConfig;
use crate::sdk::TypeName;

use super::super::draft::{Binding, Draft};
use super::super::{Egress, EgressTarget, coerce};
use super::{Spec, pipeline};

/// The namespace of the functions behind HTTP egresses.
const NAMESPACE: &str = "statefun.egress";

/// Sends each record as a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpEgress {
    /// The pipeline that does it.
    pub pipeline: PipelineConfig,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let at = fields.at();
    let id = fields.must("id", coerce::own_name);
    // Its other faults are reported even if the id has one. Two ids that differ only in the position of their slash must not share a pipeline.
    let name = id
        .as_ref()
        .map_or("unnamed", TypeName::as_str)
        .replace('/', ":");
    let mut settings = spec.node.clone();
    let _ = settings.take("id");
    let here = At::new(&settings, at.path.as_str(), draft.findings);
    let pipeline = PipelineConfig::of_stage("http-export", here, name, NAMESPACE);
    let (Some(id), Some(pipeline)) = (id, pipeline) else {
        return;
    };
    let location = spec.node.location.clone();
    pipeline::bind(&pipeline, &at, draft);
    draft.bind(Binding::Egress(id.clone()), at);
    draft.module.egresses.push(Egress {
        location,
        id,
        target: EgressTarget::Http(HttpEgress { pipeline }),
    });
}
