//! Kind: something is dropped silently. A type other than JSON or text was 415 at a pipeline's ingress, and with `statefun-type` its content type
//! was lost: the destination got `application/octet-stream`.

use crate::runtime::Started;
use crate::support::destination::Destination;

#[tokio::test]
async fn a_pipeline_takes_any_content_type_and_carries_it_with_the_bytes() {
    let destination = Destination::start().await;
    let module = format!(
        "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.pipelines.v1/pipeline
spec:
  name: plain
  stages: [{{http-export: {{url: '{}'}}}}]
",
        destination.url("/")
    );
    let started = Started::ephemeral(&module).await;
    const TYPE: &str = "statefun-type";
    for (n, (headers, expected)) in [
        (vec![("content-type", "image/png")], "image/png"),
        (
            vec![
                ("content-type", "application/x-protobuf"),
                (TYPE, "shop/order"),
            ],
            "application/x-protobuf",
        ),
        (
            vec![("content-type", "application/cloudevents+json")],
            "application/cloudevents+json",
        ),
        (
            vec![("content-type", "text/csv; header=present")],
            "text/csv; header=present",
        ),
        (
            vec![("content-type", "application/json")],
            "application/json",
        ),
        (vec![], "text/plain; charset=utf-8"),
        (vec![(TYPE, "shop/order")], "application/octet-stream"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = started
            .post("/send/pipelines/plain/x", &headers, "{}")
            .await;
        assert_eq!(answer.status, 202, "{headers:?}");
        destination.until(|received| received.len() == n + 1).await;
        let received = destination.received();
        assert_eq!(
            received[n].header("content-type"),
            Some(expected),
            "{headers:?}"
        );
        assert_eq!(received[n].text(), "{}");
    }
}

#[tokio::test]
async fn a_repeat_with_another_content_type_is_another_message() {
    let destination = Destination::start().await;
    let module = format!(
        "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.pipelines.v1/pipeline
spec: {{name: plain, stages: [{{http-export: {{url: '{}'}}}}]}}
",
        destination.url("/")
    );
    let started = Started::ephemeral(&module).await;
    let send = async |content_type| {
        let headers = [("content-type", content_type), ("idempotency-key", "k")];
        started
            .post("/send/pipelines/plain/x", &headers, "x")
            .await
            .status
            .as_u16()
    };
    assert_eq!(send("image/png").await, 202);
    assert_eq!(send("image/png").await, 202);
    assert_eq!(send("image/gif").await, 422);
}

/// The trace ended at the pipeline's door.
#[tokio::test]
async fn the_trace_of_a_request_continues_at_the_destination_and_a_repeat_may_have_another() {
    let destination = Destination::start().await;
    let module = format!(
        "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.pipelines.v1/pipeline
spec: {{name: plain, stages: [{{set: {{b: 1}}}}, {{http-export: {{url: '{}'}}}}]}}
",
        destination.url("/")
    );
    let started = Started::ephemeral(&module).await;
    let send = async |content_type, trace, body| {
        let headers = [
            ("content-type", content_type),
            ("idempotency-key", content_type),
            ("traceparent", trace),
            ("tracestate", "a=1"),
        ];
        let path = "/send/pipelines/plain/x";
        started.post(path, &headers, body).await.status.as_u16()
    };
    for (n, content_type) in ["application/json", "application/cloudevents+json"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(send(content_type, "00-one", "{}").await, 202);
        destination.until(|received| received.len() == n + 1).await;
        let received = destination.received();
        assert_eq!(received[n].header("traceparent"), Some("00-one"));
        assert_eq!(received[n].header("tracestate"), Some("a=1"));
        assert_eq!(received[n].header("content-type"), Some(content_type));
        assert_eq!(received[n].text(), r#"{"b":1}"#);
        assert_eq!(send(content_type, "00-two", "{}").await, 202);
    }
    assert_eq!(destination.received().len(), 2);
    assert_eq!(send("application/json", "00-three", "").await, 400);
}
