//! The durable counter: an HTTP call that is answered when its effects are on disk. Functions in process, and over HTTP on a
//! server of their own.

use std::fs;

use anyhow::{Result, ensure};

use crate::load::{self, Load, Report};
use crate::process::Server;
use crate::table::{Table, at_least, at_most};
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

pub(crate) fn measure(pace: &Pace, table: &mut Table) -> Result<()> {
    let disk = disk::append_and_sync(pace)?;
    table.load(
        "append of 4 KiB and fdatasync, one by one",
        "/s",
        &disk,
        None,
        String::new(),
    );

    let folder = scratch()?;
    let functions = Server::start(&["handler"])?;
    let module = folder.path().join("module.yaml");
    fs::write(&module, module_of(&functions))?;
    let statefun = Server::statefun(&module, &folder.path().join("data"))?;
    let echo = Server::start(&["echo", "2"])?;
    for case in &CASES {
        let mut rounds: [Vec<Report>; 3] = Default::default();
        for round in 0..pace.rounds {
            let [bare, over_http, in_process] = &mut rounds;
            bare.push(load(case, &echo, servers::ADDER.as_str(), round, pace)?);
            over_http.push(count(
                case,
                &statefun,
                servers::ADDER.as_str(),
                round,
                pace,
            )?);
            in_process.push(count(case, &statefun, IN_PROCESS, round, pace)?);
        }
        let [bare, over_http, in_process] = rounds.map(median);
        show(case, &bare, &over_http, &in_process, table);
    }
    Ok(())
}

fn show(case: &Case, bare: &Report, over_http: &Report, in_process: &Report, table: &mut Table) {
    let name = |what| format!("{what}, {}", case.name);
    let of_echo = |report: &Report| Some(report.per_second / bare.per_second);
    let bar = |report: &Report, rate| match case.connections {
        1 => at_most(report.p99.as_secs_f64() * 1e6, 2000.0, "us p99"),
        _ if case.keys > 1 => at_least(report.per_second, rate, "req/s"),
        _ => String::new(),
    };
    table.load(&name("hyper echo"), "req/s", bare, None, String::new());
    let (ratio, bar_over_http) = (of_echo(over_http), bar(over_http, 13_000.0));
    table.load(
        &name("counter over HTTP"),
        "req/s",
        over_http,
        ratio,
        bar_over_http,
    );
    let (ratio, bar_in_process) = (of_echo(in_process), bar(in_process, 40_000.0));
    table.load(
        &name("counter in process"),
        "req/s",
        in_process,
        ratio,
        bar_in_process,
    );
}

/// The load, and the proof that each answered call is counted once.
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
