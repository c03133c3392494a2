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
