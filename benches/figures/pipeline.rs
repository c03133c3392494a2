//! A durable pipeline: HTTP in, filter, set, HTTP out. First with its destination up, then with an outage.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::load::{self, Load};
use crate::process::Server;
use crate::table::{Table, at_least, at_most};
use crate::{Pace, machine, scratch};

const CONNECTIONS: usize = 64;
/// Ids that events come from.
const SOURCES: usize = 1000;
const POLL: Duration = Duration::from_millis(10);

pub(crate) fn measure(pace: &Pace, table: &mut Table) -> Result<()> {
    let folder = scratch()?;
    let module = folder.path().join("module.yaml");
    let sink = Server::sink()?;
    fs::write(&module, module_of(&sink))?;
    let statefun = Server::statefun(&module, &folder.path().join("data"))?;
    up(&statefun, &sink, pace, table)?;
    outage(&statefun, &sink, pace, table)
}

fn up(statefun: &Server, sink: &Server, pace: &Pace, table: &mut Table) -> Result<()> {
    eprintln!("pipeline: destination up");
    let start = Instant::now();
    let report = load::run(&Load {
        address: statefun.address,
        requests: (0..SOURCES).map(event).collect(),
        connections: CONNECTIONS,
        warm_up: pace.warm_up,
        measure: pace.measure,
        pid: statefun.pid(),
    })?;
    wait_for(sink, report.answered as u64)?;
    let delivered = report.answered as f64 / start.elapsed().as_secs_f64();
    let bar = at_most(report.p99.as_secs_f64() * 1e6, 20_000.0, "us p99");
    table.load("pipeline, accepted", "events/s", &report, None, bar);
    let bar = at_least(delivered, 20_000.0, "events/s");
    table.figure("pipeline, delivered", delivered, "events/s", bar);
    Ok(())
}

fn outage(statefun: &Server, sink: &Server, pace: &Pace, table: &mut Table) -> Result<()> {
    eprintln!("pipeline: outage with {} events", pace.many);
    let before = received(sink)?;
    let memory = machine::resident_mib(statefun.pid());
    load::once(sink.address, &load::post("/off", "", b""))?;
    let accepted = load::each(statefun.address, CONNECTIONS, pace.many, event)?;
    let growth = machine::resident_mib(statefun.pid()) - memory;
    let start = Instant::now();
    load::once(sink.address, &load::post("/on", "", b""))?;
    wait_for(sink, before + pace.many as u64)?;
    let drained = pace.many as f64 / start.elapsed().as_secs_f64();

    let bar = at_least(accepted, 10_000.0, "events/s");
    table.figure("destination down, accepted", accepted, "events/s", bar);
    let name = format!("memory growth, {} events waiting", pace.many);
    table.figure(&name, growth, "MiB", at_most(growth, 64.0, "MiB"));
    let bar = at_least(drained, 20_000.0, "events/s");
    table.figure("drain afterwards", drained, "events/s", bar);
    Ok(())
}

/// Waits until the sink has as many events; for as long as there are new ones.
fn wait_for(sink: &Server, count: u64) -> Result<()> {
    let (mut seen, mut since) = (received(sink)?, Instant::now());
    while seen < count {
        thread::sleep(POLL);
        let now = received(sink)?;
        if now > seen {
            (seen, since) = (now, Instant::now());
        }
        let stuck = since.elapsed() > Duration::from_secs(60);
        anyhow::ensure!(
            !stuck,
            "the sink has {seen} of {count} events and gets no more"
        );
    }
    Ok(())
}

/// Events at the sink, each counted once.
fn received(sink: &Server) -> Result<u64> {
    let totals: Value = serde_json::from_slice(&load::once(sink.address, &load::get("/"))?)?;
    totals["distinct_keys"].as_u64().context("no count")
}

/// About 500 bytes of JSON.
fn event(number: usize) -> Vec<u8> {
    let body = json!({
        "source": number % SOURCES,
        "number": number,
        "temperature": 21.5,
        "note": "x".repeat(430),
    });
    let path = format!("/send/bench/pipe/source-{}", number % SOURCES);
    let body = body.to_string();
    load::post(&path, "content-type: application/json\r\n", body.as_bytes())
}

fn module_of(sink: &Server) -> String {
    format!(
        "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.pipelines.v1/pipeline
spec:
  name: pipe
  namespace: bench
  stages:
    - filter: {{rule: {{'>': [{{var: temperature}}, 20]}}}}
    - set: {{site: north}}
    - http-export: {{url: 'http://{}/in'}}
",
        sink.address
    )
}
