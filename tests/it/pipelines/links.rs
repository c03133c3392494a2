//! Faults of the network between a pipeline and its destination: nothing is lost, the order per key stays, and what is sent again has its key.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use stateful_functions::pipeline::{Pipeline, PipelineConfig};
use stateful_functions::runtime::Runtime;
use stateful_functions::{Address, MessageBuilder, TypeName};

use crate::support::destination::Destination;
use crate::support::link::{Fault, Link};
use crate::support::raw::RawMessage;

/// Records in each phase: before the fault, during it, after it.
const RECORDS: u64 = 12;

async fn started(link: &Link, order: &Value) -> Runtime {
    let mut export = json!({
        "url": link.url(), "timeout": "300ms", "connectTimeout": "300ms", "circuit": {"failures": 3, "openFor": "20ms"},
        "retry": {"first": "10ms", "max": "50ms", "attempts": "endless"},
    });
    if !order.is_null() {
        export["orderKey"] = order.clone();
    }
    let spec = json!({"name": "p", "stages": [{"http-export": export}]});
    let config = PipelineConfig::from_json(&spec).unwrap();
    let pipeline = Pipeline::declared(config).build().unwrap();
    let runtime = Runtime::builder().pipeline(&pipeline).unwrap();
    runtime.ephemeral().start().await.unwrap()
}

async fn send(runtime: &Runtime, n: u64) {
    let record = json!({"n": n, "key": format!("k{}", n % 3)});
    let entry = Address::new(TypeName::new("pipelines/p"), format!("s{n}"));
    let message = MessageBuilder::to(entry).value(record.to_string());
    runtime.send(&message).await.unwrap();
}

fn record(request: &RawMessage) -> (u64, String) {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let key = body["key"].as_str().unwrap().to_owned();
    (body["n"].as_u64().unwrap(), key)
}

/// Each record of `numbers` came, every time under the same key, and the first arrivals of each key in order if that is asked for.
fn check(received: &[RawMessage], numbers: std::ops::Range<u64>, is_ordered: bool, fault: Fault) {
    let mut keys: HashMap<u64, String> = HashMap::new();
    let mut last: HashMap<String, u64> = HashMap::new();
    for request in received {
        let (n, lane) = record(request);
        let key = request.header("idempotency-key").unwrap().to_owned();
        let known = keys.get(&n);
        assert!(known.is_none_or(|known| *known == key), "{fault:?}: {n}");
        if known.is_none() {
            let before = last.insert(lane, n);
            let in_order = before.is_none_or(|before| before < n);
            assert!(!is_ordered || in_order, "{fault:?}: {n} after {before:?}");
        }
        keys.insert(n, key);
    }
    let missing: Vec<u64> = numbers.filter(|n| !keys.contains_key(n)).collect();
    assert!(missing.is_empty(), "{fault:?}: {missing:?}");
}

async fn survive(fault: Fault, order: Value) {
    let destination = Destination::start().await;
    let to = destination.url("").replace("http://", "");
    let link = Link::to(to.parse().unwrap()).await;
    let runtime = started(&link, &order).await;
    for n in 0..RECORDS {
        send(&runtime, n).await;
    }
    let count = |received: &[RawMessage]| {
        let numbers = received.iter().map(|request| record(request).0);
        numbers.collect::<std::collections::BTreeSet<_>>().len() as u64
    };
    destination
        .until(|received| count(received) == RECORDS)
        .await;
    link.set(fault);
    let before = link.connections();
    for n in RECORDS..2 * RECORDS {
        send(&runtime, n).await;
    }
    // The pipeline has noticed: it has opened further connections, or, where all goes through slowly, is done.
    crate::support::until::until("a fault that was noticed", async || {
        let is_through = fault == Fault::Slow && count(&destination.received()) == 2 * RECORDS;
        (is_through || link.connections() > before).then_some(())
    })
    .await;
    link.set(Fault::None);
    for n in 2 * RECORDS..3 * RECORDS {
        send(&runtime, n).await;
    }
    destination
        .until(|received| count(received) == 3 * RECORDS)
        .await;
    check(
        &destination.received(),
        0..3 * RECORDS,
        !order.is_null(),
        fault,
    );
    runtime.shutdown().await;
}

const FAULTS: [Fault; 5] = [
    Fault::Reset,
    Fault::Stall,
    Fault::HalfOpen,
    Fault::Slow,
    Fault::OneWay,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_10_no_fault_of_a_link_loses_a_record() {
    for fault in FAULTS {
        let survived = survive(fault, Value::Null);
        let limit = tokio::time::timeout(Duration::from_secs(120), survived);
        limit
            .await
            .unwrap_or_else(|_| panic!("{fault:?} is not survived"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_a_link_changes_the_order_of_a_key() {
    for fault in FAULTS {
        let survived = survive(fault, json!("key"));
        let limit = tokio::time::timeout(Duration::from_secs(120), survived);
        limit
            .await
            .unwrap_or_else(|_| panic!("{fault:?} is not survived"));
    }
}
