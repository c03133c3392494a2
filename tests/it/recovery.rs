//! The binary under load, killed again and again: what was acknowledged counts once, all the rest at most once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use serde_json::Value;
use stateful_functions::random::Random;
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpError, HttpRequest, HttpResponse,
};
use stateful_functions::transport::http::serve;
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, TypeName,
    ValueSpec, types,
};
use tokio::net::TcpListener;

use crate::support::process::Process;

const KILLS: usize = 20;
const SENDERS: usize = 8;
const STATION: TypeName = TypeName::new("example/station");
const TOTAL: TypeName = TypeName::new("example/total");
const COUNT: ValueSpec<i64> = ValueSpec::new("count", types::LONG);

/// Counts, and tells the one total of all stations.
async fn station(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let count = context.storage().get(&COUNT)?.unwrap_or(0) + message.require(&types::LONG)?;
    context.storage().set(&COUNT, count)?;
    let total = Address::new(TOTAL, "all");
    context.send(MessageBuilder::to(total).value(message.require(&types::LONG)?));
    Ok(())
}

/// Adds what it is told, and answers with the sum.
async fn total(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let count = context.storage().get(&COUNT)?.unwrap_or(0) + message.require(&types::LONG)?;
    context.storage().set(&COUNT, count)?;
    if context
        .caller()
        .is_some_and(|caller| caller.type_name().namespace() == "statefun.http")
        && let Some(caller) = context.caller().cloned()
    {
        context.send(MessageBuilder::to(caller).value(count));
    }
    Ok(())
}

/// A function server of this process, which outlives the runtime.
async fn function_server() -> u16 {
    let functions = StatefulFunctions::new()
        .with(FunctionSpec::new(STATION, station).value(COUNT))
        .unwrap()
        .with(FunctionSpec::new(TOTAL, total).value(COUNT))
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(listener, functions).into_future());
    port
}

fn module(port: u16, out: &Path) -> String {
    format!(
        "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.samples.v1/functions
spec: {{}}
---
kind: io.statefun.endpoints.v2/http
spec: {{functions: example/*, urlPathTemplate: 'http://127.0.0.1:{port}/'}}
---
kind: statefun.file.v1/egress
spec: {{id: statefun.samples/out, path: '{}'}}
",
        out.display()
    )
}

/// A client of a runtime that comes and goes.
#[derive(Clone)]
struct Client {
    http: HttpClient,
    base: Arc<RwLock<String>>,
}

impl Client {
    async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<HttpResponse, HttpError> {
        let base = self.base.read().unwrap().clone();
        let mut request =
            HttpRequest::post(format!("{base}{path}").parse().unwrap(), body.to_owned());
        for (name, value) in [("content-type", "text/plain")].iter().chain(headers) {
            let (name, value) = (
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            );
            request.headers.insert(name, value);
        }
        self.http.send(request, Duration::from_secs(30)).await
    }

    /// Sends under one idempotency key until it is accepted.
    async fn surely(&self, path: &str, headers: &[(&str, &str)], key: &str, body: &str) {
        let headers = [headers, &[("idempotency-key", key)]].concat();
        loop {
            match self.post(path, &headers, body).await {
                Ok(answer) if answer.status == 202 => return,
                Ok(answer) => assert!(
                    matches!(answer.status.as_u16(), 429 | 503),
                    "{}",
                    answer.status
                ),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// The answer to a call, as a number.
    async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> i64 {
        let answer = self.post(path, headers, "0").await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{text}");
        text.parse().unwrap()
    }
}

/// What one sender knows of its messages.
#[derive(Debug, Default)]
struct Sent {
    /// Under keys, to the sender's counter, its station and its reminder: each was accepted.
    surely: i64,
    /// Without keys: accepted ones, and all.
    accepted: i64,
    tried: i64,
}

const LONG: [(&str, &str); 1] = [("statefun-type", "io.statefun.types/long")];

async fn send(client: Client, sender: usize, progress: Arc<AtomicUsize>) -> Sent {
    let mut sent = Sent::default();
    while progress.load(Ordering::SeqCst) != usize::MAX {
        let number = sent.surely;
        let key = format!("s{sender}-{number}");
        client
            .surely(
                &format!("/send/statefun.samples/counter/{sender}"),
                &[],
                &key,
                "1",
            )
            .await;
        client
            .surely(&format!("/send/example/station/{sender}"), &LONG, &key, "1")
            .await;
        // Each reminder has an address of its own, so none replaces another.
        let reminder = format!("/send/statefun.samples/reminder/{key}");
        client
            .surely(&reminder, &[], &key, &format!("in 20ms {key}"))
            .await;
        sent.surely += 1;

        sent.tried += 1;
        let open = format!("/send/statefun.samples/counter/open-{sender}");
        sent.accepted += i64::from(
            client
                .post(&open, &[], "1")
                .await
                .is_ok_and(|answer| answer.status == 202),
        );
        // `usize::MAX` stays: it is the end.
        let _ = progress.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |done| {
            (done != usize::MAX).then(|| done + 1)
        });
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_twenty_kills_every_acknowledged_message_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data, out) = (
        folder.path().join("module.yaml"),
        folder.path().join("data"),
        folder.path().join("out.jsonl"),
    );
    std::fs::write(&file, module(function_server().await, &out)).unwrap();
    let mut runtime = Process::run(&file, &data);
    let client = Client {
        http: HttpClient::new(HttpClientConfig::default()).unwrap(),
        base: Arc::new(RwLock::new(runtime.url("http ingress"))),
    };
    let progress = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| tokio::spawn(send(client.clone(), sender, Arc::clone(&progress))))
        .collect();

    let seed = std::env::var("RECOVERY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let mut random = Random::seeded(seed);
    for kill in 0..KILLS {
        let rounds = usize::try_from(random.below(40)).unwrap();
        let until = progress.load(Ordering::SeqCst) + rounds;
        while progress.load(Ordering::SeqCst) < until {
            tokio::task::yield_now().await;
        }
        runtime.kill();
        runtime = Process::run(&file, &data);
        *client.base.write().unwrap() = runtime.url("http ingress");
        assert_eq!(
            runtime.started.last().map(String::as_str),
            Some("ready"),
            "kill {kill}"
        );
    }
    progress.store(usize::MAX, Ordering::SeqCst);

    let (mut all, mut reminders) = (0, Vec::new());
    for (sender, sending) in senders.into_iter().enumerate() {
        let sent = sending.await.unwrap();
        let counted = client
            .ask(&format!("/call/statefun.samples/counter/{sender}"), &[])
            .await;
        assert_eq!(counted, sent.surely, "sender {sender}, seed {seed}");
        let open = client
            .ask(
                &format!("/call/statefun.samples/counter/open-{sender}"),
                &[],
            )
            .await;
        assert!(
            (sent.accepted..=sent.tried).contains(&open),
            "sender {sender}, seed {seed}: {open} counted of {sent:?}"
        );
        all += sent.surely;
        reminders.extend((0..sent.surely).map(|number| format!("s{sender}-{number}")));
    }

    // What stations tell the total is on its way until it has arrived; it never arrives twice.
    let mut total = -1;
    while total < all {
        total = client.ask("/call/example/total/all", &LONG).await;
    }
    assert_eq!(total, all, "seed {seed}");
    reminders.sort();
    assert_eq!(fired(&out, reminders.len()).await, reminders, "seed {seed}");
}

/// What the reminders said, each once by the ids of the records, when there are `count` of them.
async fn fired(out: &Path, count: usize) -> Vec<String> {
    loop {
        let text = tokio::fs::read_to_string(out).await.unwrap_or_default();
        // After a crash a line may come again, under the same id.
        let by_id: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|line| {
                (
                    line["id"].to_string(),
                    line["value"].as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        if by_id.len() >= count {
            let mut values: Vec<String> = by_id.into_values().collect();
            values.sort();
            return values;
        }
        tokio::task::yield_now().await;
    }
}
