//! Start to ready, idle memory, and kill -9 to the first good answer.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, str};

use anyhow::{Result, ensure};

use crate::load::{self, Fill};
use crate::process::Statefun;
use crate::table::{Table, at_most, none};
use crate::{Pace, machine, middle, scratch};

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
        let server = Statefun::durable(&module, &data)?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        if number + 1 == pace.starts {
            thread::sleep(SETTLED);
            let idle = machine::resident_mib(server.pid());
            table.figure("idle memory", idle, "MiB", at_most(idle, 20.0, "MiB"));
        }
    }
    let ready = middle(times);
    table.figure(
        "start to ready, new folder",
        ready,
        "ms",
        at_most(ready, 10.0, "ms"),
    );

    for keys in [FEW_KEYS, pace.many] {
        let data = folder.path().join(format!("keys-{keys}"));
        recovery(keys, &module, &data, pace, table)?;
    }
    Ok(())
}

fn recovery(keys: usize, module: &Path, data: &Path, pace: &Pace, table: &mut Table) -> Result<()> {
    let mut server = Statefun::durable(module, data)?;
    eprintln!("start: {keys} keys");
    let fill = Fill {
        address: server.address,
        connections: 64,
        count: keys,
        limit: pace.limit,
        request: |key| message("send", key, "1"),
    };
    let filled = fill.run()?;
    let keys = filled.accepted;
    let name = format!("durable sends to {keys} new keys");
    table.figure(&name, filled.per_second(), "/s", none());
    let name = format!("memory after {keys} keys");
    table.figure(&name, machine::resident_mib(server.pid()), "MiB", none());

    let mut times = Vec::new();
    for kill in 0..pace.starts {
        server.kill()?;
        let start = Instant::now();
        server = Statefun::durable(module, data)?;
        let key = kill * (keys - 1) / pace.starts;
        let answer = load::once(server.address, &message("call", key, "0"))?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        ensure!(str::from_utf8(&answer)?.trim() == "1", "key {key} was lost");
    }
    let good = middle(times);
    let name = format!("kill -9 to the first good answer, {keys} keys");
    table.figure(&name, good, "ms", at_most(good, 50.0, "ms"));
    let name = format!("memory after recovery, {keys} keys");
    table.figure(&name, machine::resident_mib(server.pid()), "MiB", none());
    Ok(())
}

fn message(verb: &str, key: usize, number: &str) -> Vec<u8> {
    let path = format!("/{verb}/statefun.samples/counter/key-{key}");
    load::post(&path, "content-type: text/plain\r\n", number.as_bytes())
}
