//! Ten thousand events through a pipeline whose destination fails in every way it can, and a runtime that is killed meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use ::http::{HeaderValue, Method};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use crate::support::destination::{Destination, Reaction};
use crate::support::process::Process;
use crate::support::until::{Patience, until};

const EVENTS: usize = 10_000;
const SENDERS: usize = 20;
/// Events of one key arrive in their order.
const KEYS: usize = 100;
/// One in this many events is never accepted by the destination.
const POISON: usize = 97;

/// What the destination has taken, in its order.
#[derive(Default)]
struct Taken {
    order: Vec<usize>,
    /// The idempotency keys that each event came with, failed attempts included.
    keys: HashMap<usize, BTreeSet<String>>,
}

fn event(number: usize) -> Value {
    json!({"number": number, "customer": format!("c{}", number % KEYS), "poison": number.is_multiple_of(POISON)})
}

fn module(destination: &Destination) -> String {
    format!(
        "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.pipelines.v1/pipeline
spec:
  name: ordered
  stages:
    - set: {{site: north}}
    - http-export:
        url: {url}
        orderKey: customer
        timeout: 1s
        circuit: {{failures: 5, openFor: 200ms}}
        retry: {{first: 50ms, factor: 2, max: 500ms, attempts: 100000}}
---
kind: statefun.pipelines.v1/pipeline
spec:
  name: free
  stages:
    - http-export:
        url: {url}
        timeout: 1s
        circuit: {{failures: 5, openFor: 200ms}}
        retry: {{first: 50ms, factor: 2, max: 500ms, attempts: 100000}}
",
        url = destination.url("/events")
    )
}

/// Sends events to a runtime that comes and goes; each under its own idempotency key until it is accepted.
struct Sender {
    http: HttpClient,
    base: Arc<RwLock<String>>,
    accepted: Arc<AtomicUsize>,
}

impl Sender {
    async fn send(&self, number: usize) {
        // Half of the customers ask for order.
        let pipeline = if number % KEYS < KEYS / 2 {
            "ordered"
        } else {
            "free"
        };
        let patience = Patience::for_(&format!("event {number} to be accepted"));
        while !self.is_accepted(pipeline, number).await {
            patience.pause().await;
        }
        self.accepted.fetch_add(1, Ordering::SeqCst);
    }

    async fn is_accepted(&self, pipeline: &str, number: usize) -> bool {
        let base = self.base.read().unwrap().clone();
        let url = format!("{base}/send/pipelines/{pipeline}/door-{}", number % KEYS);
        let mut request = HttpRequest::post(url.parse().unwrap(), event(number).to_string());
        let json = HeaderValue::from_static("application/json");
        request.headers.insert("content-type", json);
        let key = HeaderValue::try_from(format!("e{number}")).unwrap();
        request.headers.insert("idempotency-key", key);
        // Killed: it was accepted, or it was not; the same key makes it one event.
        let Ok(answer) = self.http.send(request, Duration::from_secs(20)).await else {
            return false;
        };
        // Full for the moment, or going down.
        let status = answer.status.as_u16();
        assert!(matches!(status, 202 | 429 | 503), "{status}");
        status == 202
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_ten_thousand_is_delivered_or_a_dead_letter_whatever_fails() {
    let mut destination = Destination::start().await;
    let taken = Arc::new(Mutex::new(Taken::default()));
    let react_well = {
        let taken = Arc::clone(&taken);
        move |request: &crate::support::raw::RawMessage| {
            let event: Value = serde_json::from_slice(&request.body).unwrap();
            let number = usize::try_from(event["number"].as_u64().unwrap()).unwrap();
            let key = request.header("idempotency-key").unwrap().to_owned();
            let mut taken = taken.lock().unwrap();
            taken.keys.entry(number).or_default().insert(key);
            if event["poison"] == true {
                return Reaction::status(400);
            }
            taken.order.push(number);
            Reaction::status(200)
        }
    };

    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (
        folder.path().join("module.yaml"),
        folder.path().join("data"),
    );
    std::fs::write(&file, module(&destination)).unwrap();
    destination.react_with(react_well.clone());
    let mut runtime = Process::run(&file, &data);

    let base = Arc::new(RwLock::new(runtime.url("http ingress")));
    let accepted = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|lane| {
            let sender = Sender {
                http: HttpClient::new(HttpClientConfig::default()).unwrap(),
                base: Arc::clone(&base),
                accepted: Arc::clone(&accepted),
            };
            tokio::spawn(async move {
                // A sender's customers are its own, so each customer's events are sent in their order.
                for number in (0..EVENTS).filter(|number| number % KEYS % SENDERS == lane) {
                    sender.send(number).await;
                }
            })
        })
        .collect();
    let accepted_are = async |count: usize| {
        let reached = async || (accepted.load(Ordering::SeqCst) >= count).then_some(());
        until(&format!("{count} accepted events"), reached).await;
    };

    accepted_are(1_000).await;
    destination.react(Reaction::status(503));
    accepted_are(2_000).await;
    destination.react(Reaction::Answer(429, "retry-after: 1\r\n", Vec::new()));
    accepted_are(3_000).await;
    destination.react(Reaction::Hang);
    accepted_are(4_000).await;
    destination.react(Reaction::Reset);
    accepted_are(5_000).await;
    runtime.kill();
    runtime = Process::run(&file, &data);
    *base.write().unwrap() = runtime.url("http ingress");
    accepted_are(6_000).await;
    destination.go_down().await;
    accepted_are(7_000).await;
    destination.react_with(react_well);
    destination.come_up().await;
    accepted_are(8_500).await;
    // In the middle of the drain.
    runtime.kill();
    runtime = Process::run(&file, &data);
    *base.write().unwrap() = runtime.url("http ingress");
    for sender in senders {
        sender.await.unwrap();
    }

    let poison: BTreeSet<usize> = (0..EVENTS)
        .filter(|number| number.is_multiple_of(POISON))
        .collect();
    let wanted = EVENTS - poison.len();
    let delivered = || {
        taken
            .lock()
            .unwrap()
            .order
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
    };
    let all = async || (delivered().len() >= wanted).then_some(());
    until("all events", all).await;
    assert!(delivered().is_disjoint(&poison));

    let dead = dead_letters(&runtime.url("admin api"), poison.len()).await;
    assert_eq!(
        dead, poison,
        "each event that is not taken is a dead letter, and nothing else is one"
    );

    let taken = taken.lock().unwrap();
    let mut all_keys = BTreeSet::new();
    for (number, keys) in &taken.keys {
        assert_eq!(keys.len(), 1, "event {number} came with {keys:?}");
        assert!(
            all_keys.is_disjoint(keys),
            "two events share a key of {keys:?}"
        );
        all_keys.extend(keys.iter().cloned());
    }
    assert_in_order(&taken.order);
}

/// The first delivery of each event of an ordered customer comes after those of its elders.
fn assert_in_order(order: &[usize]) {
    let mut last: HashMap<usize, usize> = HashMap::new();
    let mut seen = BTreeSet::new();
    for number in order
        .iter()
        .copied()
        .filter(|number| number % KEYS < KEYS / 2)
    {
        if !seen.insert(number) {
            continue;
        }
        let before = last.insert(number % KEYS, number);
        assert!(
            before.is_none_or(|before| before < number),
            "{number} came after {before:?}"
        );
    }
}

/// The events in the dead letters, once there are `count` of them.
async fn dead_letters(admin: &str, count: usize) -> BTreeSet<usize> {
    let http = HttpClient::new(HttpClientConfig::default()).unwrap();
    let get = async |path: String| {
        let request = HttpRequest::new(Method::GET, format!("{admin}{path}").parse().unwrap());
        let answer = http.send(request, Duration::from_secs(20)).await.unwrap();
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.body
    };
    until("all dead letters", async || {
        let exported = get("/api/dead-letters/export".to_owned()).await;
        let lines = String::from_utf8(exported.to_vec()).unwrap();
        let numbers: BTreeSet<usize> = lines.lines().map(number_of).collect();
        (numbers.len() >= count).then_some(numbers)
    })
    .await
}

/// Which event an exported dead letter holds.
fn number_of(line: &str) -> usize {
    let letter: Value = serde_json::from_str(line).unwrap();
    assert_eq!(letter["reason"], "permanent", "{line}");
    let bytes = STANDARD.decode(letter["base64"].as_str().unwrap()).unwrap();
    let event: Value = serde_json::from_slice(&bytes).unwrap();
    usize::try_from(event["number"].as_u64().unwrap()).unwrap()
}
