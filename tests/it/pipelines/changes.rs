//! What becomes of waiting records when their pipeline changes.

use std::time::Duration;

use serde_json::json;
use stateful_functions::delivery::Verb;
use stateful_functions::pipeline::{
    HttpExport, Migration, OnPipelineChange, Pipeline, PipelineBuilder, PipelineConfig, Record,
    Waiting,
};
use stateful_functions::runtime::Runtime;
use stateful_functions::{Address, BoxError, MessageBuilder, TypeName};

use super::town::Town;
use crate::support::destination::{Destination, Reaction};

const SECOND: Duration = Duration::from_secs(1);

fn export(destination: &Destination) -> serde_json::Value {
    json!({"url": destination.url("/"), "circuit": false, "retry": {"every": "1s", "wake": false}})
}

/// A pipeline `p` of exports with these names.
fn exporting(exports: &[(&str, &Destination)]) -> PipelineBuilder {
    let pipeline = Pipeline::builder("p");
    exports
        .iter()
        .fold(pipeline, |pipeline, (name, destination)| {
            let named = pipeline.named(*name);
            named.declared("http-export", &export(destination))
        })
}

#[test]
fn a_version_is_that_of_names_kinds_and_order_and_not_of_settings() {
    let version = |stages: serde_json::Value| {
        let spec = json!({"name": "p", "stages": stages});
        let config = PipelineConfig::from_json(&spec).unwrap();
        Pipeline::declared(config).build().unwrap().version()
    };
    let set = |fields: serde_json::Value| json!({"name": "a", "set": fields});
    let batch = json!({"name": "b", "batch": {"count": 2}});
    let first = version(json!([set(json!({"x": 1})), batch]));
    assert_eq!(first, version(json!([set(json!({"x": 2})), batch])));
    assert_ne!(first, version(json!([batch, set(json!({"x": 1}))])));
    assert_ne!(first, version(json!([set(json!({"x": 1}))])));
    let gzip = json!({"name": "b", "set": {"y": 1}});
    assert_ne!(first, version(json!([set(json!({"x": 1})), gzip])));
}

#[tokio::test]
async fn r_06_records_continue_by_the_name_of_their_stage_in_a_changed_pipeline() {
    let (mut crm, other) = (Destination::start().await, Destination::start().await);
    crm.go_down().await;
    let mut town = Town::new(exporting(&[("crm", &crm)]));
    town.send("d", "one").await;
    town.restart_with(exporting(&[("first", &other), ("crm", &crm)]));
    crm.come_up().await;
    town.advance(SECOND).await;
    assert_eq!(crm.bodies(), ["one"]);
    assert_eq!(other.received().len(), 0, "earlier stages do not run again");
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn r_06_with_dead_letter_records_of_another_version_are_given_up_and_a_retry_sends_them() {
    let (mut crm, other) = (Destination::start().await, Destination::start().await);
    crm.go_down().await;
    let dead = |exports: &[(&str, &Destination)]| {
        exporting(exports).on_pipeline_change(OnPipelineChange::DeadLetter)
    };
    let mut town = Town::new(dead(&[("crm", &crm)]));
    town.send("d", "one").await;
    town.restart_with(dead(&[("crm", &crm)]));
    town.advance(2 * SECOND).await;
    assert_eq!(town.stands(), "awaiting retry 3", "the same version");

    town.restart_with(dead(&[("crm", &crm), ("last", &other)]));
    crm.come_up().await;
    town.advance(5 * SECOND).await;
    assert_eq!(crm.received().len(), 0);
    assert_eq!(town.stands(), "discarded stage_gone 3");
    let (address, kept) = town.only();
    let error = kept.transitions().to_string();
    assert!(error.contains("pipeline `p` has changed"), "{error}");
    assert!(town.command(&address, Verb::Retry).await.ok);
    town.advance(SECOND).await;
    assert_eq!(crm.bodies(), ["one"]);
    assert_eq!(town.remembering(), []);
}

/// Sends what waits at `crm` to `crm2`, in capital letters, and gives up what is `bad`.
fn to_crm2(waiting: Waiting) -> Result<Migration, BoxError> {
    assert_eq!(waiting.version.len(), 8);
    let text = String::from_utf8(waiting.record.payload().to_vec())?;
    Ok(match (waiting.stage.as_str(), text.as_str()) {
        ("crm", "bad") => Migration::DeadLetter("of no use".to_owned()),
        ("crm", "worse") => return Err("not understood".into()),
        ("crm", "lost") => Migration::To {
            stage: "nowhere".to_owned(),
            record: waiting.record,
        },
        ("crm", _) => Migration::To {
            stage: "crm2".to_owned(),
            record: Record::new(text.to_uppercase()),
        },
        _ => Migration::Resume,
    })
}

#[tokio::test]
async fn pl_21_a_migration_hook_says_where_waiting_records_continue() {
    let (mut crm, crm2) = (Destination::start().await, Destination::start().await);
    crm.go_down().await;
    let migrating = |exports: &[(&str, &Destination)]| {
        exporting(exports).on_pipeline_change(OnPipelineChange::migrate(to_crm2))
    };
    let mut town = Town::new(migrating(&[("crm", &crm)]));
    for text in ["one", "bad", "worse", "lost"] {
        town.send("d", text).await;
    }
    town.restart_with(migrating(&[("crm", &crm), ("crm2", &crm2)]));
    town.advance(2 * SECOND).await;
    assert_eq!(crm2.bodies(), ["ONE"]);
    let kept = town.kept();
    let mut given_up: Vec<String> = kept
        .values()
        .map(|kept| {
            assert_eq!(kept.delivery().reason.unwrap().as_str(), "stage_gone");
            kept.transitions().to_string()
        })
        .collect();
    given_up.sort();
    assert_eq!(given_up.len(), 3, "{given_up:?}");
    for reason in [
        "of no use",
        "the migration failed: not understood",
        "names stage `nowhere`",
    ] {
        let found = given_up.iter().any(|text| text.contains(reason));
        assert!(found, "{reason} in {given_up:?}");
    }
    assert_eq!(town.pending(), 0);
}

/// On the embedded runtime, also where the stage is gone, and without waiting for the next attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pl_21_records_of_a_stage_that_is_gone_move_on_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (crm, crm2) = (Destination::start().await, Destination::start().await);
    crm.react(Reaction::status(503));
    let start = async |name: &str, destination: &Destination| {
        let url = destination.url("/");
        let settings = json!({"url": url, "circuit": false, "retry": {"every": "1h"}});
        let pipeline = Pipeline::builder("p").named(name);
        let pipeline = pipeline.declared("http-export", &settings);
        let pipeline = pipeline.on_pipeline_change(OnPipelineChange::migrate(to_crm2));
        let runtime = Runtime::builder().pipeline(&pipeline.build().unwrap());
        runtime.unwrap().data(folder.path()).start().await.unwrap()
    };
    let runtime = start("crm", &crm).await;
    let entry = Address::new(TypeName::new("pipelines/p"), "sender");
    runtime
        .send(&MessageBuilder::to(entry).value("one"))
        .await
        .unwrap();
    crm.until(|received| received.len() == 1).await;
    runtime.shutdown().await;

    let runtime = start("crm2", &crm2).await;
    crm2.until(|received| received.len() == 1).await;
    assert_eq!(crm2.bodies(), ["ONE"]);
    runtime.shutdown().await;
}

/// The builder of an export in Rust takes the same rule.
#[tokio::test]
async fn without_a_change_a_migration_hook_is_not_asked() {
    let mut crm = Destination::start().await;
    crm.go_down().await;
    let never = |_: Waiting| -> Result<Migration, BoxError> { panic!("nothing has changed") };
    let pipeline = |crm: &Destination| {
        Pipeline::builder("p")
            .http_export(HttpExport::post(crm.url("/")))
            .on_pipeline_change(OnPipelineChange::migrate(never))
    };
    let mut town = Town::new(pipeline(&crm));
    town.send("d", "one").await;
    town.restart_with(pipeline(&crm));
    crm.come_up().await;
    town.advance(60 * SECOND).await;
    assert_eq!(crm.bodies(), ["one"]);
}
