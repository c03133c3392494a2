//! `kafka-export` and `kinesis-export`: each record leaves by an egress of the module, and the unchanged record goes to the next stage.
//!
//! The egress message is part of the commit that passes the record on, so the guarantee is that of the egress: there are no deliveries, no
//! attempts and no dead letters but those of records from which no message can be made.

use std::fmt;
use std::sync::Arc;

use super::super::record::Record;
use super::super::template::Template;
use super::StageKind;
use crate::delivery::engine::Failure;
use crate::document::{At, Finding};
use crate::sdk::{EgressMessage, KafkaEgressMessage, KinesisEgressMessage, TypeName};

/// Sends each record to an egress.
pub(crate) struct EgressExport {
    /// The egress.
    pub(crate) id: TypeName,
    /// Where it is named.
    #[cfg_attr(
        not(feature = "runtime"),
        allow(dead_code, reason = "a module knows what is bound")
    )]
    pub(crate) named_at: Finding,
    form: Form,
}

enum Form {
    Kafka {
        topic: Template,
        key: Option<Template>,
    },
    Kinesis {
        stream: Template,
        partition_key: Template,
        explicit_hash_key: Option<Template>,
    },
}

impl fmt::Debug for EgressExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressExport")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl EgressExport {
    /// The message for `record`, or why there can be none.
    pub(crate) fn message(&self, record: &mut Record) -> Result<EgressMessage, Box<Failure>> {
        let unmade = |text: String| Box::new(Failure::permanent("template", text));
        let mut fill = |template: &Template| {
            let text = template.fill(record);
            text.map_err(|err| unmade(err.to_string()))
        };
        let message = match &self.form {
            Form::Kafka { topic, key } => {
                let key = key.as_ref().map(&mut fill).transpose()?;
                let message = KafkaEgressMessage::to(self.id.clone()).topic(fill(topic)?);
                let message = message.key(key.unwrap_or_default());
                message.value(record.payload())
            }
            Form::Kinesis {
                stream,
                partition_key,
                explicit_hash_key,
            } => {
                let hash_key = explicit_hash_key.as_ref().map(&mut fill).transpose()?;
                let message = KinesisEgressMessage::to(self.id.clone()).stream(fill(stream)?);
                let message = message.partition_key(fill(partition_key)?);
                let message = message.explicit_hash_key(hash_key.unwrap_or_default());
                message.value(record.payload())
            }
        };
        message.map_err(|err| unmade(err.to_string()))
    }
}

/// The texts of a stage that sends to an egress, as they are written.
pub(in crate::pipeline) struct Texts {
    /// `namespace/name` of the egress.
    pub(in crate::pipeline) egress: Option<String>,
    /// The topic, or the stream.
    pub(in crate::pipeline) name: Option<String>,
    /// The key, or the partition key.
    pub(in crate::pipeline) key: Option<String>,
    pub(in crate::pipeline) explicit_hash_key: Option<String>,
}

/// The keys under which a form of settings has [`Texts`].
#[derive(Clone, Copy)]
pub(in crate::pipeline) struct Keys {
    pub(in crate::pipeline) egress: &'static str,
    pub(in crate::pipeline) name: &'static str,
    pub(in crate::pipeline) key: &'static str,
    pub(in crate::pipeline) explicit_hash_key: &'static str,
}

/// Checks the texts; `fault` gets the key and the fault. What is missing has been reported.
pub(in crate::pipeline) fn check(
    texts: Texts,
    keys: Keys,
    is_kafka: bool,
    named_at: Finding,
    fault: &impl Fn(&'static str, &dyn fmt::Display),
) -> Option<StageKind> {
    let parsed = |key: &'static str, text: Option<String>| {
        let text = text?;
        if text.trim().is_empty() {
            fault(key, &"must not be empty");
            return None;
        }
        let template = Template::parse(&text);
        template.map_err(|err| fault(key, &err)).ok()
    };
    let optional = |key: &'static str, text: Option<String>| match text {
        Some(text) if !text.trim().is_empty() => parsed(key, Some(text)).map(Some),
        _ => Some(None),
    };
    let id = texts.egress.and_then(|text| {
        let id = text.trim().parse::<TypeName>();
        id.map_err(|err| fault(keys.egress, &err)).ok()
    });
    let name = parsed(keys.name, texts.name);
    let form = match is_kafka {
        true => {
            let key = optional(keys.key, texts.key);
            name.zip(key).map(|(topic, key)| Form::Kafka { topic, key })
        }
        false => {
            let partition_key = parsed(keys.key, texts.key);
            let hash_key = optional(keys.explicit_hash_key, texts.explicit_hash_key);
            let whole = name.zip(partition_key).zip(hash_key);
            whole.map(
                |((stream, partition_key), explicit_hash_key)| Form::Kinesis {
                    stream,
                    partition_key,
                    explicit_hash_key,
                },
            )
        }
    };
    id.zip(form)
        .map(|(id, form)| StageKind::Egress(Arc::new(EgressExport { id, named_at, form })))
}

/// `kafka-export: {egress, topic, key?}`.
pub(super) fn read_kafka(at: At<'_>) -> Option<StageKind> {
    const KEYS: Keys = Keys {
        egress: "egress",
        name: "topic",
        key: "key",
        explicit_hash_key: "",
    };
    read(at, KEYS, true)
}

/// `kinesis-export: {egress, stream, partitionKey, explicitHashKey?}`.
pub(super) fn read_kinesis(at: At<'_>) -> Option<StageKind> {
    const KEYS: Keys = Keys {
        egress: "egress",
        name: "stream",
        key: "partitionKey",
        explicit_hash_key: "explicitHashKey",
    };
    read(at, KEYS, false)
}

fn read(at: At<'_>, keys: Keys, is_kafka: bool) -> Option<StageKind> {
    let place = at.clone();
    let fields = at.fields()?;
    let required = |key| fields.required(key).and_then(|at| at.text());
    let egress = fields.required(keys.egress);
    let named_at = egress.as_ref().map_or_else(
        || Finding::new(place.node.location.clone(), place.path(), ""),
        |at| Finding::new(at.node.location.clone(), at.path(), ""),
    );
    let mut texts = Texts {
        egress: egress.and_then(|at| at.text()),
        name: required(keys.name),
        key: None,
        explicit_hash_key: None,
    };
    let text = |at: &At<'_>| at.text().map(Some);
    let whole = match is_kafka {
        true => fields.set(keys.key, &mut texts.key, text),
        false => {
            texts.key = required(keys.key);
            fields.set(keys.explicit_hash_key, &mut texts.explicit_hash_key, text)
        }
    };
    fields.finish();
    let fault = |key: &'static str, text: &dyn fmt::Display| place.fault_at(key, text);
    let stage = check(texts, keys, is_kafka, named_at, &fault);
    stage.filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::config::PipelineConfig;
    use super::super::tests::faults;
    use super::*;
    use crate::delivery::engine::Class;
    use crate::sdk::types;

    fn export(stage: &Value) -> Arc<EgressExport> {
        let spec = json!({"name": "test", "stages": [stage]});
        let config = PipelineConfig::from_json(&spec).unwrap();
        match &config.stages()[0].kind {
            StageKind::Egress(export) => Arc::clone(export),
            other => panic!("{other:?} sends to no egress"),
        }
    }

    #[test]
    fn a_kafka_record_has_the_topic_and_the_key_that_the_record_gives_it() {
        let kafka = json!({"egress": "a/out", "topic": "t-{site}", "key": "{id}"});
        let export = export(&json!({"kafka-export": kafka}));
        let mut record = Record::json(json!({"site": "north", "id": 7}));
        let message = export.message(&mut record).unwrap();
        let sent = message.require(&types::KAFKA_RECORD).unwrap();
        assert_eq!((&*sent.topic, &*sent.key), ("t-north", "7"));
        assert_eq!(sent.value_bytes, record.payload());
        assert_eq!(message.egress().as_str(), "a/out");
    }

    #[test]
    fn a_kinesis_record_has_a_stream_a_partition_key_and_a_hash_key_if_it_is_asked_for() {
        let kinesis = json!({"egress": "a/out", "stream": "s", "partitionKey": "{id}"});
        let plain = export(&json!({"kinesis-export": kinesis}));
        let mut record = Record::json(json!({"id": 7}));
        let message = plain.message(&mut record).unwrap();
        let sent = message.require(&types::KINESIS_RECORD).unwrap();
        let parts = (
            &*sent.stream,
            &*sent.partition_key,
            &*sent.explicit_hash_key,
        );
        assert_eq!(parts, ("s", "7", ""));
    }

    #[test]
    fn a_record_without_the_field_of_a_placeholder_is_a_failure_for_good() {
        let kafka = json!({"egress": "a/out", "topic": "t-{site}"});
        let export = export(&json!({"kafka-export": kafka}));
        let failure = export.message(&mut Record::json(json!({}))).unwrap_err();
        assert_eq!(
            (failure.class, &*failure.code),
            (Class::Permanent, "template")
        );
    }

    #[test]
    fn missing_and_wrong_settings_are_reported_at_once() {
        let told = faults(&json!({"kinesis-export": {"egress": "out", "stream": " "}}));
        assert_eq!(told.len(), 3, "{told:?}");
        for key in ["egress", "stream", "partitionKey"] {
            let place = format!("stages[0].kinesis-export.{key}: ");
            assert!(
                told.iter().any(|fault| fault.starts_with(&place)),
                "{told:?}"
            );
        }
    }
}
