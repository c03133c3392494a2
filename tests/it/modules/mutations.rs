//! Random module files read by the real parser and by ours: valid files with one to three changes.
//!
//! `STATEFUN_SEED=7` replays one, `STATEFUN_SEEDS=5000` runs that many.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use stateful_functions::random::Random;

use crate::support::flink;
use crate::support::seeds::number;

use super::cases::{Runs, ours};
use super::upstream::{disagreement, real};

const SEEDS: u64 = 400;

/// What a value is replaced by.
fn strange(random: &mut Random) -> Value {
    let texts = [
        "",
        " ",
        "x",
        "a/b",
        "a/b/",
        "/b",
        "a/",
        "a/b/c",
        "a/*",
        "*",
        "10s",
        "5 us",
        "3 SECS",
        "1 h",
        "-1s",
        "0",
        "12",
        "1.5",
        "010",
        "0x1F",
        "1_000",
        "yes",
        "No",
        "true",
        "null",
        "~",
        ".inf",
        "latest",
        "Earliest",
        "specific-offsets",
        "date",
        "exactly-once",
        "none",
        "default",
        "io.statefun.transports.v1/okhttp",
        "io.statefun.transports.v1/other",
        "t/0",
        "t/x",
        "http://localhost:8000/x",
        "http:///x",
        "https://h/%20",
        "ftp://h/",
        "http://a_b/",
        "http+unix:///f.sock/x",
        "2024-02-01 04:15:00.000 +0000",
        "2024-02-01",
        "3.0",
    ];
    match pick(random, 14) {
        0 => Value::Null,
        1 => json!(0),
        2 => json!(-1),
        3 => json!(7),
        4 => json!(2.5),
        5 => json!(3_000_000_000_u64),
        6 => json!(true),
        7 => json!([]),
        8 => json!({}),
        9 => json!(["a/b"]),
        10 => json!({"a": "b"}),
        _ => json!(texts[pick(random, texts.len())]),
    }
}

fn pick(random: &mut Random, below: usize) -> usize {
    usize::try_from(random.below(below as u64)).unwrap()
}

/// Right documents, with every field.
fn documents() -> Vec<Value> {
    let transport = json!({"type": "io.statefun.transports.v1/async", "call": "1 min", "connect": "5s", "pool_size": 16, "pool_ttl": "2m",
        "payload_max_bytes": 1024, "timeouts": {"call": "30s", "connect": 500}});
    let okhttp = json!({"type": "io.statefun.transports.v1/okhttp", "timeouts": {"call": "30s", "connect": "5s", "read": 5000, "write": "1 s"}});
    let routes = |name: &str| json!([{name: "t", "valueType": "a/v", "targets": ["a/f", "b/f"]}, {name: "u", "valueType": "a/w", "targets": ["a/f"]}]);
    let region =
        json!({"type": "custom-endpoint", "endpoint": "https://localhost:4567", "id": "us-east-1"});
    vec![
        json!({"kind": "io.statefun.endpoints.v2/http", "spec": {"functions": "a/*", "urlPathTemplate": "http://localhost/{function.name}",
            "maxNumBatchRequests": 10, "transport": transport}}),
        json!({"kind": "io.statefun.endpoints.v2/http", "spec": {"functions": "b/f", "urlPathTemplate": "https://h:8080/x", "transport": okhttp}}),
        json!({"kind": "io.statefun.endpoints.v1/http", "spec": {"functions": "c/f", "urlPathTemplate": "http://h/", "maxNumBatchRequests": 5,
            "timeouts": {"call": "20s", "read": "2s"}}}),
        json!({"kind": "io.statefun.kafka.v1/ingress", "spec": {"id": "a/in", "address": "h:1", "consumerGroupId": "g", "topics": routes("topic"),
            "autoOffsetResetPosition": "earliest", "startupPosition": {"type": "specific-offsets", "offsets": [{"t/0": 5}, {"u/1": 6}]},
            "properties": [{"a": "b"}, {"c": 7}]}}),
        json!({"kind": "io.statefun.kafka.v1/ingress", "spec": {"id": "a/dated", "address": "h:1", "consumerGroupId": "g", "topics": routes("topic"),
            "startupPosition": {"type": "date", "date": "2024-02-01 04:15:00.000 +0000"}}}),
        json!({"kind": "io.statefun.kafka.v1/egress", "spec": {"id": "a/out", "address": "h:1",
            "deliverySemantic": {"type": "exactly-once", "transactionTimeout": "15min"}, "properties": [{"a": "b"}]}}),
        json!({"kind": "io.statefun.kinesis.v1/ingress", "spec": {"id": "a/stream", "streams": routes("stream"), "awsRegion": region,
            "awsCredentials": {"type": "basic", "accessKeyId": "k", "secretAccessKey": "s"}, "startupPosition": {"type": "earliest"},
            "clientConfigProperties": [{"SocketTimeout": 9999}]}}),
        json!({"kind": "io.statefun.kinesis.v1/egress", "spec": {"id": "a/sink", "awsRegion": {"type": "specific", "id": "us-west-1"},
            "awsCredentials": {"type": "profile", "profileName": "p"}, "maxOutstandingRecords": 9}}),
    ]
}

/// The same in format 3.0.
fn legacy() -> Value {
    json!({"version": "3.0", "module": {"meta": {"type": "remote"}, "spec": {
        "endpoints": [{"endpoint": {"meta": {"kind": "http"}, "spec": {"functions": "a/*", "urlPathTemplate": "http://h/", "timeouts": {"call": "20s"}}}}],
        "ingresses": [{"ingress": {"meta": {"type": "io.statefun.kafka/ingress", "id": "a/in"}, "spec": {"address": "h:1", "consumerGroupId": "g",
            "topics": [{"topic": "t", "valueType": "a/v", "targets": ["a/f"]}]}}}],
        "egresses": [{"egress": {"meta": {"type": "io.statefun.kafka/egress", "id": "a/out"}, "spec": {"address": "h:1"}}}],
    }}})
}

/// Changes something at a random place of `value`.
fn change(value: &mut Value, random: &mut Random) {
    let inner = value.as_object().map_or(0, Map::len) + value.as_array().map_or(0, Vec::len);
    if inner > 0 && pick(random, 8) > 0 {
        let at = pick(random, inner);
        let child = match value {
            Value::Object(fields) => fields.values_mut().nth(at),
            Value::Array(items) => items.get_mut(at),
            _ => None,
        };
        let child = child.unwrap();
        if child.is_object() || child.is_array() || pick(random, 2) == 0 {
            return change(child, random);
        }
    }
    match value {
        Value::Object(fields) if !fields.is_empty() => change_key(fields, random),
        Value::Array(items) if !items.is_empty() && pick(random, 3) > 0 => {
            let at = pick(random, items.len());
            if pick(random, 2) == 0 {
                items.remove(at);
            } else {
                let twin = items[at].clone();
                items.push(twin);
            }
        }
        _ => *value = strange(random),
    }
}

/// Drops a key, misspells it, or gives it a strange value.
fn change_key(fields: &mut Map<String, Value>, random: &mut Random) {
    let key = fields
        .keys()
        .nth(pick(random, fields.len()))
        .unwrap()
        .clone();
    match pick(random, 4) {
        0 => {
            fields.remove(&key);
        }
        1 => {
            let value = fields.remove(&key).unwrap();
            let misspelt = match pick(random, 3) {
                0 => key.to_uppercase(),
                1 => format!("{key}s"),
                _ => key.chars().skip(1).collect(),
            };
            fields.insert(misspelt, value);
        }
        _ => {
            fields.insert(key, strange(random));
        }
    }
}

/// As YAML in one line; texts stand without quotes where they may, at random.
fn write(value: &Value, random: &mut Random, out: &mut String) {
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (n, (key, value)) in fields.iter().enumerate() {
                let comma = if n > 0 { ", " } else { "" };
                let _ = write!(out, "{comma}{}: ", json!(key));
                write(value, random, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (n, value) in items.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                write(value, random, out);
            }
            out.push(']');
        }
        Value::String(text) if may_stand_plain(text) && pick(random, 2) == 0 => out.push_str(text),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

fn may_stand_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '~'))
        && text.trim() == text
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || " ./:*+-_~%".contains(c))
        && !text.contains(": ")
        && !text.ends_with(':')
}

fn module(seed: u64) -> String {
    let mut random = Random::seeded(seed);
    let mut documents = match pick(&mut random, 6) {
        0 => vec![legacy()],
        _ => {
            let all = documents();
            let count = 1 + pick(&mut random, 3);
            (0..count)
                .map(|_| all[pick(&mut random, all.len())].clone())
                .collect()
        }
    };
    for _ in 0..pick(&mut random, 4) {
        let at = pick(&mut random, documents.len());
        change(&mut documents[at], &mut random);
    }
    let mut text = String::new();
    for document in &documents {
        text.push_str("---\n");
        write(document, &mut random, &mut text);
        text.push('\n');
    }
    text
}

/// What the table gives a reason for.
fn is_excused(text: &str) -> bool {
    [
        "ftp://h/",
        "payload_max_bytes\": -1",
        "http:///x",
        "transactionTimeoutMillis",
    ]
    .iter()
    .any(|part| text.contains(part))
}

#[tokio::test]
async fn sf_67_random_modules_agree_with_the_real_parser() {
    let seeds = match number("STATEFUN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STATEFUN_SEEDS").unwrap_or(SEEDS),
    };
    let texts: Vec<(u64, String)> = seeds.map(|seed| (seed, module(seed))).collect();
    let found: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    let Some(verdicts) = flink::parse(&found, true).await else {
        return;
    };
    let mut wrong = Vec::new();
    for ((seed, text), verdict) in texts.iter().zip(&verdicts) {
        let ours = ours(text);
        if let Some(why) = disagreement(&ours, verdict)
            && !is_excused(text)
        {
            wrong.push(format!("STATEFUN_SEED={seed}: {why}\n{text}"));
        }
        if ours.is_silent() && real(verdict) != Runs::Ok {
            wrong.push(format!(
                "STATEFUN_SEED={seed}: nothing is said: {verdict:?}\n{text}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
