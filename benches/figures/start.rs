//! Start to ready, idle memory, and kill -9 to the first good answer.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, str};

use anyhow::{Result, ensure};

use crate::load;
use crate::process::Server;
use crate::table::{Table, at_most};
use crate::{Pace, machine, scratch};

const MODULE: &str = "kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0'}
---
kind: statefun.samples.v1/functions
spec: {}
";
const FEW_KEYS: usize = 1000;
/// An idle process has settled after this time.
const SETTLED: Duration = Duration::from_secs(1);

pub(crate) fn measure(pace: &Pace, table: &mut Table) -> Result<()> {
    let folder = scratch()?;
    let module = folder.path().join("module.yaml");
    fs::write(&module, MODULE)?;

    let mut times = Vec::new();
    for number in 0..pace.starts {
        let data = folder.path().join(format!("new-{number}"));
        let start = Instant::now();
        let server = Server::statefun(&module, &data)?;
        times.push(start.elapsed());
        if number + 1 == pace.starts {
            thread::sleep(SETTLED);
            let idle = machine::resident_mib(server.pid());
            table.figure("idle memory", idle, "MiB", at_most(idle, 30.0, "MiB"));
        }
    }
    let ready = middle(times);
    table.figure(
        "start to ready, new folder",
        ready,
        "ms",
        at_most(ready, 50.0, "ms"),
    );

    for keys in [FEW_KEYS, pace.many] {
        let data = folder.path().join(format!("keys-{keys}"));
        recovery(keys, &module, &data, pace, table)?;
    }
    Ok(())
}

fn recovery(keys: usize, module: &Path, data: &Path, pace: &Pace, table: &mut Table) -> Result<()> {
    let mut server = Server::statefun(module, data)?;
    eprintln!("start: {keys} keys");
    let rate = load::each(server.address, 64, keys, |key| message("send", key, "1"))?;
    let name = format!("durable sends to {keys} new keys");
    table.figure(&name, rate, "/s", String::new());
    let name = format!("memory after {keys} keys");
    table.figure(
        &name,
        machine::resident_mib(server.pid()),
        "MiB",
        String::new(),
    );

    let mut times = Vec::new();
    for kill in 0..pace.starts {
        server.kill()?;
        let start = Instant::now();
        server = Server::statefun(module, data)?;
        let key = kill * (keys - 1) / pace.starts;
        let answer = load::once(server.address, &message("call", key, "0"))?;
        times.push(start.elapsed());
        ensure!(str::from_utf8(&answer)?.trim() == "1", "key {key} was lost");
    }
    let good = middle(times);
    let name = format!("kill -9 to the first good answer, {keys} keys");
    table.figure(&name, good, "ms", at_most(good, 300.0, "ms"));
    let name = format!("memory after recovery, {keys} keys");
    table.figure(
        &name,
        machine::resident_mib(server.pid()),
        "MiB",
        String::new(),
    );
    Ok(())
}

fn message(verb: &str, key: usize, number: &str) -> Vec<u8> {
    let path = format!("/{verb}/statefun.samples/counter/key-{key}");
    load::post(&path, "content-type: text/plain\r\n", number.as_bytes())
}

/// The middle one, in milliseconds.
fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
