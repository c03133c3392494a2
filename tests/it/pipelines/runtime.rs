//! Pipelines on the embedded runtime with crashes: accepted records are delivered or become dead letters.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use stateful_functions::delivery::{COMMAND, Command, REPLY, Verb};
use stateful_functions::pipeline::{Pipeline, PipelineConfig};
use stateful_functions::random::Random;
use stateful_functions::runtime::Runtime;
use stateful_functions::{Address, MessageBuilder, StatefulFunctions, TypeName};

use crate::support::destination::{Destination, Reaction};
use crate::support::raw::RawMessage;

/// Runs `work` on an executor of its own, which is dropped with all that still ran: as after a crash.
fn crashing<T>(work: impl Future<Output = T>) -> T {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let result = executor.block_on(work);
    drop(executor);
    result
}

async fn started(data: &Path, export: &Value) -> Runtime {
    let spec = json!({"name": "p", "stages": [{"set": {"seen": true}}, {"http-export": export}]});
    let config = PipelineConfig::from_json(&spec).unwrap();
    let pipeline = Pipeline::declared(config).build().unwrap();
    let mut functions = pipeline.functions().into_iter();
    let functions = functions
        .try_fold(StatefulFunctions::new(), StatefulFunctions::with)
        .unwrap();
    Runtime::builder()
        .functions(functions)
        .data(data)
        .start()
        .await
        .unwrap()
}

async fn send(runtime: &Runtime, record: &Value) {
    let entry = Address::new(TypeName::new("pipelines/p"), "sender");
    let message = MessageBuilder::to(entry).value(record.to_string());
    runtime.send(&message).await.unwrap();
}

fn key(request: &RawMessage) -> String {
    request.header("idempotency-key").unwrap().to_owned()
}

fn body(request: &RawMessage) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn pl_24_retries_continue_after_a_crash_with_their_count_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tokio::runtime::Runtime::new().unwrap();
    let destination = outside.block_on(Destination::start());
    destination.react(Reaction::status(503));
    let export =
        json!({"url": destination.url("/"), "circuit": false, "retry": {"every": "100ms"}});
    crashing(async {
        let runtime = started(folder.path(), &export).await;
        send(&runtime, &json!({"n": 1})).await;
        destination.until(|received| received.len() >= 3).await;
    });
    let before = destination.received();
    destination.forget();
    crashing(async {
        let runtime = started(folder.path(), &export).await;
        destination.until(|received| received.len() >= 2).await;
        let item = Address::new(TypeName::new("pipelines/p.http-export"), key(&before[0]));
        let command = Command {
            verb: Verb::Discard,
            actor: "alice".to_owned(),
            reason: "seen enough".to_owned(),
        };
        let message = MessageBuilder::to(item)
            .value_as(&COMMAND, command)
            .unwrap();
        let reply = runtime
            .call(&message, Duration::from_secs(10))
            .await
            .unwrap();
        let reply = reply.require(&REPLY).unwrap();
        assert!(reply.ok, "{reply:?}");
        // The crash may have taken back one attempt that the destination saw.
        assert!(reply.attempt as usize >= before.len() - 1 + 2, "{reply:?}");
        runtime.shutdown().await;
    });
    let keys: Vec<String> = destination.received().iter().map(key).collect();
    assert!(keys.iter().all(|other| *other == key(&before[0])));
}

/// What a destination took: per sender's number how often, and whether each key kept its order.
#[derive(Default)]
struct Taken {
    times: HashMap<u64, u32>,
    keys: HashMap<u64, String>,
    last: HashMap<String, u64>,
}

impl Taken {
    fn note(&mut self, request: &RawMessage) {
        let record = body(request);
        let (n, lane) = (
            record["n"].as_u64().unwrap(),
            record["key"].as_str().unwrap(),
        );
        let times = self.times.entry(n).or_default();
        *times += 1;
        let last = self.last.entry(lane.to_owned()).or_default();
        // A crash takes back the commit of a lane's whole batch: what it had delivered comes again, under the same keys.
        assert!(*times > 1 || n > *last, "{n} after {last} of {lane}");
        *last = n.max(*last);
        let known = self.keys.entry(n).or_insert_with(|| key(request));
        assert_eq!(*known, key(request), "one record, one key");
    }
}

/// Whatever the destination does and however often the process dies: in the end every record was delivered, with one key, in the
/// order of its sender, and hardly any twice.
#[test]
fn pl_27_and_r_03_after_crashes_every_record_is_delivered_in_order_and_hardly_any_twice() {
    const RECORDS: u64 = 600;
    const CRASHES: u64 = 4;
    let folder = tempfile::tempdir().unwrap();
    let outside = tokio::runtime::Runtime::new().unwrap();
    let destination = outside.block_on(Destination::start());
    let taken = Arc::new(Mutex::new(Taken::default()));
    let random = Mutex::new(Random::seeded(1));
    let note = Arc::clone(&taken);
    destination.react_with(move |request| match random.lock().unwrap().below(100) {
        0..5 => Reaction::Reset,
        5..15 => Reaction::status(503),
        15..20 => Reaction::Answer(429, "retry-after: 0\r\n", Vec::new()),
        _ => {
            note.lock().unwrap().note(request);
            Reaction::status(200)
        }
    });
    let export = json!({
        "url": destination.url("/"),
        "orderKey": "key",
        "circuit": {"openFor": "20ms"},
        "retry": {"first": "5ms", "max": "50ms", "attempts": "endless"},
    });
    for round in 0..=CRASHES {
        crashing(async {
            let runtime = started(folder.path(), &export).await;
            for n in (round * RECORDS / (CRASHES + 1))..((round + 1) * RECORDS / (CRASHES + 1)) {
                send(&runtime, &json!({"n": n + 1, "key": format!("k{}", n % 7)})).await;
            }
            if round == CRASHES {
                let all = |_: &[RawMessage]| taken.lock().unwrap().times.len() as u64 == RECORDS;
                destination.until(all).await;
                runtime.shutdown().await;
            }
        });
    }
    let taken = taken.lock().unwrap();
    let twice = taken.times.values().filter(|times| **times > 1).count();
    let most = usize::try_from(CRASHES * 7).unwrap();
    assert!(
        twice <= most,
        "{twice} twice: only attempts under way at a crash may repeat"
    );
}
