//! The triggers that subscribe at a broker: EdgeX's message bus and an external one, on a real mosquitto.

use serde_json::{Value, json};

use super::Service;
use crate::mqtt::broker::Broker;
use crate::pipelines::edgex::event;
use crate::support::destination::{Destination, Reaction};

const PIPELINE: &str = r#"
Writable:
  StoreAndForward: {Enabled: true, RetryInterval: 1s}
  Pipeline:
    ExecutionOrder: "{ORDER}"
    PerTopicPipelines:
      floats: {Id: floats, Topics: "events/device/+/P/#", ExecutionOrder: "TransformJson, SetResponseData, HTTPExport"}
    Functions:
      FilterByDeviceName: {Parameters: {DeviceNames: "^D$"}}
      TransformXml: {Parameters: {Type: xml}}
      TransformJson: {Parameters: {Type: json}}
      SetResponseData: {Parameters: {ResponseContentType: ""}}
      HTTPExport: {Parameters: {Method: post, Url: "{URL}/{pipelineid}", MimeType: "", PersistOnError: "true", ReturnInputData: "true"}}
"#;

/// A service at the message bus.
fn on_the_bus(broker: &Broker, destination: &Destination, order: &str) -> Service {
    Service::start(&settings_on_the_bus(broker, destination, order))
}

fn settings_on_the_bus(broker: &Broker, destination: &Destination, order: &str) -> String {
    let pipeline = PIPELINE.replace("{URL}", &destination.url(""));
    format!(
        "
MessageBus: {{Host: 127.0.0.1, Port: {}, Optional: {{Qos: 1}}}}
Trigger: {{SubscribeTopics: 'events/#', PublishTopic: 'out/{{devicename}}'}}
{}",
        broker.port,
        pipeline.replace("{ORDER}", order)
    )
}

fn envelope(payload: &Value) -> String {
    json!({
        "apiVersion": "v3", "correlationID": "123-234-345-456", "requestID": "", "errorCode": 0,
        "contentType": "application/json", "payload": payload,
    })
    .to_string()
}

/// Topic and document of a publication.
fn parts(line: &str) -> (&str, Value) {
    let (topic, payload) = line.split_once(' ').unwrap();
    (topic, serde_json::from_str(payload).unwrap())
}

#[tokio::test]
async fn pl_04_envelopes_are_opened_and_responses_go_to_the_topic_of_their_record_with_its_correlation_id()
 {
    let Some(broker) = Broker::start("edgex: the message bus").await else {
        return;
    };
    let destination = Destination::start().await;
    broker.make_session("out", "edgex/out/#", 1);
    let mut service = on_the_bus(
        &broker,
        &destination,
        "FilterByDeviceName, TransformXml, SetResponseData",
    );
    broker.logs("SUBACK to app-test", 1).await;
    broker.publish("edgex/events/x", 1, &[&envelope(&event())]);
    let taken = broker.take("out", "edgex/out/#", 1);
    let (topic, response) = parts(&taken[0]);
    assert_eq!(topic, "edgex/out/D");
    assert_eq!(response["correlationID"], "123-234-345-456");
    assert_eq!(response["contentType"], "application/xml");
    let payload = response["payload"].as_str().unwrap();
    use base64::Engine as _;
    let xml = base64::engine::general_purpose::STANDARD
        .decode(payload)
        .unwrap();
    assert!(xml.starts_with(b"<Event><ApiVersion>v3"));
    assert!(
        destination.received().is_empty(),
        "the topic is another one"
    );
    assert_eq!(service.process.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pl_28_a_response_set_after_an_export_is_published_when_a_retry_succeeds_over_a_crash() {
    let Some(broker) = Broker::start("edgex: responses of retries").await else {
        return;
    };
    let mut destination = Destination::start().await;
    destination.react(Reaction::status(503));
    broker.make_session("out", "edgex/out/#", 1);
    let mut service = on_the_bus(
        &broker,
        &destination,
        "TransformXml, HTTPExport, SetResponseData",
    );
    broker.logs("SUBACK to app-test", 1).await;
    broker.publish("edgex/events/device/one/P/D/S", 1, &[&envelope(&event())]);
    destination.until(|received| received.len() >= 2).await;
    service.process.kill();
    destination.go_down().await;
    destination.react(Reaction::status(200));
    destination.come_up().await;
    service.restart();
    let taken = broker.take("out", "edgex/out/#", 2);
    let mut types: Vec<_> = taken
        .iter()
        .map(|line| parts(line).1["contentType"].clone())
        .collect();
    types.sort_by_key(ToString::to_string);
    assert_eq!(types, [json!("application/json"), json!("application/xml")]);
    let heads: Vec<_> = destination
        .received()
        .iter()
        .map(|request| request.head.clone())
        .collect();
    let has = |pipeline: &str| {
        heads
            .iter()
            .any(|head| head.starts_with(&format!("POST /{pipeline} ")))
    };
    assert!(has("default-pipeline") && has("floats"), "{heads:?}");
}

#[tokio::test]
async fn an_external_broker_gives_bare_payloads_and_gets_bare_responses() {
    let Some(broker) = Broker::start("edgex: an external broker").await else {
        return;
    };
    let destination = Destination::start().await;
    broker.make_session("out", "answers/#", 1);
    let pipeline = PIPELINE
        .replace("{URL}", &destination.url(""))
        .replace("{ORDER}", "TransformJson, SetResponseData");
    let _service = Service::start(&format!(
        "
Trigger:
  Type: external-mqtt
  SubscribeTopics: 'plant/#, events/#'
  PublishTopic: 'answers/{{receivedtopic}}'
  ExternalMqtt: {{Url: 'tcp://127.0.0.1:{}', ClientId: outside, QoS: 1}}
{pipeline}",
        broker.port
    ));
    broker.logs("SUBACK to outside", 1).await;
    broker.publish("plant/7", 1, &[&event().to_string()]);
    let taken = broker.take("out", "answers/#", 1);
    let (topic, response) = parts(&taken[0]);
    assert_eq!(topic, "answers/plant/7");
    assert_eq!(response, event()["event"]);
    assert!(destination.received().is_empty());
    broker.publish("events/device/one/P/D/S", 1, &[&event().to_string()]);
    destination.until(|received| received.len() == 1).await;
}

#[tokio::test]
async fn envelopes_in_cbor_come_in_and_go_out() {
    let Some(broker) = Broker::start("edgex: envelopes in CBOR").await else {
        return;
    };
    let cbor = |document: &ciborium::Value| {
        let mut bytes = Vec::new();
        ciborium::into_writer(document, &mut bytes).unwrap();
        bytes
    };
    let destination = Destination::start().await;
    broker.make_session("out", "edgex/out/#", 1);
    let settings = settings_on_the_bus(&broker, &destination, "TransformXml, SetResponseData");
    let _service = Service::start_with(&settings, &[("EDGEX_MSG_CBOR_ENCODE", "true")]);
    broker.logs("SUBACK to app-test", 1).await;
    let text = |text: &str| ciborium::Value::Text(text.to_owned());
    // The payload as EdgeX writes it: the bytes of a document in CBOR.
    let payload = cbor(&ciborium::Value::serialized(&event()).unwrap());
    let envelope = ciborium::Value::Map(vec![
        (text("apiVersion"), text("v3")),
        (text("correlationID"), text("123-234-345-456")),
        (text("contentType"), text("application/cbor")),
        (text("payload"), ciborium::Value::Bytes(payload)),
    ]);
    broker.publish_bytes("edgex/events/x", 1, &cbor(&envelope));
    let (topic, bytes) = broker.take_bytes("out", "edgex/out/#");
    assert_eq!(topic, "edgex/out/D");
    let response: ciborium::Value = ciborium::from_reader(&bytes[..]).unwrap();
    let entries = response.as_map().unwrap();
    let get = |name: &str| {
        let mut entries = entries.iter();
        let found = entries.find(|(key, _)| key.as_text() == Some(name));
        found.unwrap().1.clone()
    };
    assert_eq!(get("correlationID").as_text(), Some("123-234-345-456"));
    assert_eq!(get("contentType").as_text(), Some("application/xml"));
    let xml = get("payload");
    let xml = xml.as_bytes().unwrap();
    assert!(xml.starts_with(b"<Event><ApiVersion>v3"));
}

#[tokio::test]
async fn metrics_that_are_switched_on_are_published_under_edgex_names() {
    let Some(broker) = Broker::start("edgex: telemetry").await else {
        return;
    };
    let destination = Destination::start().await;
    broker.make_session("counts", "edgex/telemetry/app-test/MessagesReceived", 1);
    let times = "edgex/telemetry/app-test/PipelineMessageProcessingTime-default-pipeline";
    broker.make_session("times", times, 1);
    let settings = settings_on_the_bus(&broker, &destination, "TransformXml");
    let telemetry = "Writable:
  Telemetry:
    Interval: 1s
    Metrics: {MessagesReceived: true, PipelineMessageProcessing: true}
    Tags: {site: north}";
    let _service = Service::start(&settings.replace("Writable:", telemetry));
    broker.logs("SUBACK to app-test", 1).await;
    broker.publish("edgex/events/x", 1, &[&envelope(&event())]);
    loop {
        let taken = broker.take("counts", "edgex/telemetry/app-test/MessagesReceived", 1);
        let (_, envelope) = parts(&taken[0]);
        assert_eq!(envelope["contentType"], "application/json");
        let metric = &envelope["payload"];
        assert_eq!(metric["name"], "MessagesReceived");
        let tags =
            json!([{"name": "service", "value": "app-test"}, {"name": "site", "value": "north"}]);
        assert_eq!(metric["tags"], tags);
        if metric["fields"] == json!([{"name": "counter-count", "value": 1}]) {
            break;
        }
    }
    let taken = broker.take("times", times, 1);
    let (_, envelope) = parts(&taken[0]);
    let fields = envelope["payload"]["fields"].as_array().unwrap();
    let names: Vec<_> = fields
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "timer-count",
            "timer-min",
            "timer-max",
            "timer-mean",
            "timer-stddev",
            "timer-variance"
        ]
    );
    let metrics = _service.get("/metrics").await;
    let metrics = super::text(&metrics);
    for line in [
        r#"statefun_pipeline_messages_total{pipeline="default-pipeline"} 1"#,
        r#"statefun_pipeline_processed_total{pipeline="default-pipeline"} 1"#,
        r#"statefun_pipeline_invalid_messages_total{pipeline="default-pipeline",reason="decode"} 0"#,
        r#"statefun_pipeline_seconds_count{pipeline="default-pipeline"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
