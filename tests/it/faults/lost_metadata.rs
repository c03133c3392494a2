//! Kind: metadata is lost on the way. A user saw a batch of two gzip members arrive as `application/octet-stream` without its content
//! encoding, so that it could not be read.

use std::num::NonZeroU32;

use serde_json::json;
use stateful_functions::pipeline::{
    Batch, BatchFormat, HttpExport, Pipeline, PipelineBuilder, RECORD, Record,
};
use stateful_functions::{Address, MessageBuilder, TypeName};

use crate::pipelines::town::Town;
use crate::support::destination::{Destination, Reaction};

fn batch_of_two(format: BatchFormat) -> Batch {
    let mut batch = Batch::by_count(NonZeroU32::new(2).unwrap());
    batch.format = format;
    batch
}

fn piped(stages: impl FnOnce(PipelineBuilder) -> PipelineBuilder, to: &Destination) -> Town {
    let export = HttpExport::post(to.url("/"));
    Town::new(stages(Pipeline::builder("p")).http_export(export))
}

async fn send(town: &mut Town, record: Record) {
    let to = Address::new(TypeName::new("pipelines/p"), "d");
    let message = MessageBuilder::to(to).value_as(&RECORD, record).unwrap();
    town.deliver(None, message).await;
}

fn record(payload: &'static str, encoding: &'static str) -> Record {
    let mut record = Record::new(payload).with_content_type("image/x-trace");
    record.set_content_encoding(encoding);
    record
}

#[tokio::test]
async fn a_batch_of_gzip_members_says_that_it_is_gzip_and_what_is_in_it() {
    let destination = Destination::start().await;
    let concat = batch_of_two(BatchFormat::Concat);
    let mut town = piped(|p| p.batch(concat), &destination);
    send(&mut town, record("one", "gzip")).await;
    send(&mut town, record("two", "gzip")).await;
    let received = destination.received();
    assert_eq!(received[0].body, b"onetwo");
    assert_eq!(received[0].header("content-encoding"), Some("gzip"));
    assert_eq!(received[0].header("content-type"), Some("image/x-trace"));
}

#[tokio::test]
async fn a_record_with_another_encoding_than_its_batch_is_a_dead_letter_that_says_why() {
    let destination = Destination::start().await;
    let concat = batch_of_two(BatchFormat::Concat);
    let mut town = piped(|p| p.batch(concat), &destination);
    send(&mut town, record("one", "gzip")).await;
    send(&mut town, record("plain", "")).await;
    send(&mut town, record("two", "gzip")).await;
    assert_eq!(destination.bodies(), ["onetwo"]);
    assert_eq!(town.stands(), "discarded stage_error 1");
    let error = town.only().1.summary()["error"]["message"].clone();
    assert_eq!(
        error,
        "the record is not compressed, and those of its batch are compressed with gzip; a batch has one content encoding"
    );
}

#[tokio::test]
async fn compressed_records_are_refused_where_they_would_stand_in_a_document() {
    for (format, encoding) in [
        (BatchFormat::JsonArray, "gzip"),
        (BatchFormat::Ndjson, "gzip"),
        (BatchFormat::Concat, "deflate"),
    ] {
        let destination = Destination::start().await;
        let mut town = piped(|p| p.batch(batch_of_two(format)), &destination);
        send(&mut town, record("one", encoding)).await;
        assert_eq!(town.stands(), "discarded stage_error 1");
        let kept = town.only().1.record().unwrap();
        assert_eq!(kept.content_encoding(), encoding, "it is kept as it came");
        assert_eq!(kept.content_type(), "image/x-trace");
    }
}

#[tokio::test]
async fn items_of_different_types_are_bytes_together() {
    let destination = Destination::start().await;
    let concat = batch_of_two(BatchFormat::Concat);
    let mut town = piped(|p| p.batch(concat), &destination);
    send(&mut town, record("one", "")).await;
    send(&mut town, record("two", "").with_content_type("text/plain")).await;
    let received = destination.received();
    assert_eq!(
        received[0].header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(received[0].header("content-encoding"), None);
}

#[tokio::test]
async fn any_content_type_values_and_the_trace_are_carried_through_a_wait() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let mut town = piped(
        |p| {
            p.stage("look", |_: &mut Record| {
                stateful_functions::pipeline::Answer::Continue
            })
        },
        &destination,
    );
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = record("\u{1}bytes", "br")
        .with_value("traceparent", trace)
        .with_value("site", "north");
    send(&mut town, traced).await;
    let kept = town.only().1.details();
    assert_eq!(
        kept["values"],
        json!({"site": "north", "traceparent": trace})
    );
    destination.forget();
    destination.react(Reaction::status(200));
    town.advance(std::time::Duration::from_secs(2)).await;
    let received = destination.received();
    assert_eq!(received[0].header("content-type"), Some("image/x-trace"));
    assert_eq!(received[0].header("content-encoding"), Some("br"));
    assert_eq!(received[0].header("traceparent"), Some(trace));
    assert_eq!(received[0].body, b"\x01bytes");
}

#[tokio::test]
async fn the_answer_that_goes_on_keeps_its_encoding() {
    let destination = Destination::start().await;
    destination.react_with(|request| match request.head.starts_with("POST /first") {
        true => Reaction::Answer(
            200,
            "content-type: text/x-answer\r\ncontent-encoding: gzip\r\n",
            b"packed".to_vec(),
        ),
        false => Reaction::status(200),
    });
    let second = HttpExport::post(destination.url("/second"));
    let first = HttpExport::post(destination.url("/first"));
    let pipeline = Pipeline::builder("p")
        .http_export(first)
        .http_export(second);
    let mut town = Town::new(pipeline);
    send(&mut town, record("one", "")).await;
    let last = destination.received().pop().unwrap();
    assert_eq!(last.header("content-encoding"), Some("gzip"));
    assert_eq!(last.header("content-type"), Some("text/x-answer"));
}
