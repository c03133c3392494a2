//! `statefun.http.v1/egress`: a request for each record, tried again until it is delivered or given up.
//!
//! It is a pipeline of one `http-export` stage: what that takes, it takes, and what waits is shown among the deliveries.

use serde_json::json;

use crate::pipeline::PipelineConfig;
use crate::sdk::TypeName;

use super::super::yaml::Node;
use super::super::{Draft, Egress, EgressTarget, fields};
use super::{Spec, pipeline};

/// The namespace of the functions behind HTTP egresses.
const NAMESPACE: &str = "statefun.egress";
/// Where the settings of the export stand in the pipeline.
const EXPORT: &str = "stages[0].http-export";

/// Sends each record as a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpEgress {
    /// The pipeline that does it.
    pub pipeline: PipelineConfig,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let mut fields = spec.fields;
    let at = fields.at();
    let id = fields.required("id", fields::type_name);
    // Its other faults are told also when the id has one.
    let name = id.as_ref().map_or("unnamed", TypeName::as_str);
    let pipeline = export(name, spec.node).map_err(|faults| {
        for (path, message) in faults {
            let fault = pipeline::finding(spec.node, &at.path, &path, message);
            draft.findings.fault(fault);
        }
    });
    let (Some(id), Ok(pipeline)) = (id, pipeline) else {
        return;
    };
    let place = spec.node.place.clone();
    pipeline::bind(&pipeline, &at, draft);
    draft.bind_egress(&id, at);
    draft.module.egresses.push(Egress {
        place,
        id,
        target: EgressTarget::Http(HttpEgress { pipeline }),
    });
}

/// The pipeline of the egress `name`, or what is wrong with its settings: paths below `spec`, and texts.
fn export(name: &str, spec: &Node) -> Result<PipelineConfig, Vec<(String, String)>> {
    let mut settings = spec.to_json();
    if let Some(settings) = settings.as_object_mut() {
        settings.remove("id");
    }
    // Two ids that differ in the place of their slash only must not share a pipeline.
    let name = name.replace('/', ":");
    let declared = json!({
        "name": name,
        "namespace": NAMESPACE,
        "stages": [{"http-export": settings}],
    });
    PipelineConfig::from_json(&declared).map_err(|faults| {
        let path = |path: &str| {
            path.strip_prefix(EXPORT)
                .unwrap_or_default()
                .trim_start_matches('.')
                .to_owned()
        };
        faults
            .into_iter()
            .map(|fault| (path(&fault.path), fault.message))
            .collect()
    })
}
