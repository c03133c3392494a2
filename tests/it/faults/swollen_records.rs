//! Kind: what a stage makes is larger than what can be stored. A record of 70 bytes whose rule made 128 MiB of it was tried without end, with the memory and the disk
//! it took; the log said again and again that it was a dead letter, and there was none.

use serde_json::json;
use stateful_functions::pipeline::{
    Answer, HttpExport, Pipeline, PipelineBuilder, PipelineConfig, Record,
};
use stateful_functions::runtime::{Runtime, RuntimeConfig};

use crate::pipelines::town::Town;

const SENT: &str = r#"{"list":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}"#;

async fn assert_kept_as_sent(pipeline: PipelineBuilder, stage: &str) {
    let mut town = Town::new(pipeline);
    town.send("d1", SENT).await;
    assert_eq!(town.stands(), "discarded too_large 1");
    let (address, kept) = town.only();
    assert_eq!(address.type_name().as_str(), stage);
    let error = kept.summary()["error"].clone();
    assert_eq!(error["code"], "too_large");
    assert_eq!(
        error["message"],
        "the stage makes a record of more than 60 MiB, which is too large to store; the record is kept as it was before the stage"
    );
    let letter = serde_json::to_value(kept.dead_letter().unwrap()).unwrap();
    assert_eq!(letter["payload"], json!({"text": SENT}));
    assert_eq!(town.pending(), 0);
}

#[tokio::test]
async fn a_rule_that_makes_more_than_can_be_stored_ends_as_a_dead_letter_with_the_record() {
    let twice = json!({"cat": [{"var": "accumulator"}, {"var": "accumulator"}]});
    let reduce = json!({"reduce": [{"var": "list"}, twice, "x"]});
    let spec = json!({"name": "p", "stages": [
        {"name": "big", "transform": {"x": reduce}},
        {"name": "crm", "http-export": {"url": "http://127.0.0.1:9/"}},
    ]});
    let config = PipelineConfig::from_json(&spec).unwrap();
    assert_kept_as_sent(Pipeline::declared(config), "pipelines/p.big").await;
}

#[tokio::test]
async fn a_stage_in_code_that_makes_more_than_can_be_stored_fails_like_a_declared_one() {
    let pass = |_: &mut Record| Answer::Continue;
    let fill = |record: &mut Record| {
        record.set_payload(vec![b'x'; 61 << 20], "text/plain");
        Answer::Continue
    };
    let pipeline = Pipeline::builder("p")
        .stage("pass", pass)
        .stage("fill", fill);
    let pipeline = pipeline
        .stage("after", pass)
        .http_export(HttpExport::post("http://127.0.0.1:9/"));
    assert_kept_as_sent(pipeline, "pipelines/p.fill").await;
}

/// With a limit of answers below the largest record of a pipeline, such a record was tried without end.
#[tokio::test]
async fn a_limit_of_answers_below_the_largest_record_stops_the_start() {
    let spec = json!({"name": "p", "stages": [{"set": {"a": 1}}]});
    let pipeline = Pipeline::declared(PipelineConfig::from_json(&spec).unwrap());
    let pipeline = pipeline.build().unwrap();
    let mut config = RuntimeConfig::default();
    config.answers.bytes = 32 << 20;
    let builder = Runtime::builder().config(config).pipeline(&pipeline);
    let refused = builder.unwrap().start().await.unwrap_err().to_string();
    assert!(
        refused.contains("`RuntimeConfig::answers.bytes` is 33554432")
            && refused.contains("raise it"),
        "{refused}"
    );
}
