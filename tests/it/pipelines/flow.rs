//! The path of records: through stages, past failing stages, and the form in which they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use stateful_functions::delivery::{Failure, Verb};
use stateful_functions::pipeline::{Answer, HttpExport, Pipeline, RECORD, Record};
use stateful_functions::{Address, MessageBuilder, TypeName};

use super::town::Town;
use crate::support::destination::{Destination, Reaction};

fn hot_only(url: String) -> stateful_functions::pipeline::PipelineBuilder {
    Pipeline::builder("p")
        .filter(json!({">": [{"var": "celsius"}, 30]}))
        .set(json!({"site": "north"}))
        .http_export(HttpExport::post(url).header("x-key", "secret"))
        .record_id_seed(uuid(7))
}

fn uuid(n: u128) -> stateful_functions::pipeline::Uuid {
    stateful_functions::pipeline::Uuid::from_u128(n)
}

#[tokio::test]
async fn records_pass_the_stages_and_leave_nothing_behind() {
    let destination = Destination::start().await;
    let mut town = Town::new(hot_only(destination.url("/in?x=1")));
    town.send("d1", r#"{"celsius":31}"#).await;
    town.send("d1", r#"{"celsius":29}"#).await;

    let received = destination.received();
    assert_eq!(received.len(), 1);
    assert!(received[0].head.starts_with("POST /in?x=1 HTTP/1.1\r\n"));
    assert_eq!(destination.bodies(), [r#"{"celsius":31,"site":"north"}"#]);
    assert_eq!(received[0].header("content-type"), Some("application/json"));
    assert_eq!(received[0].header("x-key"), Some("secret"));
    assert_eq!(
        received[0].header("idempotency-key").map(str::len),
        Some(36)
    );
    assert_eq!(town.remembering(), []);
    assert_eq!(town.pending(), 0);
}

#[tokio::test]
async fn chained_or_not_the_results_are_equal() {
    let mut seen = Vec::new();
    for chained in [true, false] {
        let destination = Destination::start().await;
        let mut town = Town::new(hot_only(destination.url("/")).chained(chained));
        for n in 25..40 {
            town.send("d1", &json!({"celsius": n}).to_string()).await;
        }
        town.send("d1", "no json").await;
        let requests: Vec<(Option<String>, Vec<u8>)> = destination
            .received()
            .into_iter()
            .map(|request| {
                let key = request.header("idempotency-key").map(str::to_owned);
                (key, request.body)
            })
            .collect();
        let (address, kept) = town.only();
        let summary = (address, kept.delivery().state, kept.delivery().reason);
        seen.push((requests, summary));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].0.len(), 9);
}

#[tokio::test]
async fn a_record_on_which_a_stage_fails_is_a_dead_letter_and_continues_there_when_redriven() {
    let destination = Destination::start().await;
    let mut town = Town::new(hot_only(destination.url("/")));
    town.send("d1", "no json").await;
    assert_eq!(town.stands(), "discarded stage_error 1");
    let (address, kept) = town.only();
    assert_eq!(address.type_name().as_str(), "pipelines/p.filter");
    let letter = serde_json::to_value(kept.dead_letter().unwrap()).unwrap();
    assert_eq!(letter["payload"], json!({"text": "no json"}));
    assert_eq!(
        letter["last_error"]["message"],
        "the payload is not JSON: `true`, `false` or `null` is expected at line 1 column 2 (byte 2)"
    );

    let reply = town.command(&address, Verb::Retry).await;
    assert!(reply.ok, "{reply:?}");
    town.advance(Duration::ZERO).await;
    assert_eq!(town.stands(), "discarded stage_error 2");
    assert!(town.command(&address, Verb::Purge).await.ok);
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn r_20_a_stage_that_fails_temporarily_gets_the_record_again() {
    let destination = Destination::start().await;
    let ready = Arc::new(AtomicBool::new(false));
    let is_ready = Arc::clone(&ready);
    let lookup = move |record: &mut Record| {
        if !is_ready.load(Ordering::SeqCst) {
            return Answer::Fail(Failure::retry("not_ready", "the table is not loaded"));
        }
        record.set_value("looked", "up");
        Answer::Continue
    };
    let pipeline = Pipeline::builder("p")
        .stage("lookup", lookup)
        .http_export(HttpExport::post(destination.url("/{looked}")));
    let mut town = Town::new(pipeline);
    town.send("d1", "x").await;
    assert_eq!(town.stands(), "awaiting retry 1");
    ready.store(true, Ordering::SeqCst);
    town.advance(Duration::from_secs(10)).await;
    assert_eq!(town.remembering(), []);
    assert!(destination.received()[0].head.starts_with("POST /up "));
}

#[tokio::test]
async fn r_29_a_panic_in_a_stage_is_a_dead_letter() {
    let stage = |_: &mut Record| -> Answer { panic!("no such table") };
    let mut town = Town::new(Pipeline::builder("p").stage("own", stage));
    town.send("d1", "x").await;
    let (_, kept) = town.only();
    assert_eq!(
        kept.summary()["error"]["message"],
        "the stage panicked: no such table"
    );
}

#[tokio::test]
async fn the_answer_of_a_destination_goes_to_the_next_stage_unless_the_input_is_requested() {
    for returns_input in [false, true] {
        let (first, second) = (Destination::start().await, Destination::start().await);
        let answer = br#"{"id":1}"#.to_vec();
        first.react(Reaction::Answer(201, "content-type: a/b\r\n", answer));
        let mut export = HttpExport::post(first.url("/"));
        export.return_input = returns_input;
        let pipeline = Pipeline::builder("p")
            .http_export(export)
            .http_export(HttpExport::post(second.url("/")));
        let mut town = Town::new(pipeline);
        town.send("d1", "order").await;
        let (body, kind) = match returns_input {
            true => ("order", "text/plain; charset=utf-8"),
            false => (r#"{"id":1}"#, "a/b"),
        };
        assert_eq!(second.bodies(), [body]);
        assert_eq!(second.received()[0].header("content-type"), Some(kind));
        let key = |destination: &Destination| {
            destination.received()[0]
                .header("idempotency-key")
                .unwrap()
                .to_owned()
        };
        assert_ne!(key(&first), key(&second));
    }
}

#[tokio::test]
async fn a_compressed_payload_is_sent_with_its_encoding() {
    let destination = Destination::start().await;
    let pipeline = Pipeline::builder("p")
        .declared("gzip", &Value::Null)
        .http_export(HttpExport::put(destination.url("/")));
    Town::new(pipeline).send("d1", "text").await;
    let received = &destination.received()[0];
    assert!(received.head.starts_with("PUT / "));
    assert_eq!(received.header("content-encoding"), Some("gzip"));
    assert_eq!(received.body[..2], [0x1f, 0x8b]);
}

#[tokio::test]
async fn a_record_with_an_id_of_its_own_is_kept_once() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town =
        Town::new(Pipeline::builder("p").http_export(HttpExport::post(destination.url("/"))));
    let entry = Address::new(TypeName::new("pipelines/p"), "d1");
    let record = Record::new("once").with_id(uuid(1));
    for _ in 0..3 {
        let message = MessageBuilder::to(entry.clone())
            .value_as(&RECORD, &record)
            .unwrap();
        town.deliver(None, message).await;
    }
    assert_eq!(town.stands(), "awaiting retry 1");
}

#[tokio::test]
async fn bytes_that_claim_to_be_a_record_and_are_not_become_a_dead_letter() {
    let mut town = Town::new(Pipeline::builder("p").set(json!({"a": 1})));
    let entry = Address::new(TypeName::new("pipelines/p"), "d1");
    let message = MessageBuilder::to(entry).raw("statefun.pipelines/record", b"\xff");
    town.deliver(None, message).await;
    assert_eq!(town.stands(), "discarded decode 1");
    let (_, kept) = town.only();
    assert_eq!(kept.record().unwrap().payload(), &b"\xff"[..]);
}

#[test]
fn all_faults_of_a_built_pipeline_are_reported_at_once() {
    let invalid = Pipeline::builder("a/b")
        .filter(json!({"nope": 1}))
        .named("x.y")
        .http_export(HttpExport::post("ftp://h"))
        .build()
        .unwrap_err();
    let paths: Vec<&str> = invalid
        .faults()
        .iter()
        .map(|fault| fault.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "stages[0].filter.rule",
            "stages[1].name",
            "stages[1].http-export.url",
            "name"
        ]
    );
}
