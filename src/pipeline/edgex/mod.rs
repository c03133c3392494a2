//! The functions of EdgeX application services, as stages with the names and parameters that EdgeX gives them.
//!
//! `names` is the table of the functions; a file per function or group has its parameters and what it does. `event` and
//! `value_type` say what events and readings are, `decode` reads them from JSON and CBOR. Payloads stay JSON or bytes; a record only notes which object its
//! payload is.

mod batch;
mod cbor;
mod compress;
mod convert;
pub(in crate::pipeline) mod decode;
mod egress_export;
mod encrypt;
mod event;
mod filter;
mod http_export;
mod input;
mod insecure_secrets;
mod line;
mod mqtt_export;
mod names;
mod order;
mod parameters;
mod push_to_core;
mod respond;
mod rule;
mod secret;
pub(crate) mod section;
mod tags;
mod unset;
mod value_type;
mod wrap;
mod xml;

pub(in crate::pipeline) use names::{Function, names, reader};

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::config::PipelineConfig;
    use super::super::own_stages::OwnStages;
    use super::super::record::Record;
    use super::super::stage::Answer;
    use super::super::stages::StageKind;
    use crate::document::{At, Findings, Node};

    fn read(stage: &Value) -> (Option<PipelineConfig>, Findings) {
        let tree = Node::from_json(&json!({"name": "test", "stages": [stage]}));
        let findings = Findings::default();
        let config = PipelineConfig::read(At::new(&tree, "", &findings), &OwnStages::default());
        (config, findings)
    }

    /// The stage that is declared.
    pub(super) fn kind(stage: &Value) -> StageKind {
        let (config, findings) = read(stage);
        let config = findings.into_result(config).unwrap();
        config.stages()[0].kind.clone()
    }

    /// What the stage answers for `record`, which it may change.
    pub(super) fn applied(stage: &Value, record: &mut Record) -> Answer {
        let kind = kind(stage);
        kind.computes().unwrap().apply(record)
    }

    /// What is wrong with the stage, as text.
    pub(super) fn faults(stage: &Value) -> Vec<String> {
        let (config, findings) = read(stage);
        let faults = findings.into_result(config).unwrap_err();
        faults.iter().map(ToString::to_string).collect()
    }

    /// The warnings about the stage, as text.
    pub(super) fn warnings(stage: &Value) -> Vec<String> {
        let (_, findings) = read(stage);
        let (_, warnings, _) = findings.into_parts();
        warnings.iter().map(ToString::to_string).collect()
    }
}
