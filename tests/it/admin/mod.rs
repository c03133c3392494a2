//! The admin API of a running runtime.

mod declarations;
mod deliveries;
mod jobs;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::http::Method;
use serde_json::{Value, json};
use stateful_functions::admin::AdminConfig;
use stateful_functions::runtime::{Runtime, RuntimeBuilder, RuntimeConfig, StartError, Token};
use stateful_functions::transport::http::client::HttpResponse;
use stateful_functions::{
    BoxError, Context, FunctionSpec, Message, StatefulFunction, StatefulFunctions, TypeName,
    ValueSpec, types,
};
use tokio::sync::{Notify, Semaphore};

use crate::runtime::{SAMPLES, Started, text};

const INT: (&str, &str) = ("statefun-type", "io.statefun.types/int");

fn admin(listen: &str, token: Option<&str>) -> AdminConfig {
    let mut config = AdminConfig::default();
    config.listen = listen.to_owned();
    config.token = token.map(|token| Token::parse(token).unwrap());
    config
}

async fn with(builder: RuntimeBuilder) -> Started {
    Started::with(builder.admin(admin("127.0.0.1:0", None)), SAMPLES).await
}

async fn samples() -> Started {
    with(Runtime::builder()).await
}

trait Api {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> HttpResponse;

    async fn get(&self, path: &str) -> Value {
        let response = self.ask(Method::GET, path, &[], "").await;
        serde_json::from_slice(&response.body).unwrap()
    }

    async fn act(&self, path: &str, body: &Value) -> HttpResponse {
        self.ask(Method::POST, path, &[], &body.to_string()).await
    }

    async fn put(&self, path: &str, body: &str) -> HttpResponse {
        self.ask(Method::PUT, path, &[], body).await
    }
}

impl Api for Started {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> HttpResponse {
        self.request(method, "admin api", path, headers, body).await
    }
}

fn code(response: &HttpResponse) -> (u16, String) {
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    (
        response.status.as_u16(),
        body["code"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn everything_but_health_requires_the_token() {
    let config = admin("127.0.0.1:0", Some("open-sesame"));
    assert!(!format!("{config:?}").contains("open-sesame"));
    let started = Started::with(Runtime::builder().admin(config), SAMPLES).await;
    let status = async |path: &str, headers: &[(&str, &str)]| {
        started
            .ask(Method::GET, path, headers, "")
            .await
            .status
            .as_u16()
    };
    for path in ["/health", "/ready"] {
        assert_eq!(status(path, &[]).await, 200, "{path}");
    }
    for path in ["/metrics", "/api/state", "/api/queues"] {
        assert_eq!(status(path, &[]).await, 401, "{path}");
        assert_eq!(
            status(path, &[("authorization", "Bearer wrong")]).await,
            401,
            "{path}"
        );
        assert_eq!(
            status(path, &[("authorization", "Bearer open-sesame")]).await,
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_api_without_token_stays_on_loopback() {
    let refused = Runtime::builder()
        .admin(admin("0.0.0.0:0", None))
        .start()
        .await;
    let Err(StartError::Declared { what }) = refused else {
        panic!("refused: {refused:?}");
    };
    assert!(
        what.contains("set --admin-token or STATEFUN_ADMIN_TOKEN"),
        "{what}"
    );
    let with_token = Runtime::builder()
        .admin(admin("0.0.0.0:0", Some("open-sesame")))
        .start()
        .await;
    with_token.unwrap().shutdown().await;
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let started = samples().await;
    let own = started.url("admin api", "");
    let ask = async |origin: &str| {
        started
            .ask(Method::GET, "/api/state", &[("origin", origin)], "")
            .await
    };
    assert_eq!(ask(&own).await.status, 200);
    assert_eq!(
        code(&ask("http://example.org").await),
        (403, "origin_refused".to_owned())
    );
    assert_eq!(code(&ask("null").await), (403, "origin_refused".to_owned()));
}

#[tokio::test]
async fn names_that_lead_to_loopback_are_refused_without_a_token() {
    let started = samples().await;
    let ask = async |host: &str| {
        started
            .ask(Method::GET, "/api/state", &[("host", host)], "")
            .await
    };
    for local in ["127.0.0.1:8191", "localhost:1", "LOCALHOST", "[::1]:8191"] {
        assert_eq!(ask(local).await.status, 200, "{local}");
    }
    for other in ["rebound.example:8191", "localhost.example"] {
        assert_eq!(
            code(&ask(other).await),
            (403, "host_refused".to_owned()),
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_message_is_accepted_once_per_idempotency_key() {
    let started = samples().await;
    let send = async || {
        let headers = [INT, ("idempotency-key", "k1")];
        started
            .ask(
                Method::POST,
                "/api/send/statefun.samples/counter/bob",
                &headers,
                "5",
            )
            .await
    };
    for _ in 0..2 {
        let accepted = send().await;
        assert_eq!(accepted.status, 202);
        let body: Value = serde_json::from_slice(&accepted.body).unwrap();
        assert_eq!(
            body,
            json!({"accepted": true, "address": "statefun.samples/counter/bob"})
        );
    }
    // The answer to a call comes after all that was sent before it.
    let total = started
        .post("/call/statefun.samples/counter/bob", &[INT], "0")
        .await;
    assert_eq!(text(&total), "5");
    let unknown = started.ask(Method::POST, "/api/send/a/b/c", &[], "x").await;
    assert_eq!(code(&unknown), (404, "function.unknown".to_owned()));
}

#[tokio::test]
async fn state_is_shown_changed_and_removed() {
    let started = samples().await;
    started
        .post("/call/statefun.samples/counter/a%2Fb", &[INT], "41")
        .await;
    let path = "/api/state/statefun.samples/counter/a%2Fb/total";
    let shown = json!({
        "address": "statefun.samples/counter/a/b", "state": "total", "typename": "io.statefun.types/long",
        "value": 41, "base64": "CSkAAAAAAAAA",
    });
    assert_eq!(started.get(path).await, shown);
    assert_eq!(
        started
            .get("/api/state?type=statefun.samples%2Fcounter&id=a%2Fb")
            .await["items"],
        json!([shown])
    );

    assert_eq!(started.put(path, "7").await.status, 200);
    let total = started
        .post("/call/statefun.samples/counter/a%2Fb", &[INT], "1")
        .await;
    assert_eq!(text(&total), "8");

    let other_type = started.ask(Method::PUT, path, &[INT], "7").await;
    assert_eq!(code(&other_type), (422, "state.type_conflict".to_owned()));
    assert_eq!(
        code(&started.put(path, "seven").await),
        (400, "value.invalid".to_owned())
    );
    assert_eq!(started.get(path).await["value"], 8);

    assert_eq!(started.ask(Method::DELETE, path, &[], "").await.status, 204);
    let gone = started.ask(Method::GET, path, &[], "").await;
    assert_eq!(code(&gone), (404, "state.not_found".to_owned()));
    let total = started
        .post("/call/statefun.samples/counter/a%2Fb", &[INT], "1")
        .await;
    assert_eq!(text(&total), "1");
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_an_export_has_all_of_it() {
    let started = samples().await;
    for n in 0..450 {
        let path = format!("/api/state/shop/cart/{n:03}/total");
        assert_eq!(
            started.ask(Method::PUT, &path, &[INT], "1").await.status,
            200
        );
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = started
            .get(&format!("/api/state?type=shop%2Fcart&limit=200{after}"))
            .await;
        let items = page["items"].as_array().unwrap();
        seen.extend(
            items
                .iter()
                .map(|item| item["address"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..450).map(|n| format!("shop/cart/{n:03}")).collect();
    assert_eq!(seen, expected);
    let export = started.ask(Method::GET, "/api/state/export", &[], "").await;
    let lines = text(&export)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let addresses: Vec<String> = lines
        .map(|line| line["address"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(addresses, expected);
}

const MARK: ValueSpec<i32> = ValueSpec::new("mark", types::INT);

/// Signals that it was called, and waits until it may continue.
struct Gated {
    called: Arc<Notify>,
    may_go_on: Arc<Semaphore>,
}

impl StatefulFunction for Gated {
    async fn invoke(&self, context: &mut Context, _message: Message) -> Result<(), BoxError> {
        self.called.notify_one();
        self.may_go_on.acquire().await?.forget();
        context.storage().set(&MARK, 1)?;
        Ok(())
    }
}

#[tokio::test]
async fn a_change_waits_for_the_call_of_its_address_and_is_not_overwritten() {
    let (called, may_go_on) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let gated = Gated {
        called: called.clone(),
        may_go_on: may_go_on.clone(),
    };
    let spec = FunctionSpec::new(TypeName::new("test/gated"), gated).value(MARK);
    let functions = StatefulFunctions::new().with(spec).unwrap();
    let started = with(Runtime::builder().functions(functions)).await;
    assert_eq!(
        started.post("/send/test/gated/a", &[], "").await.status,
        202
    );
    called.notified().await;
    let path = "/api/state/test/gated/a/mark";
    let change = started.ask(Method::PUT, path, &[INT], "7");
    let go_on = async {
        // Once the queues show the call, the change waits behind it.
        assert_eq!(started.get("/api/queues").await["totals"]["calls"], 1);
        may_go_on.add_permits(1);
    };
    let (changed, ()) = tokio::join!(change, go_on);
    assert_eq!(changed.status, 200);
    assert_eq!(started.get(path).await["value"], 7);
}

/// Fails until it is repaired.
struct Failing(Arc<AtomicBool>);

impl StatefulFunction for Failing {
    async fn invoke(&self, context: &mut Context, _message: Message) -> Result<(), BoxError> {
        if !self.0.load(Ordering::SeqCst) {
            return Err("not repaired yet".into());
        }
        context.storage().set(&MARK, 1)?;
        Ok(())
    }
}

async fn failing(attempts: Option<u32>) -> (Started, Arc<AtomicBool>) {
    let repaired = Arc::new(AtomicBool::new(false));
    let spec =
        FunctionSpec::new(TypeName::new("test/failing"), Failing(repaired.clone())).value(MARK);
    let functions = StatefulFunctions::new().with(spec).unwrap();
    let mut config = RuntimeConfig::default();
    config.failure.attempts = attempts.and_then(NonZeroU32::new);
    config.failure.backoff.first = Duration::from_secs(3600);
    config.failure.backoff.max = Duration::from_secs(3600);
    let started = with(Runtime::builder().functions(functions).config(config)).await;
    assert_eq!(
        started.post("/send/test/failing/a", &[], "").await.status,
        202
    );
    (started, repaired)
}

/// The first address of the queues, once it does what is expected.
async fn queue(started: &Started, activity: &str) -> Value {
    loop {
        let queues = started.get("/api/queues").await;
        if queues["addresses"][0]["activity"] == activity {
            return queues["addresses"][0].clone();
        }
    }
}

async fn resumed_function_runs(started: &Started, repaired: &AtomicBool) {
    repaired.store(true, Ordering::SeqCst);
    let path = "/api/queues/test/failing/a/resume";
    assert_eq!(started.ask(Method::POST, path, &[], "").await.status, 200);
    while started.get("/api/state/test/failing/a/mark").await["value"] != 1 {}
    let again = started.ask(Method::POST, path, &[], "").await;
    assert_eq!(code(&again), (409, "queue.not_waiting".to_owned()));
}

#[tokio::test]
async fn an_address_that_fails_is_shown_with_its_failure_and_can_be_resumed() {
    let (started, repaired) = failing(None).await;
    let queue = queue(&started, "backs_off").await;
    assert_eq!(
        (&queue["address"], &queue["failures"]),
        (&json!("test/failing/a"), &json!(1))
    );
    assert!(
        queue["last_failure"]
            .as_str()
            .unwrap()
            .contains("not repaired yet"),
        "{queue}"
    );
    assert!(queue["retry_at"].is_string(), "{queue}");
    resumed_function_runs(&started, &repaired).await;
}

#[tokio::test]
async fn sf_45_a_parked_address_is_shown_and_can_be_resumed_while_others_continue() {
    let (started, repaired) = failing(Some(1)).await;
    let queue = queue(&started, "parked").await;
    assert_eq!(queue["address"], "test/failing/a");
    assert!(
        queue["last_failure"]
            .as_str()
            .unwrap()
            .contains("not repaired yet"),
        "{queue}"
    );
    assert_eq!(started.get("/api/queues").await["totals"]["parked"], 1);
    let other = started
        .post("/call/statefun.samples/counter/a", &[INT], "1")
        .await;
    assert_eq!(text(&other), "1");
    resumed_function_runs(&started, &repaired).await;
    assert_eq!(started.get("/api/queues").await["totals"]["parked"], 0);
}

#[tokio::test]
async fn metrics_count_per_function_type() {
    let started = samples().await;
    started
        .post("/call/statefun.samples/counter/a", &[INT], "1")
        .await;
    let metrics = started.ask(Method::GET, "/metrics", &[], "").await;
    let type_of_body = metrics
        .headers
        .get("content-type")
        .unwrap()
        .to_str()
        .unwrap();
    assert!(
        type_of_body.starts_with("application/openmetrics-text"),
        "{type_of_body}"
    );
    let line = r#"statefun_functions_in_total{namespace="statefun.samples",name="counter"} 1"#;
    assert!(
        text(&metrics).lines().any(|found| found == line),
        "{}",
        text(&metrics)
    );
    assert!(text(&metrics).ends_with("# EOF\n"));
}

#[tokio::test]
async fn wrong_routes_methods_and_parameters_get_different_errors() {
    let started = samples().await;
    let get = async |path: &str| code(&started.ask(Method::GET, path, &[], "").await);
    assert_eq!(get("/api/nothing").await, (404, "path.unknown".to_owned()));
    assert_eq!(
        get("/api/state?limit=0").await,
        (400, "bad_request".to_owned())
    );
    assert_eq!(
        get("/api/state?typ=a").await,
        (400, "bad_request".to_owned())
    );
    assert_eq!(
        get("/api/state?id=a").await,
        (400, "bad_request".to_owned())
    );
    assert_eq!(
        get("/api/state?after=!").await,
        (400, "bad_request".to_owned())
    );
    let wrong = started.ask(Method::POST, "/api/state", &[], "").await;
    assert_eq!(code(&wrong), (405, "method".to_owned()));
    assert_eq!(wrong.headers.get("allow").unwrap(), "GET, HEAD");
}
