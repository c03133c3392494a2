//! Kind: a setting can break the message it is part of. With `headers: {content-length: "5"}` a destination got `{"a":` of `{"a": 1}`, and the delivery
//! counted as a success.

use std::time::Duration;

use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use super::cli::check;

fn export(settings: &str) -> String {
    format!(
        "kind: statefun.pipelines.v1/pipeline\nspec:\n  name: p\n  stages:\n    - http-export: {{url: 'http://127.0.0.1:9/', {settings}}}\n"
    )
}

#[test]
fn headers_of_the_connection_and_of_the_body_are_faults_with_the_reason() {
    for name in [
        "Content-Length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "proxy-authorization",
        "content-encoding",
    ] {
        let (code, out) = check(&export(&format!("headers: {{{name}: '5'}}")), &[]);
        assert_eq!(code, 1, "{name}: {out}");
        let fault = format!("`spec.stages[0].http-export.headers.{name}`: can't be set: it ");
        assert!(out.contains(&fault), "{out}");
        let (code, out) = check(&export(&format!("idempotencyHeader: {name}")), &[]);
        assert_eq!(code, 1, "{name}: {out}");
    }
    let fine = "headers: {host: 'example.org:8080', Authorization: Bearer x, content-type: a/b}";
    let (code, out) = check(&export(fine), &[]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn the_http_egress_takes_no_other_headers_than_the_export() {
    let text = "kind: statefun.http.v1/egress\nspec: {id: a/b, url: 'http://h/', headers: {content-length: '5'}}\n";
    let (code, out) = check(text, &[]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("MODULE:2:61: `spec.headers.content-length`: can't be set"),
        "{out}"
    );
}

#[test]
fn line_ends_and_control_characters_in_headers_are_faults() {
    for (settings, fault) in [
        (
            r#"headers: {x-a: "1\r\nx-b: 2"}"#,
            "its value has a line end at position 2",
        ),
        (
            r#"headers: {x-a: "1\u0007"}"#,
            "its value has a control character at position 2",
        ),
        (
            r#"headers: {"x a": "1"}"#,
            "`x a` is not the name of a header",
        ),
        (r#"headers: {x-a: "1", X-A: "2"}"#, "is given twice"),
        (r#"headers: {host: "a b"}"#, "is not a host"),
    ] {
        let (code, out) = check(&export(settings), &[]);
        assert_eq!(code, 1, "{settings}: {out}");
        assert!(out.contains(fault), "{fault} in {out}");
    }
}

#[tokio::test]
async fn the_client_sends_no_request_whose_length_is_not_that_of_its_body() {
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    for (name, value) in [("content-length", "5"), ("transfer-encoding", "chunked")] {
        let url = "http://127.0.0.1:9/".parse().unwrap();
        let mut request = HttpRequest::new(http::Method::POST, url);
        request.body = "12345678".into();
        request.headers.insert(name, value.parse().unwrap());
        let error = client
            .send(request, Duration::from_secs(30))
            .await
            .unwrap_err();
        assert!(error.is_invalid_request(), "{error}");
    }
}
