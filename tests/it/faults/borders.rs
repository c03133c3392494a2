//! Wakes and settings that stop at a border. A user saw records of one pipeline wait for hours while another pipeline delivered to the same
//! destination, and waits of an hour continue after `every` was changed to a second.

use std::path::Path;

use serde_json::{Value, json};
use stateful_functions::pipeline::{Pipeline, PipelineConfig};
use stateful_functions::runtime::{Runtime, RuntimeBuilder};
use stateful_functions::{Address, MessageBuilder, TypeName};

use crate::support::destination::{Destination, Reaction};
use crate::support::until::until;

fn exporting(name: &str, destination: &Destination, every: &str) -> Pipeline {
    let export = json!({"circuit": false, "retry": {"every": every}});
    declared(name, destination, export)
}

fn declared(name: &str, destination: &Destination, mut export: Value) -> Pipeline {
    export["url"] = destination.url("/").to_string().into();
    let spec = json!({"name": name, "stages": [{"name": "crm", "http-export": export}]});
    let config = PipelineConfig::from_json(&spec).unwrap();
    Pipeline::declared(config).build().unwrap()
}

fn with(pipelines: &[Pipeline]) -> RuntimeBuilder {
    let bind = |runtime: RuntimeBuilder, pipeline| runtime.pipeline(pipeline).unwrap();
    pipelines.iter().fold(Runtime::builder(), bind)
}

async fn send(runtime: &Runtime, pipeline: &str, text: &str) {
    let entry = Address::new(TypeName::from_parts("pipelines", pipeline).unwrap(), "d");
    let message = MessageBuilder::to(entry).value(text);
    runtime.send(&message).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_of_one_pipeline_wakes_records_of_others_for_the_same_destination() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let pipelines = [
        exporting("one", &destination, "1h"),
        exporting("two", &destination, "1h"),
    ];
    let runtime = with(&pipelines).start().await.unwrap();
    send(&runtime, "one", "waits").await;
    destination.until(|received| received.len() == 1).await;
    destination.react(Reaction::status(200));
    // A success before the failure has been noted wakes nothing.
    until("the record that waits", async || {
        send(&runtime, "two", "arrives").await;
        let bodies = destination.bodies();
        let attempts = bodies.iter().filter(|body| *body == "waits").count();
        (attempts == 2).then_some(())
    })
    .await;
    runtime.shutdown().await;
}

/// Found with EdgeX sections, which have no circuit: nobody sent to the other pipeline after the outage, and their records waited for their own time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_arrives_wakes_records_of_other_pipelines_for_the_same_destination() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    // Its second attempt is due while the circuit is open, so it is held from then on, and only woken.
    let circuit = json!({"failures": 1, "openFor": "100ms"});
    let probing = json!({"circuit": circuit, "retry": {"every": "10ms"}});
    let pipelines = [
        exporting("one", &destination, "1h"),
        declared("two", &destination, probing),
    ];
    let runtime = with(&pipelines).start().await.unwrap();
    send(&runtime, "one", "waits").await;
    destination.until(|received| received.len() == 1).await;
    send(&runtime, "two", "probes").await;
    destination.until(|received| received.len() >= 3).await;
    destination.react(Reaction::status(200));
    until("the record that waits", async || {
        let bodies = destination.bodies();
        let attempts = bodies.iter().filter(|body| *body == "waits").count();
        (attempts == 2).then_some(())
    })
    .await;
    runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_policy_applies_to_waiting_records_from_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let start = async |data: &Path, every| {
        let pipelines = [exporting("one", &destination, every)];
        with(&pipelines).data(data).start().await.unwrap()
    };
    let runtime = start(folder.path(), "1h").await;
    send(&runtime, "one", "waits").await;
    destination.until(|received| received.len() == 1).await;
    runtime.shutdown().await;
    destination.react(Reaction::status(200));

    let runtime = start(folder.path(), "10ms").await;
    destination.until(|received| received.len() == 2).await;
    runtime.shutdown().await;
    assert_eq!(destination.bodies(), ["waits", "waits"]);
}
