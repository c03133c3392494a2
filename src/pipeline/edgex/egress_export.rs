//! `KafkaExport` and `KinesisExport`: the data leaves by an egress of the module, with the guarantee of that egress.
//!
//! Parameters: `Egress` (`namespace/name`), `Topic` or `Stream`, `Key` or `PartitionKey`, `ExplicitHashKey`; all but the first are templates.

use std::fmt;

use super::super::stages::StageKind;
use super::super::stages::egress::{Keys, Texts, check};
use super::parameters::Parameters;

const KAFKA: Keys = Keys {
    egress: "Egress",
    name: "Topic",
    key: "Key",
    explicit_hash_key: "",
};
const KINESIS: Keys = Keys {
    egress: "Egress",
    name: "Stream",
    key: "PartitionKey",
    explicit_hash_key: "ExplicitHashKey",
};

pub(super) fn kafka(parameters: Parameters<'_>) -> Option<StageKind> {
    let texts = Texts {
        egress: parameters.required(KAFKA.egress),
        name: parameters.required(KAFKA.name),
        key: parameters.text(KAFKA.key),
        explicit_hash_key: None,
    };
    read(parameters, texts, KAFKA, true)
}

pub(super) fn kinesis(parameters: Parameters<'_>) -> Option<StageKind> {
    let texts = Texts {
        egress: parameters.required(KINESIS.egress),
        name: parameters.required(KINESIS.name),
        key: parameters.required(KINESIS.key),
        explicit_hash_key: parameters.text(KINESIS.explicit_hash_key),
    };
    read(parameters, texts, KINESIS, false)
}

fn read(parameters: Parameters<'_>, texts: Texts, keys: Keys, is_kafka: bool) -> Option<StageKind> {
    let named_at = parameters.place_of(keys.egress);
    let fault = |key: &'static str, text: &dyn fmt::Display| parameters.fault(key, text);
    let stage = check(texts, keys, is_kafka, named_at, &fault);
    parameters.finish(stage)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{faults, kind};
    use super::*;

    #[test]
    fn they_send_to_an_egress_of_the_module() {
        for stage in [
            json!({"KafkaExport": {"Egress": "a/out", "Topic": "t"}}),
            json!({"KafkaExport": {"Egress": "a/out", "Topic": "{devicename}", "Key": "{sourcename}"}}),
            json!({"KinesisExport": {"Egress": "a/out", "Stream": "s", "PartitionKey": "{devicename}", "ExplicitHashKey": ""}}),
        ] {
            assert!(
                matches!(kind(&stage), StageKind::Egress(export) if export.id.as_str() == "a/out")
            );
        }
    }

    #[test]
    fn missing_settings_are_reported_at_once() {
        assert_eq!(
            faults(&json!({"KinesisExport": {"Stream": ""}})),
            [
                "stages[0].KinesisExport.Egress: is required and missing",
                "stages[0].KinesisExport.PartitionKey: is required and missing",
                "stages[0].KinesisExport.Stream: must not be empty"
            ]
        );
    }
}
