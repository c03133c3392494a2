//! The trigger `http`: what a caller is answered.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::{GzDecoder, ZlibDecoder};
use serde_json::{Value, json};

use super::{Service, text};
use crate::pipelines::edgex::event;
use crate::support::destination::{Destination, Reaction};

const JSON: (&str, &str) = ("content-type", "application/json");
const TRIGGER: &str = "/api/v3/trigger";

/// A service with this order of functions.
fn service(target: &str, order: &str, more: &str) -> Service {
    Service::start(&format!(
        r#"
Trigger: {{Type: http}}
{more}
Writable:
  StoreAndForward: {{Enabled: true, RetryInterval: 1h, MaxRetryCount: 10}}
  InsecureSecrets:
    key: {{SecretName: aes, SecretData: {{key: "{key}"}}}}
  Pipeline:
    TargetType: {target}
    ExecutionOrder: "{order}"
    Functions:
      FilterByDeviceName: {{Parameters: {{DeviceNames: "^E$"}}}}
      TransformXml: {{Parameters: {{Type: xml}}}}
      TransformJson: {{Parameters: {{Type: json}}}}
      CompressGzip: {{Parameters: {{Algorithm: gzip}}}}
      CompressZlib: {{Parameters: {{Algorithm: zlib}}}}
      Encrypt: {{Parameters: {{Algorithm: aes256, SecretName: aes, SecretValueKey: key}}}}
      SetResponseData: {{Parameters: {{ResponseContentType: ""}}}}
      HTTPExport: {{Parameters: {{Method: post, Url: "http://127.0.0.1:9/", MimeType: "", PersistOnError: "true"}}}}
      HTTPExportOnce: {{Parameters: {{Method: post, Url: "http://127.0.0.1:9/", MimeType: ""}}}}
"#,
        key = (0..64)
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    ))
}

#[tokio::test]
async fn pl_29_a_filter_without_match_is_200_without_a_body() {
    let service = service(
        "event",
        "FilterByDeviceName, TransformXml, SetResponseData",
        "",
    );
    let answer = service.post(TRIGGER, &[JSON], &event().to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert!(!answer.headers.contains_key("content-type"));
    let mut matching = event();
    matching["event"]["deviceName"] = json!("E");
    let answer = service.post(TRIGGER, &[JSON], &matching.to_string()).await;
    assert_eq!(answer.headers["content-type"], "application/xml");
    assert!(
        text(&answer).starts_with("<Event><ApiVersion>v3"),
        "{}",
        text(&answer)
    );
}

#[tokio::test]
async fn pl_29_compressed_data_decodes_to_the_event() {
    for (order, is_gzip) in [
        ("TransformJson, CompressGzip, SetResponseData", true),
        ("TransformJson, CompressZlib, SetResponseData", false),
    ] {
        let service = service("event", order, "");
        let answer = service.post(TRIGGER, &[JSON], &event().to_string()).await;
        assert_eq!(answer.headers["content-type"], "text/plain");
        let bytes = STANDARD.decode(&answer.body).unwrap();
        let mut json = String::new();
        match is_gzip {
            true => GzDecoder::new(&bytes[..]).read_to_string(&mut json),
            false => ZlibDecoder::new(&bytes[..]).read_to_string(&mut json),
        }
        .unwrap();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json, event()["event"]);
    }
}

#[tokio::test]
async fn pl_29_encrypted_data_has_a_vector_whole_blocks_and_a_tag() {
    let service = service("event", "TransformJson, Encrypt, SetResponseData", "");
    let answer = service.post(TRIGGER, &[JSON], &event().to_string()).await;
    assert_eq!(answer.headers["content-type"], "text/plain");
    let bytes = STANDARD.decode(&answer.body).unwrap();
    assert_eq!((bytes.len() - 16 - 32) % 16, 0);
}

#[tokio::test]
async fn pl_29_an_invalid_event_is_400_and_a_filter_of_events_on_raw_data_422() {
    let events = service("event", "TransformXml, SetResponseData", "");
    for wrong in ["{}", "text", r#"{"event": {}}"#] {
        let answer = events.post(TRIGGER, &[JSON], wrong).await;
        assert_eq!(answer.status.as_u16(), 400, "{wrong}");
        assert!(
            text(&answer).starts_with("the payload is not"),
            "{}",
            text(&answer)
        );
    }
    let raw = service("raw", "FilterByDeviceName", "");
    let answer = raw.post(TRIGGER, &[JSON], &event().to_string()).await;
    assert_eq!(answer.status.as_u16(), 422);
    assert!(
        text(&answer).contains("type received is not an Event"),
        "{}",
        text(&answer)
    );
}

#[tokio::test]
async fn pl_03_without_functions_every_request_is_500_and_says_why() {
    let service = Service::start(
        "
Trigger: {Type: http}
Writable:
  Pipeline:
    ExecutionOrder: ''
    PerTopicPipelines:
      one: {Id: one, Topics: x, ExecutionOrder: TransformXml}
    Functions:
      TransformXml: {Parameters: {Type: xml}}
",
    );
    let answer = service.post(TRIGGER, &[JSON], &event().to_string()).await;
    assert_eq!(answer.status.as_u16(), 500);
    assert!(
        text(&answer).contains("ExecutionOrder"),
        "{}",
        text(&answer)
    );
}

#[tokio::test]
async fn r_05_data_that_is_kept_for_another_attempt_is_202_with_the_id_of_its_delivery() {
    let mut destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let more = "Service: {RequestTimeout: 50s}";
    let mut service = service("event", "TransformXml, HTTPExport", more);
    let path = service.path("res/test/configuration.yaml");
    let file = std::fs::read_to_string(&path).unwrap();
    let file = file.replace("http://127.0.0.1:9/", &destination.url("/"));
    std::fs::write(
        &path,
        file.replace("RetryInterval: 1h", "RetryInterval: 1s"),
    )
    .unwrap();
    assert_eq!(service.process.terminate(), Some(0));
    service.restart();
    let answer = service.post(TRIGGER, &[JSON], &event().to_string()).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", text(&answer));
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&told["apiVersion"], &told["statusCode"]),
        (&json!("v3"), &json!(202))
    );
    assert_eq!(told["id"].as_str().unwrap().len(), 36, "{told}");
    // It is sent again, also after a crash.
    service.process.kill();
    destination.go_down().await;
    destination.react(Reaction::status(200));
    destination.come_up().await;
    let before = destination.received().len();
    service.restart();
    destination.until(|received| received.len() > before).await;
}

#[tokio::test]
async fn r_05_the_status_of_stored_data_is_422_on_demand_as_in_edgex() {
    let more = "";
    let mut service = service("event", "TransformXml, HTTPExport", more);
    let path = service.path("res/test/configuration.yaml");
    let file = std::fs::read_to_string(&path).unwrap();
    let file = file.replace("{Type: http}", "{Type: http, StoredStatus: 422}");
    std::fs::write(&path, file).unwrap();
    assert_eq!(service.process.terminate(), Some(0));
    service.restart();
    let answer = service.post(TRIGGER, &[JSON], &event().to_string()).await;
    assert_eq!(answer.status.as_u16(), 422);
    assert!(text(&answer).contains("it is stored"), "{}", text(&answer));
}

#[tokio::test]
async fn data_that_is_dropped_because_store_and_forward_is_off_is_422_with_the_error() {
    let mut service = service("event", "TransformXml, HTTPExport", "");
    let path = service.path("res/test/configuration.yaml");
    let file = std::fs::read_to_string(&path).unwrap();
    let file = file.replace(
        "StoreAndForward: {Enabled: true",
        "StoreAndForward: {Enabled: false",
    );
    std::fs::write(&path, file).unwrap();
    assert_eq!(service.process.terminate(), Some(0));
    service.restart();
    let answer = service.post(TRIGGER, &[JSON], &event().to_string()).await;
    assert_eq!(answer.status.as_u16(), 422);
    assert!(!text(&answer).contains("stored"), "{}", text(&answer));
}

#[tokio::test]
async fn data_that_cannot_be_sent_and_is_not_kept_is_422_with_the_error() {
    let service = service("event", "TransformXml, HTTPExportOnce", "");
    let answer = service.post(TRIGGER, &[JSON], &event().to_string()).await;
    assert_eq!(answer.status.as_u16(), 422);
    assert!(text(&answer).contains("127.0.0.1:9"), "{}", text(&answer));
}

#[tokio::test]
async fn a_pipeline_that_takes_longer_than_the_request_timeout_is_503_and_goes_on() {
    let destination = Destination::start().await;
    destination.react(Reaction::Hang);
    let mut service = service(
        "event",
        "TransformXml, HTTPExport",
        "Service: {RequestTimeout: 300ms}",
    );
    let path = service.path("res/test/configuration.yaml");
    let file = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        file.replace("http://127.0.0.1:9/", &destination.url("/")),
    )
    .unwrap();
    assert_eq!(service.process.terminate(), Some(0));
    service.restart();
    let answer = service.post(TRIGGER, &[JSON], &event().to_string()).await;
    assert_eq!(
        (answer.status.as_u16(), text(&answer)),
        (503, "Request timed out\n")
    );
    destination.until(|received| received.len() == 1).await;
}

#[tokio::test]
async fn a_larger_request_than_the_limit_is_413() {
    let service = service("raw", "SetResponseData", "Service: {MaxRequestSize: 10}");
    let answer = service.post(TRIGGER, &[], "0123456789").await;
    assert_eq!((answer.status.as_u16(), text(&answer)), (200, "0123456789"));
    let answer = service.post(TRIGGER, &[], "0123456789a").await;
    assert_eq!(answer.status.as_u16(), 413);
}

#[tokio::test]
async fn the_correlation_id_of_a_request_is_that_of_its_answer_and_a_new_one_without() {
    let service = service("raw", "SetResponseData", "");
    let given = [("x-correlation-id", "123-234-345-456")];
    let answer = service.post(TRIGGER, &given, "x").await;
    assert_eq!(answer.headers["x-correlation-id"], "123-234-345-456");
    let answer = service.post(TRIGGER, &[], "x").await;
    assert_eq!(answer.headers["x-correlation-id"].len(), 36);
}

#[tokio::test]
async fn routes_of_earlier_versions_take_data_on_demand() {
    let service = service("raw", "SetResponseData", "Service: {LegacyRoutes: true}");
    for path in ["/api/v1/trigger", "/api/v2/trigger", "/trigger/", TRIGGER] {
        let answer = service.post(path, &[], "x").await;
        assert_eq!(
            (answer.status.as_u16(), text(&answer)),
            (200, "x"),
            "{path}"
        );
        assert_eq!(service.get(path).await.status.as_u16(), 405);
    }
}
