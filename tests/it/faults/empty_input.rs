//! Kind: empty input looks like success. The function handler answered an empty body with 200 and an empty reply, over HTTP and on Lambda, which
//! tells a StateFun runtime "done, no effects".

use ::http::Method;
use stateful_functions::runtime::Runtime;

use crate::runtime::{SAMPLES, Started, admin, text};
use crate::support::functions::functions;
use crate::support::raw::ask;
use crate::support::served::served;

#[tokio::test]
async fn an_empty_call_of_functions_is_400_however_it_is_empty() {
    let address = served(functions()).await.to_string();
    for headers in [
        "content-length: 0\r\n",
        "",
        "transfer-encoding: chunked\r\n\r\n0\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let answer = ask(&address, request.as_bytes()).await;
        let line = "the request body is empty; a ToFunction message is expected";
        assert_eq!((answer.status(), answer.text()), (400, line), "{headers}");
    }
}

#[cfg(feature = "lambda")]
#[tokio::test]
async fn an_event_without_a_body_is_400_on_lambda() {
    use crate::support::another_self;
    use crate::support::lambda_api::{Lambda, event};
    let process = another_self("lambda::process_of_the_test_functions");
    let lambda = Lambda::start(process, 1).await;
    let whole = event("http_api");
    for body in [None, Some(serde_json::Value::Null), Some("".into())] {
        let mut event = whole.clone();
        let fields = event.as_object_mut().unwrap();
        fields.remove("body");
        fields.extend(body.map(|body| ("body".to_owned(), body)));
        let response = lambda.invoke(&event).await.unwrap();
        assert_eq!(response["statusCode"], 400, "{event}");
        let line = response["body"].as_str().unwrap();
        assert!(line.contains("the request body is empty"), "{line}");
    }
}

#[tokio::test]
async fn an_empty_body_is_neither_json_nor_an_import() {
    let started = Started::with(Runtime::builder().admin(admin()), SAMPLES).await;
    for (listener, path) in [
        ("http ingress", "/send/statefun.samples/counter/a"),
        ("admin api", "/api/send/statefun.samples/counter/a"),
        ("admin api", "/api/state/import"),
    ] {
        let json = [("content-type", "application/json")];
        let answer = started
            .request(Method::POST, listener, path, &json, "")
            .await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(text(&answer).contains("empty"), "{}", text(&answer));
    }
}

/// The page of the API promised `body.empty`; it was `bad_request` with a parser's words, and `[]` told the name of a type of ours.
#[tokio::test]
async fn a_command_without_a_body_or_with_another_body_is_refused_with_what_to_send() {
    let started = Started::with(Runtime::builder().admin(admin()), SAMPLES).await;
    for path in [
        "/api/dead-letters/redrive",
        "/api/dead-letters/a/b/c/redrive",
        "/api/deliveries/a/b/c/cancel",
    ] {
        for (body, code, words) in [
            ("", "body.empty", "the body is empty"),
            (" \n", "body.empty", "the body is empty"),
            ("[]", "bad_request", "JSON, but not an object"),
            ("{}", "bad_request", "field `actor` is missing"),
            ("{", "bad_request", "ends before the JSON is complete"),
        ] {
            let answer = started
                .request(Method::POST, "admin api", path, &[], body)
                .await;
            let told = text(&answer);
            assert_eq!(answer.status, 400, "{told}");
            assert!(told.contains(code) && told.contains(words), "{told}");
            assert!(told.contains("actor") && !told.contains("struct"), "{told}");
        }
    }
}
