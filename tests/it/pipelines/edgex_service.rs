//! An EdgeX pipeline section run by the binary: called by HTTP, exported by HTTP, with topics.

use std::fs;
use std::time::Duration;

use ::http::HeaderValue;
use serde_json::{Value, json};
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpRequest, HttpResponse,
};

use super::edgex::event;
use crate::support::destination::Destination;
use crate::support::process::Process;

const MODULE: &str = r#"
kind: statefun.http.v1/ingress
spec: {listen: "127.0.0.1:0"}
---
kind: statefun.pipelines.v1/pipeline
spec:
  name: floats
  edgex:
    TargetType: event
    ExecutionOrder: "FilterByDeviceName, AddTags, TransformXml, SetResponseData, HTTPExport"
    PerTopicPipelines:
      any: {Id: json, Topics: "edgex/+/D, other", ExecutionOrder: "TransformJson, HTTPExport2"}
    Functions:
      FilterByDeviceName: {Parameters: {DeviceNames: "^D$", FilterOut: "false"}}
      AddTags: {Parameters: {Tags: "site:north"}}
      TransformXml: {Parameters: {Type: xml}}
      TransformJson: {Parameters: {Type: json}}
      SetResponseData: {Parameters: {ResponseContentType: ""}}
      HTTPExport: {Parameters: {Method: post, Url: "{URL}/xml/{devicename}", MimeType: application/xml, PersistOnError: "true"}}
      HTTPExport2: {Parameters: {Method: put, Url: "{URL}/json/{pipelineid}", MimeType: ""}}
"#;

async fn call(ingress: &str, payload: &Value) -> HttpResponse {
    let url = format!("{ingress}/call/pipelines/floats/any");
    let mut request = HttpRequest::post(url.parse().unwrap(), payload.to_string());
    let json = HeaderValue::from_static("application/json");
    request.headers.insert("content-type", json);
    let http = HttpClient::new(HttpClientConfig::default()).unwrap();
    http.send(request, Duration::from_secs(60)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pl_29_a_caller_gets_the_transformed_event_nothing_or_the_reason_of_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start().await;
    let file = folder.path().join("module.yaml");
    fs::write(&file, MODULE.replace("{URL}", &destination.url(""))).unwrap();
    let mut runtime = Process::run(&file, &folder.path().join("data"));
    let ingress = runtime.url("http ingress");

    let matched = call(&ingress, &event()).await;
    assert_eq!(matched.status.as_u16(), 200);
    assert_eq!(matched.headers["content-type"], "application/xml");
    assert!(matched.body.starts_with(b"<Event><ApiVersion>v3"));
    let received = destination.received();
    assert_eq!(
        received.len(),
        1,
        "no topic, so the other pipeline got nothing"
    );
    assert!(received[0].head.starts_with("POST /xml/D "));
    assert_eq!(received[0].body, matched.body);
    assert_eq!(received[0].header("content-type"), Some("application/xml"));

    let mut other = event();
    other["event"]["deviceName"] = json!("E");
    let stopped = call(&ingress, &other).await;
    assert_eq!((stopped.status.as_u16(), stopped.body.len()), (200, 0));

    other["event"]["deviceName"] = json!("");
    let refused = call(&ingress, &other).await;
    assert_eq!(refused.status.as_u16(), 400);
    let reason: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(reason["code"], "pipeline.refused");
    assert_eq!(destination.received().len(), 1);
    assert_eq!(runtime.terminate(), Some(0));
}
