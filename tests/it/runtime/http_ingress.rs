//! `statefun.http.v1/ingress`: the answers to senders and callers.

use stateful_functions::transport::http::client::HttpResponse;

use super::{SAMPLES, Started, text};

fn code(response: &HttpResponse) -> String {
    let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    json["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_call_is_answered_with_what_the_function_sends_back() {
    let started = Started::ephemeral(SAMPLES).await;
    for total in ["41", "82"] {
        let answer = started
            .post(
                "/call/statefun.samples/counter/a",
                &[("statefun-type", "io.statefun.types/int")],
                "41",
            )
            .await;
        assert_eq!((answer.status.as_u16(), text(&answer)), (200, total));
        assert_eq!(answer.headers["statefun-type"], "io.statefun.types/long");
    }
}

#[tokio::test]
async fn a_sent_message_is_accepted_once_and_processed() {
    let started = Started::ephemeral(SAMPLES).await;
    let answer = started
        .post("/send/statefun.samples/counter/a%2Fb", &[], "5")
        .await;
    assert_eq!(answer.status, 202);
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&json["accepted"], &json["address"]),
        (&true.into(), &"statefun.samples/counter/a/b".into())
    );
    let answer = started
        .post("/call/statefun.samples/counter/a/b", &[], "1")
        .await;
    assert_eq!(text(&answer), "6");
}

#[tokio::test]
async fn a_refused_message_says_why() {
    let started = Started::ephemeral(SAMPLES).await;
    let unknown = started
        .post("/send/statefun.samples/conuter/a", &[], "5")
        .await;
    assert_eq!(
        (unknown.status.as_u16(), code(&unknown).as_str()),
        (404, "function.unknown")
    );
    assert!(
        text(&unknown).contains("statefun.samples/counter"),
        "{}",
        text(&unknown)
    );

    let path = started
        .post("/put/statefun.samples/counter/a", &[], "5")
        .await;
    assert_eq!(
        (path.status.as_u16(), code(&path).as_str()),
        (404, "path.unknown")
    );

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let media = started
        .post("/send/statefun.samples/counter/a", &form, "5")
        .await;
    assert_eq!(
        (media.status.as_u16(), code(&media).as_str()),
        (415, "type.unknown")
    );

    let value = [("statefun-type", "io.statefun.types/int")];
    let value = started
        .post("/send/statefun.samples/counter/a", &value, "five")
        .await;
    assert_eq!(
        (value.status.as_u16(), code(&value).as_str()),
        (400, "value.invalid")
    );

    let get = started
        .request(
            ::http::Method::GET,
            "http ingress",
            "/send/statefun.samples/counter/a",
            &[],
            "",
        )
        .await;
    assert_eq!(get.status, 405);
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_and_leaves_nothing() {
    let module = SAMPLES.replace("callTimeout: 5s", "maxBodyBytes: 10");
    let started = Started::ephemeral(&module).await;
    assert_eq!(
        started
            .post("/send/statefun.samples/counter/a", &[], "12345678901")
            .await
            .status,
        413
    );
    assert_eq!(
        text(
            &started
                .post("/call/statefun.samples/counter/a", &[], "1")
                .await
        ),
        "1"
    );
}

#[tokio::test]
async fn with_a_token_only_its_bearer_is_let_in() {
    let module = SAMPLES.replace("callTimeout: 5s", "token: open-sesame");
    let started = Started::ephemeral(&module).await;
    assert_eq!(
        started
            .post("/call/statefun.samples/counter/a", &[], "1")
            .await
            .status,
        401
    );
    let header = [("authorization", "Bearer open-sesame")];
    assert_eq!(
        started
            .post("/call/statefun.samples/counter/a", &header, "1")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_repeated_idempotency_key_gets_the_first_answer_and_counts_once() {
    let started = Started::ephemeral(SAMPLES).await;
    let key = [("idempotency-key", "k1")];
    for _ in 0..3 {
        assert_eq!(
            text(
                &started
                    .post("/call/statefun.samples/counter/a", &key, "7")
                    .await
            ),
            "7"
        );
    }
    // Another target and another key are other messages.
    assert_eq!(
        text(
            &started
                .post("/call/statefun.samples/counter/b", &key, "7")
                .await
        ),
        "7"
    );
    assert_eq!(
        text(
            &started
                .post(
                    "/call/statefun.samples/counter/a",
                    &[("idempotency-key", "k2")],
                    "1"
                )
                .await
        ),
        "8"
    );

    let other_body = started
        .post("/call/statefun.samples/counter/a", &key, "8")
        .await;
    assert_eq!(
        (other_body.status.as_u16(), code(&other_body).as_str()),
        (422, "idempotency.key_reused")
    );

    let sent = [("idempotency-key", "k3")];
    assert_eq!(
        started
            .post("/send/statefun.samples/counter/a", &sent, "1")
            .await
            .status,
        202
    );
    assert_eq!(
        started
            .post("/send/statefun.samples/counter/a", &sent, "1")
            .await
            .status,
        202
    );
    assert_eq!(
        text(
            &started
                .post("/call/statefun.samples/counter/a", &[], "0")
                .await
        ),
        "9"
    );
}

#[tokio::test]
async fn repeats_that_come_while_the_first_call_runs_wait_for_its_answer() {
    let started = Started::ephemeral(SAMPLES).await;
    let key = [("idempotency-key", "same")];
    let call = || started.post("/call/statefun.samples/counter/a", &key, "3");
    let (one, two, three) = tokio::join!(call(), call(), call());
    for answer in [one, two, three] {
        assert_eq!((answer.status.as_u16(), text(&answer)), (200, "3"));
    }
}

#[tokio::test]
async fn a_call_without_an_answer_is_504_and_stays_accepted() {
    // Long enough for the message to become durable.
    let module = SAMPLES.replace("callTimeout: 5s", "callTimeout: 1s")
        + "---\n
kind: io.statefun.endpoints.v2/http
spec: {functions: example/*, urlPathTemplate: 'http://127.0.0.1:9/x'}
";
    let started = Started::ephemeral(&module).await;
    let answer = started.post("/call/example/deaf/a", &[], "1").await;
    assert_eq!(
        (answer.status.as_u16(), code(&answer).as_str()),
        (504, "call.timeout")
    );
    let told = "; no answer within 1 s (callTimeout), and the message stays accepted";
    assert!(text(&answer).contains(told), "{}", text(&answer));
}
