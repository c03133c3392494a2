//! The destination of pipelines, `statefun sink`, which counts events; and events for it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::load;
use crate::process::Server;

/// The number of ids that send events.
pub(crate) const SOURCES: usize = 1000;
const POLL: Duration = Duration::from_millis(10);
/// If nothing arrives for this long, nothing more will arrive.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Sink {
    server: Server,
}

/// What has arrived.
#[derive(Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) received: u64,
    /// Repeats with the same idempotency key.
    pub(crate) duplicates: u64,
}

impl Sink {
    pub(crate) fn start() -> Result<Self> {
        let server = Server::sink()?;
        Ok(Self { server })
    }

    /// Where events are posted.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.server.address)
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Answers 503 from now on, or accepts everything again.
    pub(crate) fn switch(&self, on: bool) -> Result<()> {
        let path = if on { "/on" } else { "/off" };
        load::once(self.server.address, &load::post(path, "", b""))?;
        Ok(())
    }

    pub(crate) fn totals(&self) -> Result<Totals> {
        let totals = load::once(self.server.address, &load::get("/"))?;
        let totals: Value = serde_json::from_slice(&totals)?;
        let number = |name: &str| totals[name].as_u64().with_context(|| format!("no {name}"));
        Ok(Totals {
            received: number("received")?,
            duplicates: number("duplicates")?,
        })
    }

    /// Events that have arrived, each counted once.
    pub(crate) fn count(&self) -> Result<u64> {
        let totals = self.totals()?;
        Ok(totals.received - totals.duplicates)
    }

    /// Waits until `count` events have arrived, and returns that moment.
    ///
    /// # Errors
    /// If they do not arrive within `limit`.
    pub(crate) fn wait_for(&self, count: u64, limit: Duration) -> Result<Instant> {
        let (seen, since) = self.wait(count, limit)?;
        ensure!(
            seen >= count,
            "the sink has {seen} of {count} events after {limit:?}, the last one {:.0?} ago",
            since.elapsed()
        );
        Ok(since)
    }

    /// Waits until `count` events have arrived, at most for `limit`. Returns how many have arrived, and when the last one was seen.
    pub(crate) fn wait(&self, count: u64, limit: Duration) -> Result<(u64, Instant)> {
        let start = Instant::now();
        let (mut seen, mut since) = (0, start);
        loop {
            let now = self.count()?;
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
            let is_over = start.elapsed() > limit || since.elapsed() > PATIENCE;
            if seen >= count || is_over {
                return Ok((seen, since));
            }
            thread::sleep(POLL);
        }
    }
}

/// About 500 bytes of JSON to `path`.
pub(crate) fn event(path: &str, number: usize) -> Vec<u8> {
    let body = json!({
        "source": number % SOURCES,
        "number": number,
        "temperature": 21.5,
        "note": "x".repeat(430),
    });
    let body = body.to_string();
    load::post(path, "content-type: application/json\r\n", body.as_bytes())
}

/// An event to the entry of pipeline `name` of the namespace `bench`.
pub(crate) fn event_to(name: &str, number: usize) -> Vec<u8> {
    event(
        &format!("/send/bench/{name}/source-{}", number % SOURCES),
        number,
    )
}

/// An HTTP ingress.
pub(crate) const INGRESS: &str = "kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0'}
";

/// The document of the pipeline `name`: filter, set, export to `sink`.
pub(crate) fn pipeline(name: &str, sink: &Sink) -> String {
    format!(
        "---
kind: statefun.pipelines.v1/pipeline
spec:
  name: {name}
  namespace: bench
  storeAndForward: {{maxItems: 2000000}}
  stages:
    - filter: {{rule: {{'>': [{{var: temperature}}, 20]}}}}
    - set: {{site: north}}
    - http-export: {{url: '{}'}}
",
        sink.url()
    )
}
