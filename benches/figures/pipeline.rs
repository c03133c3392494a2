//! A pipeline whose destination is up: HTTP in, filter, set, HTTP out. Ours, which stores each event, compared with others.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::load::{self, Load, Report};
use crate::peers::{self, Peer};
use crate::process::{Server, Statefun};
use crate::sink::{self, Sink};
use crate::table::{Table, at_least, at_most, none};
use crate::{Pace, median, middle, scratch};

const CONNECTIONS: usize = 64;

/// A system that accepts events, and its measurements.
struct Subject<'a> {
    name: &'static str,
    server: &'a Server,
    /// Where it accepts them.
    path: Option<&'static str>,
    sink: &'a Sink,
    accepted: Vec<Report>,
    delivered: Vec<f64>,
}

pub(crate) fn measure(pace: &Pace, table: &mut Table) -> Result<()> {
    let folder = scratch()?;
    let module = folder.path().join("module.yaml");
    let sink = Sink::start()?;
    fs::write(
        &module,
        format!("{}{}", sink::INGRESS, sink::pipeline("pipe", &sink)),
    )?;
    let statefun = Statefun::durable(&module, &folder.path().join("data"))?;
    let mut others = Vec::new();
    for (name, peer) in [("EdgeX", peers::edgex()), ("Benthos", peers::benthos())] {
        match peer {
            Ok(peer) => others.push((name, peer)),
            Err(why) => table.note(&format!("SKIPPED: {name}"), &format!("{why:#}")),
        }
    }

    let mut subjects = vec![
        Subject::new("straight into the sink", sink.server(), Some("/in"), &sink),
        Subject::new("ours", &statefun, None, &sink),
    ];
    for (name, peer) in &others {
        let Peer {
            server, sink, path, ..
        } = peer;
        subjects.push(Subject::new(name, server, Some(path), sink));
    }
    for round in 0..pace.rounds {
        for subject in &mut subjects {
            eprintln!("pipeline: round {}, {}", round + 1, subject.name);
            subject.round(pace)?;
        }
    }
    let shown: Vec<_> = subjects.into_iter().map(|it| it.show(table)).collect();
    let ours = shown.get(1).context("ours was measured")?;
    for other in shown.iter().skip(2) {
        compare(ours, other, table);
    }
    Ok(())
}

impl<'a> Subject<'a> {
    const fn new(
        name: &'static str,
        server: &'a Server,
        path: Option<&'static str>,
        sink: &'a Sink,
    ) -> Self {
        Self {
            name,
            server,
            path,
            sink,
            accepted: Vec::new(),
            delivered: Vec::new(),
        }
    }

    fn round(&mut self, pace: &Pace) -> Result<()> {
        let event = |number| match self.path {
            Some(path) => sink::event(path, number),
            None => sink::event_to("pipe", number),
        };
        let before = self.sink.count()?;
        let start = Instant::now();
        let report = load::run(&Load {
            address: self.server.address,
            requests: (0..sink::SOURCES).map(event).collect(),
            connections: CONNECTIONS,
            warm_up: pace.warm_up,
            measure: pace.measure,
            pid: self.server.pid(),
        })?;
        let due = before + report.answered as u64;
        let last = self.sink.wait_for(due, pace.limit)?;
        let elapsed = (last - start).as_secs_f64();
        self.delivered.push(report.answered as f64 / elapsed);
        self.accepted.push(report);
        Ok(())
    }

    fn show(self, table: &mut Table) -> Shown {
        let (name, delivered) = (self.name, middle(self.delivered));
        let refused: usize = self.accepted.iter().map(|it| it.refused).sum();
        let accepted = median(self.accepted);
        let is_ours = name == "ours";
        let bar = if is_ours {
            at_most(accepted.p99.as_secs_f64() * 1e6, 20_000.0, "us p99")
        } else {
            none()
        };
        let what = format!("pipeline, {name}: accepted");
        table.load(&what, "events/s", &accepted, None, bar);
        let bar = if is_ours {
            at_least(delivered, 35_000.0, "events/s")
        } else {
            none()
        };
        let what = format!("pipeline, {name}: delivered");
        table.figure(&what, delivered, "events/s", bar);
        if is_ours {
            let micros = accepted.cpu_per_request.as_secs_f64() * 1e6;
            let bar = at_most(micros, 35.0, "us");
            table.figure("pipeline, ours: CPU an event", micros, "us", bar);
            table.figure("pipeline, ours: refusals", refused as f64, "", none());
            let longest = accepted.longest.as_secs_f64() * 1000.0;
            let what = "pipeline, ours: longest wait of a caller";
            table.figure(what, longest, "ms", none());
        }
        Shown {
            name,
            delivered,
            cpu: accepted.cpu_per_request.as_secs_f64(),
        }
    }
}

/// The median of the measurements.
struct Shown {
    name: &'static str,
    delivered: f64,
    /// Seconds per event.
    cpu: f64,
}

fn compare(ours: &Shown, other: &Shown, table: &mut Table) {
    let ratio = ours.delivered / other.delivered;
    let bar = match other.name {
        "EdgeX" => at_least(ratio, 4.0, "of EdgeX"),
        _ => none(),
    };
    let what = format!("delivered, ours of {}", other.name);
    table.ratio(&what, ratio, bar);
    let what = format!("CPU an event, {} of ours", other.name);
    table.ratio(&what, other.cpu / ours.cpu, none());
}
