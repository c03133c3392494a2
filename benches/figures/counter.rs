//! The durable counter: an HTTP call that is answered when its effects are on disk. Functions in process, and over HTTP on a
//! server of their own; compared with the same hops without storage, and with a bare fdatasync.

use std::fs;

use anyhow::{Result, ensure};

use crate::load::{self, Load, Report};
use crate::process::{Server, Statefun};
use crate::table::{Table, at_least, at_most, none};
use crate::{Pace, disk, median, scratch, servers};

const IN_PROCESS: &str = "statefun.samples/counter";

struct Case {
    name: &'static str,
    connections: usize,
    keys: usize,
}

const CASES: [Case; 3] = [
    Case {
        name: "64 connections, 1,000 keys",
        connections: 64,
        keys: 1000,
    },
    Case {
        name: "64 connections, one key",
        connections: 64,
        keys: 1,
    },
    Case {
        name: "one connection",
        connections: 1,
        keys: 1000,
    },
];

/// The setup of a case.
#[derive(Default)]
struct Rounds {
    disk: Vec<Report>,
    echo: Vec<Report>,
    relay: Vec<Report>,
    in_memory: Vec<Report>,
    over_http: Vec<Report>,
    in_process: Vec<Report>,
}

pub(crate) fn measure(pace: &Pace, table: &mut Table) -> Result<()> {
    let folder = scratch()?;
    let functions = Server::start(&["handler"])?;
    let module = folder.path().join("module.yaml");
    fs::write(&module, module_of(&functions))?;
    let statefun = Statefun::durable(&module, &folder.path().join("data"))?;
    let in_memory = Statefun::ephemeral(&module)?;
    let relay = Server::start(&["relay", &functions.address.to_string()])?;
    let echo = Server::start(&["echo", "2"])?;
    for case in &CASES {
        let adder = servers::ADDER;
        let adder = adder.as_str();
        let mut rounds = Rounds::default();
        for round in 0..pace.rounds {
            let count = |server, function| count(case, server, function, round, pace);
            rounds.disk.push(disk::append_and_sync(pace)?);
            rounds.echo.push(load(case, &echo, adder, round, pace)?);
            rounds.relay.push(count(&relay, adder)?);
            rounds.in_memory.push(count(&in_memory, adder)?);
            rounds.over_http.push(count(&statefun, adder)?);
            rounds.in_process.push(count(&statefun, IN_PROCESS)?);
        }
        show(case, rounds, table);
    }
    Ok(())
}

fn show(case: &Case, rounds: Rounds, table: &mut Table) {
    let [disk, echo, relay, in_memory, over_http, in_process] = [
        rounds.disk,
        rounds.echo,
        rounds.relay,
        rounds.in_memory,
        rounds.over_http,
        rounds.in_process,
    ]
    .map(median);
    let name = |what| format!("{what}, {}", case.name);
    let of = |report: &Report, to: &Report| report.per_second / to.per_second;
    let is_alone = case.connections == 1;
    let loaded = |figure, limit, text| match case.keys {
        1 => none(),
        _ => at_least(figure, limit, text),
    };
    if is_alone {
        let what = "append of 4 KiB and fdatasync, one by one";
        table.load(what, "/s", &disk, None, none());
    }
    table.load(&name("hyper echo"), "req/s", &echo, None, none());
    let what = "two hops by hand, nothing stored, of echo";
    let ratio = Some(of(&relay, &echo));
    table.load(&name(what), "req/s", &relay, ratio, none());
    let what = "two hops through an in-memory core, of by hand";
    let ratio = Some(of(&in_memory, &relay));
    table.load(&name(what), "req/s", &in_memory, ratio, none());

    let latency = |report: &Report| {
        let beyond = report.p50.saturating_sub(disk.p50);
        at_most(beyond.as_secs_f64() * 1e6, 100.0, "us beyond the fdatasync")
    };
    let ratio = of(&over_http, &in_memory);
    let bar = match is_alone {
        true => latency(&over_http),
        false => loaded(ratio, 0.9, "of in memory"),
    };
    let what = "counter over HTTP, durable, of in memory";
    table.load(&name(what), "req/s", &over_http, Some(ratio), bar);
    let what = "counter over HTTP, durable, of by hand";
    table.ratio(&name(what), of(&over_http, &relay), none());
    let bar = match is_alone {
        true => latency(&in_process),
        false => loaded(in_process.per_second, 80_000.0, "req/s"),
    };
    let what = "counter in process, durable, of echo";
    let ratio = Some(of(&in_process, &echo));
    table.load(&name(what), "req/s", &in_process, ratio, bar);
    if is_alone {
        let p99 = in_process.p99.max(over_http.p99).as_secs_f64() * 1e6;
        let bar = at_most(p99, 2000.0, "us");
        table.figure(&name("the later p99 of the two"), p99, "us", bar);
    }
}

/// Runs the load, and checks that each answered call is counted once.
fn count(
    case: &Case,
    server: &Server,
    function: &str,
    round: usize,
    pace: &Pace,
) -> Result<Report> {
    let report = load(case, server, function, round, pace)?;
    let mut total = 0;
    for key in 0..case.keys {
        let answer = load::once(server.address, &call(case, function, round, key, "0"))?;
        total += str::from_utf8(&answer)?.trim().parse::<usize>()?;
    }
    ensure!(
        total == report.answered,
        "{total} counted of {} answered",
        report.answered
    );
    Ok(report)
}

fn load(case: &Case, server: &Server, function: &str, round: usize, pace: &Pace) -> Result<Report> {
    eprintln!(
        "counter, {}: round {}, {function} at {}",
        case.name,
        round + 1,
        server.address
    );
    let requests = (0..case.keys).map(|key| call(case, function, round, key, "1"));
    load::run(&Load {
        address: server.address,
        requests: requests.collect(),
        connections: case.connections,
        warm_up: pace.warm_up,
        measure: pace.measure,
        pid: server.pid(),
    })
}

fn call(case: &Case, function: &str, round: usize, key: usize, number: &str) -> Vec<u8> {
    let path = format!(
        "/call/{function}/{}-{}-{round}-{key}",
        case.connections, case.keys
    );
    load::post(&path, "content-type: text/plain\r\n", number.as_bytes())
}

fn module_of(functions: &Server) -> String {
    format!(
        "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.samples.v1/functions
spec: {{}}
---
kind: io.statefun.endpoints.v2/http
spec: {{functions: bench/*, urlPathTemplate: 'http://{}/'}}
",
        functions.address
    )
}
