//! The section `Writable` of older versions as that of EdgeX 4.

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::functions::{self, Converted as Function};

/// What has become of a section.
pub(super) struct Converted {
    pub(super) writable: Value,
    /// What needs attention.
    pub(super) notes: Vec<String>,
}

/// Converts the pipelines of a configuration: the whole of it, its section `Writable`, or that section's `Pipeline`.
pub(super) fn convert(root: &Value, file: &str) -> anyhow::Result<Converted> {
    let mut notes = Vec::new();
    let writable = match (root.get("Writable"), root.get("Pipeline")) {
        (Some(writable), _) => writable.clone(),
        (None, Some(_)) => root.clone(),
        (None, None) => json!({"Pipeline": root}),
    };
    if root.get("Writable").is_some() {
        let others = root.as_object().into_iter().flat_map(Map::keys);
        let others: Vec<&str> = others
            .map(String::as_str)
            .filter(|key| *key != "Writable")
            .collect();
        if !others.is_empty() {
            notes.push(format!(
                "only pipelines are converted; left out: {}",
                others.join(", ")
            ));
        }
    }
    let pipeline = writable.get("Pipeline").and_then(Value::as_object);
    let is_section = |section: &&Map<String, Value>| {
        ["ExecutionOrder", "PerTopicPipelines", "Functions"]
            .iter()
            .any(|key| section.contains_key(*key))
    };
    let pipeline = pipeline.filter(is_section).with_context(|| {
        format!("{file} has no section `Writable.Pipeline` with `ExecutionOrder` or `Functions`")
    })?;
    let mut converted = Map::new();
    converted.insert("Pipeline".to_owned(), section(pipeline, &mut notes));
    for key in ["StoreAndForward", "InsecureSecrets"] {
        if let Some(value) = writable.get(key) {
            let value = match key {
                "InsecureSecrets" => secrets(value),
                _ => value.clone(),
            };
            converted.insert(key.to_owned(), value);
        }
    }
    Ok(Converted {
        writable: converted.into(),
        notes,
    })
}

fn section(pipeline: &Map<String, Value>, notes: &mut Vec<String>) -> Value {
    let mut renamed: Vec<(String, Option<String>)> = Vec::new();
    let mut functions = Map::new();
    let empty = Map::new();
    let declared = pipeline.get("Functions").and_then(Value::as_object);
    for (key, function) in declared.unwrap_or(&empty) {
        let Function { name, parameters } = functions::convert(key, function, notes);
        let name = name.map(|name| free(name, &functions));
        if let Some(name) = &name {
            functions.insert(name.clone(), json!({"Parameters": parameters}));
        }
        renamed.push((key.clone(), name));
    }
    let order = |order: &Value| {
        let names = order.as_str().unwrap_or_default().split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty());
        let names: Vec<String> = names
            .filter_map(|name| match renamed.iter().find(|(old, _)| old == name) {
                Some((_, new)) => new.clone(),
                None => Some(name.to_owned()),
            })
            .collect();
        Value::from(names.join(", "))
    };
    let mut converted = Map::new();
    let is_raw = pipeline
        .get("UseTargetTypeOfByteArray")
        .is_some_and(|flag| {
            matches!(flag, Value::Bool(true))
                || flag
                    .as_str()
                    .is_some_and(|text| text.eq_ignore_ascii_case("true"))
        });
    let target = pipeline.get("TargetType").cloned();
    match (is_raw, target) {
        (true, _) => _ = converted.insert("TargetType".to_owned(), json!("raw")),
        (false, Some(target)) => _ = converted.insert("TargetType".to_owned(), target),
        (false, None) => {}
    }
    if let Some(given) = pipeline.get("ExecutionOrder") {
        converted.insert("ExecutionOrder".to_owned(), order(given));
    }
    let per_topic = pipeline.get("PerTopicPipelines").and_then(Value::as_object);
    if let Some(pipelines) = per_topic.filter(|pipelines| !pipelines.is_empty()) {
        let converted_ones = pipelines.iter().map(|(key, given)| {
            let mut one = given.clone();
            if let (Some(given), Some(fields)) = (given.get("ExecutionOrder"), one.as_object_mut()) {
                fields.insert("ExecutionOrder".to_owned(), order(given));
            }
            let topics = one.get("Topics").and_then(Value::as_str).unwrap_or_default();
            let is_inner = |topic: &str| topic.trim().trim_end_matches('#').contains('#');
            if topics.split(',').any(is_inner) {
                notes.push(format!("PerTopicPipelines.{key}.Topics: `#` is the last level of a topic; write `+` for one level in the middle"));
            }
            (key.clone(), one)
        });
        let converted_ones: Map<String, Value> = converted_ones.collect();
        converted.insert("PerTopicPipelines".to_owned(), converted_ones.into());
    }
    converted.insert("Functions".to_owned(), functions.into());
    Value::Object(converted)
}

/// The name, with a number if it is taken.
fn free(name: String, functions: &Map<String, Value>) -> String {
    let mut free = name.clone();
    let mut number = 2;
    while functions.contains_key(&free) {
        free = format!("{name}{number}");
        number += 1;
    }
    free
}

/// Version 2 called the name `Path` and the texts `Secrets`.
fn secrets(section: &Value) -> Value {
    let empty = Map::new();
    let entries = section.as_object().unwrap_or(&empty).iter();
    let entries = entries.map(|(key, secret)| {
        let mut secret = secret.clone();
        if let Some(fields) = secret.as_object_mut() {
            for (old, new) in [("Path", "SecretName"), ("Secrets", "SecretData")] {
                if let Some(value) = fields.remove(old) {
                    fields.insert(new.to_owned(), value);
                }
            }
        }
        (key.clone(), secret)
    });
    Value::Object(entries.collect())
}
