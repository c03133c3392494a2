//! Declared values: listing and dropping them. And the share of a function type, as operators see it.

use std::num::NonZeroU8;
use std::process::Command;
use std::sync::Arc;

use ::http::Method;
use serde_json::json;
use stateful_functions::runtime::{Runtime, RuntimeConfig};
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunction,
    StatefulFunctions, TypeName,
};
use tokio::sync::Semaphore;

use super::{Api as _, INT, code, samples, with};

#[tokio::test]
async fn a_declaration_is_listed_and_dropped_and_comes_back_with_the_next_call() {
    let started = samples().await;
    let call = async |id: &str| {
        let path = format!("/call/statefun.samples/counter/{id}");
        started.post(&path, &[INT], "1").await
    };
    call("a").await;
    let specs = "/api/state-specs?type=statefun.samples%2Fcounter";
    let declared = json!([{
        "function": "statefun.samples/counter", "state": "total", "typename": "io.statefun.types/long", "expiration": null,
    }]);
    assert_eq!(started.get(specs).await["items"], declared);

    let one = "/api/state-specs/statefun.samples/counter/total";
    assert_eq!(started.ask(Method::DELETE, one, &[], "").await.status, 204);
    assert_eq!(started.get(specs).await["items"], json!([]));
    let again = started.ask(Method::DELETE, one, &[], "").await;
    assert_eq!(code(&again), (404, "state_spec.not_found".to_owned()));

    call("a").await;
    assert_eq!(started.get(specs).await["items"], declared);
    let total = started
        .get("/api/state/statefun.samples/counter/a/total")
        .await;
    assert_eq!(total["value"], 2, "its values have stayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lists_and_drops_declarations() {
    let started = samples().await;
    started
        .post("/call/statefun.samples/counter/a", &[INT], "1")
        .await;
    let url = started.url("admin api", "");
    let specs = |args: &'static [&'static str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_statefun"));
        command.args(["state", "specs"]).args(args);
        command.args(["--admin", &url]);
        tokio::task::spawn_blocking(move || {
            let output = command.output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            text(output.stdout) + &text(output.stderr)
        })
    };
    assert_eq!(
        specs(&["list"]).await.unwrap(),
        "statefun.samples/counter  total  io.statefun.types/long\n"
    );
    let drop: &[&str] = &["drop", "statefun.samples/counter", "total"];
    assert_eq!(specs(drop).await.unwrap(), "dropped\n");
    assert_eq!(specs(&["list"]).await.unwrap(), "no declarations\n");
    let gone = specs(drop).await.unwrap();
    assert!(
        gone.contains("no value `total` of statefun.samples/counter is declared"),
        "{gone}"
    );
}

/// Sends twenty messages to `test/slow`, which waits until it may continue.
struct FanOut;

impl StatefulFunction for FanOut {
    async fn invoke(&self, context: &mut Context, _message: Message) -> Result<(), BoxError> {
        for id in 0..20 {
            let target = Address::new(TypeName::new("test/slow"), id.to_string());
            context.send(MessageBuilder::to(target).value(id));
        }
        Ok(())
    }
}

struct Slow(Arc<Semaphore>);

impl StatefulFunction for Slow {
    async fn invoke(&self, _context: &mut Context, _message: Message) -> Result<(), BoxError> {
        self.0.acquire().await?.forget();
        Ok(())
    }
}

#[tokio::test]
async fn a_function_that_has_used_up_its_share_is_shown_and_others_are_accepted() {
    let may_go_on = Arc::new(Semaphore::new(0));
    let functions = StatefulFunctions::new()
        .with(FunctionSpec::new(TypeName::new("test/fan"), FanOut))
        .unwrap()
        .with(FunctionSpec::new(
            TypeName::new("test/slow"),
            Slow(may_go_on.clone()),
        ))
        .unwrap();
    let mut config = RuntimeConfig::default();
    config.partitions = NonZeroU8::MIN;
    config.max_backlog = 10;
    let started = with(Runtime::builder().functions(functions).config(config)).await;
    let send = async |path: &str| started.post(path, &[INT], "1").await.status.as_u16();
    assert_eq!(send("/send/test/fan/x").await, 202);
    while started.get("/api/queues").await["totals"]["backlog"] != 20 {}

    assert_eq!(send("/send/test/fan/x").await, 429);
    assert_eq!(send("/send/test/slow/x").await, 429);
    assert_eq!(send("/call/statefun.samples/counter/x").await, 200);
    let queues = started.get("/api/queues").await;
    let full = &queues["functions"][0];
    assert_eq!(
        (&full["function"], &full["backlog"], &full["full"]),
        (&json!("test/slow"), &json!(20), &json!(true))
    );
    let health = started.get("/health").await;
    assert_eq!(health["status"], "ok");
    let limited = health["limited"][0].as_str().unwrap();
    assert!(
        limited.starts_with("20 messages are waiting for test/slow"),
        "{limited}"
    );
    may_go_on.add_permits(100);
    while send("/send/test/fan/x").await != 202 {}
}
