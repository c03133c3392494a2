//! The handler over HTTP, compared with an echo of the same sizes and with the same counter written by hand.

use anyhow::{Result, ensure};
use prost::Message;

use crate::by_hand::{self, Address, Batch, Invocation, PersistedValue, ToFunction};
use crate::load::{self, Load, Report};
use crate::process::Server;
use crate::table::{Table, at_least, none};
use crate::{Pace, median, servers};

const CONNECTIONS: usize = 64;

pub(crate) fn measure(pace: &Pace, table: &mut Table) -> Result<()> {
    for (size, bar) in [(1, 1.0), (10, 1.15), (100, 1.5)] {
        batch(size, bar, pace, table)?;
    }
    Ok(())
}

fn batch(size: usize, bar: f64, pace: &Pace, table: &mut Table) -> Result<()> {
    let body = request(size);
    let ours = Server::start(&["handler"])?;
    let by_hand = Server::start(&["by-hand"])?;
    let request = load::post("/", "content-type: application/octet-stream\r\n", &body);
    let reply = load::once(ours.address, &request)?;
    ensure!(
        reply == load::once(by_hand.address, &request)?,
        "the two counters answer differently"
    );
    let echo = Server::start(&["echo", &reply.len().to_string()])?;

    let mut rounds: [Vec<Report>; 3] = Default::default();
    for round in 0..pace.rounds {
        for (server, reports) in [&echo, &by_hand, &ours].into_iter().zip(&mut rounds) {
            eprintln!(
                "handler, batch {size}: round {}, {}",
                round + 1,
                server.address
            );
            reports.push(load::run(&Load {
                address: server.address,
                requests: vec![request.clone()].into(),
                connections: CONNECTIONS,
                warm_up: pace.warm_up,
                measure: pace.measure,
                pid: server.pid(),
            })?);
        }
    }
    let [echo, by_hand, ours] = rounds.map(median);
    let (sent, received) = (body.len(), reply.len());
    let unit = if size == 1 { "req/s" } else { "batches/s" };
    let of = |report: &Report, to: &Report| Some(report.per_second / to.per_second);
    let name = format!("hyper echo, {sent} B in, {received} B out");
    table.load(&name, unit, &echo, None, none());
    let name = format!("hyper + prost by hand, batch {size}, of echo");
    table.load(&name, unit, &by_hand, of(&by_hand, &echo), none());
    let ratio = ours.per_second / by_hand.per_second;
    let name = format!("handler, batch {size}, of by hand");
    let bar = at_least(ratio, bar, "of by hand");
    table.load(&name, unit, &ours, Some(ratio), bar);
    let name = format!("handler, batch {size}, CPU of by hand");
    let cpu = ours
        .cpu_per_request
        .div_duration_f64(by_hand.cpu_per_request);
    table.ratio(&name, cpu, none());
    if size > 1 {
        let name = format!("handler, batch {size}, invocations");
        table.figure(&name, ours.per_second * size as f64, "/s", none());
    }
    Ok(())
}

/// One address, one value, `size` messages of an ingress.
fn request(size: usize) -> Vec<u8> {
    let message = Invocation {
        caller: None,
        argument: Some(by_hand::text("seventeen letters")),
    };
    let batch = Batch {
        target: Some(Address {
            namespace: servers::COUNTER.namespace().to_owned(),
            r#type: servers::COUNTER.name().to_owned(),
            id: "id-12345".to_owned(),
        }),
        state: vec![PersistedValue {
            state_name: "seen".to_owned(),
            state_value: Some(by_hand::int(41)),
        }],
        invocations: vec![message; size],
    };
    ToFunction { batch: Some(batch) }.encode_to_vec()
}
