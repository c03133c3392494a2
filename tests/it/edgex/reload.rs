//! Live changes: the files of a running service are watched, and applied as a whole or not at all.

use std::fs;

use serde_json::Value;

use super::{Service, text};
use crate::mqtt::broker::Broker;
use crate::pipelines::edgex::event;
use crate::support::destination::{Destination, Reaction};
use crate::support::until::until;

const TRIGGER: &str = "/api/v3/trigger";

fn settings(order: &str, url: &str, interval: &str) -> String {
    format!(
        r#"
Trigger: {{Type: http}}
Writable:
  StoreAndForward: {{Enabled: true, RetryInterval: {interval}, MaxRetryCount: 0}}
  Pipeline:
    TargetType: raw
    ExecutionOrder: "{order}"
    Functions:
      FilterByDeviceName: {{Parameters: {{DeviceNames: D}}}}
      CompressGzip: {{Parameters: {{Algorithm: gzip}}}}
      SetResponseData: {{Parameters: {{ResponseContentType: text/plain}}}}
      HTTPExport: {{Parameters: {{Method: post, Url: "{url}", MimeType: text/plain, PersistOnError: "true"}}}}
"#
    )
}

impl Service {
    fn rewrite(&self, configuration: &str) {
        let path = self.path("res/test/configuration.yaml");
        let beside = self.path("configuration.new");
        fs::write(&beside, configuration).unwrap();
        fs::rename(beside, path).unwrap();
    }

    /// Waits until a setting has this value in the configuration that is in effect.
    async fn has(&self, pointer: &str, value: &str) {
        until(&format!("`{value}` at {pointer}"), async || {
            let answer = self.get("/api/v3/config").await;
            let shown: Value = serde_json::from_slice(&answer.body).unwrap();
            (shown["config"].pointer(pointer)? == value).then_some(())
        })
        .await;
    }
}

const ORDER: &str = "/Writable/Pipeline/ExecutionOrder";

#[tokio::test]
async fn r_26_a_changed_order_is_in_effect_without_a_restart_and_a_faulty_one_changes_nothing() {
    let service = Service::start(&settings("SetResponseData", "http://127.0.0.1:9/", "1h"));
    let answer = service.post(TRIGGER, &[], "hey").await;
    assert_eq!(text(&answer), "hey");

    service.rewrite(&settings(
        "CompressGzip, SetResponseData",
        "http://127.0.0.1:9/",
        "1h",
    ));
    service.has(ORDER, "CompressGzip, SetResponseData").await;
    let answer = service.post(TRIGGER, &[], "hey").await;
    assert!(text(&answer).starts_with("H4sI"), "{}", text(&answer));

    // R-07: refused as a whole, and a correct one after it is applied.
    service.rewrite(&settings("Bogus", "http://127.0.0.1:9/", "1h"));
    service.rewrite(&settings(
        "Bogus, SetResponseData",
        "http://127.0.0.1:9/",
        "1h",
    ));
    let answer = service.post(TRIGGER, &[], "hey").await;
    assert!(text(&answer).starts_with("H4sI"), "{}", text(&answer));
    service.rewrite(&settings(" SetResponseData", "http://127.0.0.1:9/", "1h"));
    service.has(ORDER, " SetResponseData").await;
    let answer = service.post(TRIGGER, &[], "hey").await;
    assert_eq!(text(&answer), "hey");
}

#[tokio::test]
async fn a_changed_interval_is_that_of_records_that_wait_already() {
    let mut destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let url = destination.url("/");
    let service = Service::start(&settings("HTTPExport", &url, "1h"));
    let kept = service.post(TRIGGER, &[], "data").await;
    assert_eq!(kept.status.as_u16(), 202, "{}", text(&kept));
    destination.forget();
    destination.react(Reaction::status(200));
    service.rewrite(&settings("HTTPExport", &url, "1s"));
    destination.until(|received| received.len() == 1).await;
    assert_eq!(destination.bodies(), ["data"]);
    destination.go_down().await;
}

#[tokio::test]
async fn records_of_an_export_that_is_gone_wait_and_go_on_when_it_is_back() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let url = destination.url("/");
    let service = Service::start(&settings("HTTPExport", &url, "1h"));
    let kept = service.post(TRIGGER, &[], "data").await;
    assert_eq!(kept.status.as_u16(), 202, "{}", text(&kept));
    service.rewrite(&settings("SetResponseData", &url, "1h"));
    service.has(ORDER, "SetResponseData").await;
    let answer = service.post(TRIGGER, &[], "hey").await;
    assert_eq!(text(&answer), "hey");
    destination.react(Reaction::status(200));
    destination.forget();
    service.rewrite(&settings("HTTPExport", &url, "1s"));
    destination.until(|received| received.len() == 1).await;
    assert_eq!(destination.bodies(), ["data"]);
}

#[tokio::test]
async fn r_26_pipelines_for_topics_are_added_while_the_service_runs() {
    let Some(broker) = Broker::start("edgex: pipelines are added").await else {
        return;
    };
    let destination = Destination::start().await;
    let settings = |more: &str| {
        format!(
            r#"
MessageBus: {{Host: 127.0.0.1, Port: {}, Optional: {{Qos: 1}}}}
Trigger: {{SubscribeTopics: 'events/#'}}
Writable:
  Pipeline:
    ExecutionOrder: TransformXml
    {more}
    Functions:
      TransformXml: {{Parameters: {{Type: xml}}}}
      HTTPExport: {{Parameters: {{Method: post, Url: "{}", MimeType: ""}}}}
"#,
            broker.port,
            destination.url("/{pipelineid}")
        )
    };
    let service = Service::start(&settings(""));
    broker.logs("SUBACK to app-test", 1).await;
    service.rewrite(&settings(
        "PerTopicPipelines: {one: {Id: added, Topics: 'events/x', ExecutionOrder: 'TransformXml, HTTPExport'}}",
    ));
    service
        .has("/Writable/Pipeline/PerTopicPipelines/one/Id", "added")
        .await;
    let payload = serde_json::json!({"correlationID": "c", "contentType": "application/json", "payload": event()});
    broker.publish("edgex/events/x", 1, &[&payload.to_string()]);
    destination.until(|received| received.len() == 1).await;
    assert!(destination.received()[0].head.starts_with("POST /added "));
}
