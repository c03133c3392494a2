//! Kind: accepted and then dropped. `POST /send/pipelines/p.stage/x` with a type that a stage does not know was answered 202; the message vanished, with
//! `unknown message; ignored` in the log. So did such messages of functions.

use http::Method;
use serde_json::Value;
use stateful_functions::runtime::Runtime;
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, TypeName,
};

use super::cli::statefun;
use crate::runtime::{SAMPLES, Started, admin, text};
use crate::support::destination::Destination;
use crate::support::until::until;

/// The inner functions of pipeline `p`.
const INNER: [&str; 3] = ["p.out", "lane.p.out", "destination.p"];

async fn started(
    destination: &Destination,
    builder: stateful_functions::runtime::RuntimeBuilder,
) -> Started {
    let module = format!(
        "kind: statefun.pipelines.v1/pipeline\nspec: {{name: p, stages: [{{name: out, http-export: {{url: '{}'}}}}]}}\n---\n\
         kind: io.statefun.playground.v1/ingress\nspec: {{port: 0}}\n---\n{SAMPLES}",
        destination.url("/")
    );
    Started::with(builder.admin(admin()), &module).await
}

#[tokio::test]
async fn every_listener_refuses_a_message_that_an_inner_function_does_not_take() {
    let destination = Destination::start().await;
    let started = started(&destination, Runtime::builder()).await;
    for inner in INNER {
        let refused = |answer: &stateful_functions::transport::http::client::HttpResponse| {
            let told = text(answer);
            assert_eq!(answer.status, 422, "{told}");
            let remedy = format!(
                "pipelines/{inner} is an inner part of pipelines/p and does not take messages of type "
            );
            assert!(
                told.contains("type.refused") && told.contains(&remedy),
                "{told}"
            );
            assert!(told.contains("; send to pipelines/p\""), "{told}");
        };
        let typed = [("statefun-type", "shop/order")];
        for verb in ["send", "call"] {
            let path = format!("/{verb}/pipelines/{inner}/x");
            refused(&started.post(&path, &typed, "{}").await);
            refused(&started.post(&path, &[], "text").await);
            let path = format!("/api/{verb}/pipelines/{inner}/x");
            refused(
                &started
                    .request(Method::POST, "admin api", &path, &typed, "{}")
                    .await,
            );
        }
        let path = format!("/pipelines/{inner}/x");
        refused(
            &started
                .request(Method::POST, "playground ingress", &path, &[], "{}")
                .await,
        );
        let address = format!("pipelines/{inner}/x");
        let (code, _, err) =
            statefun(&["send", &address, "{}"], &started.url("admin api", "")).await;
        assert!(
            code == 1 && err.ends_with("send to pipelines/p (type.refused)\n"),
            "{err}"
        );
    }
    let sent = started
        .post(
            "/send/pipelines/p/x",
            &[("statefun-type", "shop/order")],
            "{}",
        )
        .await;
    assert_eq!(sent.status, 202, "the pipeline itself takes every type");
    destination.until(|received| received.len() == 1).await;
}

/// Passes its message to the inner functions of the pipeline.
async fn mistaken(context: &mut Context, _message: Message) -> Result<(), BoxError> {
    for inner in INNER {
        let to = Address::new(TypeName::from_parts("pipelines", inner)?, "x");
        context.send(MessageBuilder::to(to).raw("shop/order", b"the order"));
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_message_from_a_function_is_a_dead_letter_or_is_counted_with_its_sender() {
    let destination = Destination::start().await;
    let mistaken = FunctionSpec::new(TypeName::new("shop/cart"), mistaken);
    let functions = StatefulFunctions::new().with(mistaken).unwrap();
    let started = started(&destination, Runtime::builder().functions(functions)).await;
    assert_eq!(
        started.post("/send/shop/cart/bob", &[], "go").await.status,
        202
    );
    let get = async |path: &str| {
        let answer = started
            .request(Method::GET, "admin api", path, &[], "")
            .await;
        text(&answer).to_owned()
    };
    let letters = until("two dead letters", async || {
        let page: Value = serde_json::from_str(&get("/api/dead-letters?full=true").await).unwrap();
        let letters = page["items"].as_array().unwrap().clone();
        (letters.len() == 2).then_some(letters)
    })
    .await;
    for letter in &letters {
        assert_eq!(letter["reason"], "decode", "{letter}");
        assert_eq!(letter["error"]["code"], "decode", "{letter}");
        let why = letter["error"]["message"].as_str().unwrap();
        assert!(
            why.ends_with("does not take messages of type shop/order (this one is from shop/cart/bob); send to pipelines/p"),
            "{why}"
        );
    }
    until("the dropped message is counted", async || {
        let metrics = get("/metrics").await;
        metrics
            .contains("statefun_deliveries_foreign_messages_total 1\n")
            .then_some(())
    })
    .await;

    // Sent again, its bytes are a record.
    for letter in &letters {
        let path = format!(
            "/api/dead-letters/{}/redrive",
            letter["address"].as_str().unwrap()
        );
        let asked = r#"{"actor": "alice", "reason": "a record after all"}"#;
        let redriven = started
            .request(Method::POST, "admin api", &path, &[], asked)
            .await;
        assert_eq!(redriven.status, 200, "{}", text(&redriven));
    }
    destination.until(|received| received.len() == 2).await;
}
