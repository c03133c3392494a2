//! The handler as a Lambda function, in its own process that polls a Lambda Runtime API.

use http_body_util::{BodyExt, Full};
use serde_json::json;
use stateful_functions::StatefulFunctions;
use stateful_functions::transport::http::HandlerService;
use stateful_functions::transport::lambda;

use crate::support::another_self;
use crate::support::functions::{call, call_without_values, effects, functions};
use crate::support::lambda_api::{Lambda, decoded, event, with_body};

#[expect(
    dead_code,
    reason = "main reads the environment of a Lambda function; the test does the same elsewhere"
)]
#[path = "../../examples/lambda.rs"]
mod example;

/// Not a test: the process of a function, as the tests here start it.
#[test]
#[ignore = "started by other tests"]
fn process_of_the_test_functions() {
    serve(functions());
}

/// The same with the functions of the example.
#[test]
#[ignore = "started by other tests"]
fn process_of_the_example() {
    serve(example::functions().unwrap());
}

fn serve(functions: StatefulFunctions) {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(lambda::run(functions)).unwrap();
    }
}

async fn start(concurrency: usize) -> Lambda {
    Lambda::start(
        another_self("lambda::process_of_the_test_functions"),
        concurrency,
    )
    .await
}

#[tokio::test]
async fn calls_from_every_kind_of_event_are_answered() {
    let lambda = start(1).await;
    for (name, description, cookies) in [
        ("rest_api", None, None),
        ("http_api", None, Some(json!([]))),
        ("http_api_format_1", None, None),
        ("function_url", None, Some(json!([]))),
        ("load_balancer", Some(json!("200 OK")), None),
    ] {
        let response = lambda.invoke(&event(name)).await.unwrap();
        assert_eq!(response["statusCode"], 200, "{name}");
        assert_eq!(
            response["headers"],
            json!({"content-type": "application/octet-stream"}),
            "{name}"
        );
        assert_eq!(effects(&decoded(&response)), 1, "{name}");
        assert_eq!(
            response.get("statusDescription"),
            description.as_ref(),
            "{name}"
        );
        assert_eq!(response.get("cookies"), cookies.as_ref(), "{name}");
    }
    let response = lambda
        .invoke(&event("load_balancer_multi_value"))
        .await
        .unwrap();
    assert_eq!(
        response["multiValueHeaders"],
        json!({"content-type": ["application/octet-stream"]})
    );
    assert_eq!(response.get("headers"), None);
    assert_eq!(effects(&decoded(&response)), 1);
}

#[tokio::test]
async fn health_is_answered_without_a_function() {
    let lambda = start(1).await;
    for name in ["rest_api_health", "http_api_health", "load_balancer_health"] {
        let response = lambda.invoke(&event(name)).await.unwrap();
        assert_eq!(
            (&response["statusCode"], &response["body"]),
            (&json!(200), &json!("ok")),
            "{name}"
        );
        assert_eq!(response["isBase64Encoded"], false, "{name}");
    }
}

#[tokio::test]
async fn faulty_events_have_a_status_and_a_line() {
    let lambda = start(1).await;
    let foreign = "the content-type of a request is application/octet-stream, or absent";
    let mut compressed = event("function_url");
    compressed["headers"]["content-encoding"] = "gzip".into();
    let mut not_base64 = event("http_api");
    not_base64["body"] = "?".into();
    for (event, status, text) in [
        (
            event("function_url_get"),
            405,
            "functions are called with POST",
        ),
        (event("function_url_json"), 415, foreign),
        (
            compressed,
            415,
            "the content-encoding of the request is not supported",
        ),
        (not_base64, 400, "the body of the event is not base64: "),
        (
            event("rest_api_without_binary_type"),
            400,
            "request body is not a ToFunction message",
        ),
        (
            with_body(event("rest_api"), &call("swollen")),
            500,
            "Lambda allows at most 4500000",
        ),
        (
            with_body(event("load_balancer"), &call("broken")),
            500,
            "first line second line",
        ),
    ] {
        let response = lambda.invoke(&event).await.unwrap();
        assert_eq!(response["statusCode"], status, "{response}");
        assert_eq!(response["isBase64Encoded"], false, "{response}");
        assert!(
            response["body"].as_str().unwrap().contains(text),
            "{response}"
        );
        assert_eq!(
            response["headers"]["content-type"],
            "text/plain; charset=utf-8"
        );
    }
    let get = lambda.invoke(&event("function_url_get")).await.unwrap();
    assert_eq!(get["headers"]["allow"], "POST");
}

#[tokio::test]
async fn other_events_fail_with_the_reason_and_the_next_one_works() {
    let lambda = start(1).await;
    let error = lambda.invoke(&json!({"Records": []})).await.unwrap_err();
    assert_eq!(error["errorType"], "UnknownEvent");
    assert!(
        error["errorMessage"]
            .as_str()
            .unwrap()
            .contains("call the function through one of them")
    );
    lambda.invoke(&json!("text")).await.unwrap_err();
    assert_eq!(
        lambda.invoke(&event("rest_api")).await.unwrap()["statusCode"],
        200
    );
}

#[tokio::test]
async fn invocations_are_served_at_once_where_lambda_sends_them_so() {
    let lambda = start(4).await;
    let event = event("function_url");
    let responses = futures_util::future::join_all((0..20).map(|_| lambda.invoke(&event))).await;
    for response in responses {
        assert_eq!(effects(&decoded(&response.unwrap())), 1);
    }
}

#[tokio::test]
async fn sf_22_answers_decode_to_what_the_http_adapter_returns() {
    let lambda = start(1).await;
    let http = HandlerService::from(functions());
    for body in [
        call("counter"),
        call_without_values("counter"),
        call("broken"),
        call("nobody"),
        "garbage".into(),
        "".into(),
    ] {
        let request = hyper::Request::post("/")
            .body(Full::new(body.clone()))
            .unwrap();
        let expected = hyper::service::Service::call(&http, request).await.unwrap();
        let response = lambda
            .invoke(&with_body(event("http_api"), &body))
            .await
            .unwrap();
        assert_eq!(response["statusCode"], expected.status().as_u16());
        assert_eq!(
            response["headers"]["content-type"],
            expected.headers()["content-type"].to_str().unwrap()
        );
        let expected = expected.into_body().collect().await.unwrap().to_bytes();
        if response["statusCode"] == 200 {
            assert_eq!(decoded(&response), expected);
        } else {
            assert_eq!(response["body"].as_str().unwrap().as_bytes(), expected);
        }
    }
    let empty = lambda.invoke(&event("load_balancer_empty")).await.unwrap();
    assert_eq!(empty["statusCode"], 400);
}

#[tokio::test]
async fn the_example_serves_its_counter() {
    let lambda = Lambda::start(another_self("lambda::process_of_the_example"), 1).await;
    let response = lambda.invoke(&event("rest_api")).await.unwrap();
    assert_eq!(response["statusCode"], 500);
    let line = response["body"].as_str().unwrap();
    assert!(
        line.contains("test/counter") && line.contains("example/counter"),
        "{line}"
    );
}
