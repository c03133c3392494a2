//! One pipeline file on the embedded runtime, behind the real StateFun, and on Lambda: the destination gets the same.

use serde_json::{Value, json};
use stateful_functions::pipeline::{Pipeline, PipelineConfig};
use stateful_functions::runtime::Runtime;
use stateful_functions::{Address, MessageBuilder, StatefulFunctions, TypeName};

use crate::runtime::Started;
use crate::support::another_self;
use crate::support::destination::{Destination, Reaction};
use crate::support::flink::{Flink, Settings, endpoint};
use crate::support::served::served;

/// Filters, sets, batches by key, and exports in order, with retries.
fn spec(destination: &str) -> Value {
    json!({
        "name": "p",
        "stages": [
            {"filter": {"rule": {"<": [{"var": "n"}, 9]}}},
            {"set": {"site": "north"}},
            {"http-export": {
                "url": format!("{destination}each/{{site}}"), "onFailure": "isolate", "orderKey": "shop",
                "retry": {"first": "50ms", "max": "50ms"}, "circuit": false,
            }},
            {"batch": {"count": 3, "key": "{shop}"}},
            {"http-export": {
                "url": format!("{destination}all"), "retry": {"first": "50ms", "max": "50ms"}, "circuit": false,
            }},
        ],
    })
}

fn functions(spec: &Value) -> StatefulFunctions {
    let config = PipelineConfig::from_json(spec).unwrap();
    let pipeline = Pipeline::declared(config).build().unwrap();
    let mut functions = pipeline.functions().into_iter();
    functions
        .try_fold(StatefulFunctions::new(), StatefulFunctions::with)
        .unwrap()
}

/// The records, twelve of two shops, of which nine pass the filter.
fn records() -> Vec<Value> {
    let record = |n: u32| json!({"n": n, "shop": if n < 6 { "a" } else { "b" }});
    (0..12).map(record).collect()
}

fn message(record: &Value) -> stateful_functions::Message {
    let to = Address::new(TypeName::new("pipelines/p"), "sender");
    MessageBuilder::to(to).value(record.to_string())
}

/// A destination that fails twice in between.
async fn flaky() -> Destination {
    let destination = Destination::start().await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    destination.react_with(move |_| {
        match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            1 | 4 => Reaction::status(503),
            _ => Reaction::status(200),
        }
    });
    destination
}

/// What it has taken: for each path its bodies, in the order in which they came for each shop. Of repeated ones the first counts.
async fn taken(destination: &Destination) -> Vec<(String, String, String)> {
    let distinct = |received: &[crate::support::raw::RawMessage]| {
        let mut taken = Vec::new();
        for request in received {
            let path = request.head.split(' ').nth(1).unwrap().to_owned();
            let body = String::from_utf8(request.body.clone()).unwrap();
            let kind = request.header("content-type").unwrap_or("").to_owned();
            if !taken.contains(&(path.clone(), kind.clone(), body.clone())) {
                taken.push((path, kind, body));
            }
        }
        taken
    };
    destination
        .until(|received| distinct(received).len() >= 12 && received.len() >= 14)
        .await;
    let mut taken = distinct(&destination.received());
    // Shops are independent of each other, and so are the two exports; batches have no order.
    taken.sort_by_key(|(path, _, body)| {
        let is_ordered = path.starts_with("/each");
        let unordered = if is_ordered { "" } else { body };
        let is_second_shop = body.contains(r#""shop":"b""#);
        (path.clone(), is_second_shop, unordered.to_owned())
    });
    taken
}

async fn embedded() -> Vec<(String, String, String)> {
    let destination = flaky().await;
    let spec = spec(&destination.url("/"));
    let module = format!("kind: statefun.pipelines.v1/pipeline\nspec: {spec}\n");
    let started = Started::with(Runtime::builder(), &module).await;
    for record in records() {
        started.runtime.send(&message(&record)).await.unwrap();
    }
    taken(&destination).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_file_gives_the_same_results_behind_the_real_statefun() {
    let destination = flaky().await;
    let address = served(functions(&spec(&destination.url("/")))).await;
    let module = endpoint("pipelines/*", &format!("http://{address}/"));
    let Some(mut flink) = Flink::start(&module, Settings::capturing([])).await else {
        return;
    };
    for record in records() {
        flink.feed(&message(&record));
    }
    assert_eq!(taken(&destination).await, embedded().await);
}

const DESTINATION: &str = "PIPELINE_DESTINATION";

/// Not a test: the functions behind Lambda's interface.
#[cfg(feature = "lambda")]
#[test]
#[ignore = "started by other tests"]
fn process_on_lambda() {
    if let Ok(destination) = std::env::var(DESTINATION) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let functions = functions(&spec(&destination));
        runtime
            .block_on(stateful_functions::transport::lambda::run(functions))
            .unwrap();
    }
}

#[cfg(feature = "lambda")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_file_gives_the_same_results_on_lambda() {
    let destination = flaky().await;
    let mut process: tokio::process::Command =
        another_self("pipelines::everywhere::process_on_lambda");
    process.env(DESTINATION, destination.url("/"));
    let lambda = crate::support::lambda_api::Lambda::start(process, 4).await;
    let url = lambda.behind_url().await;
    let module = endpoint("pipelines/*", &url);
    let started = Started::with(Runtime::builder(), module.trim_start_matches("---\n")).await;
    for record in records() {
        started.runtime.send(&message(&record)).await.unwrap();
    }
    assert_eq!(taken(&destination).await, embedded().await);
}
