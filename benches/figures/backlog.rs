//! A destination that is down while very many events arrive: the cost of accepting, keeping, listing and delivering them, and the
//! effect on another pipeline.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::load::{self, Fill, Filled, Load, Report};
use crate::process::{STATEFUN, Statefun};
use crate::sink::{self, Sink};
use crate::table::{Table, at_least, at_most, none};
use crate::{Pace, machine, median, scratch};

const CONNECTIONS: usize = 64;
const MANY_CONNECTIONS: usize = 256;
/// A checkpoint in progress has finished after this time.
const SETTLED: Duration = Duration::from_secs(5);
/// How often the slow start of the drain is sampled.
const POLL: Duration = Duration::from_millis(10);
const MIB: f64 = 1024.0 * 1024.0;

/// A runtime with two pipelines: `pipe`, whose destination goes down, and `well`, whose destination stays up.
struct Scene {
    module: PathBuf,
    data: PathBuf,
    down: Sink,
    up: Sink,
}

pub(crate) fn measure(pace: &Pace, table: &mut Table) -> Result<()> {
    let folder = scratch()?;
    let empty = Scene::new(&folder.path().join("empty"))?;
    one_life(
        &Scene::new(&folder.path().join("one"))?,
        &empty,
        pace,
        table,
    )?;
    drop(empty);
    killed(&Scene::new(&folder.path().join("two"))?, pace, table)
}

/// The backlog from the first event to the last delivery.
fn one_life(scene: &Scene, empty: &Scene, pace: &Pace, table: &mut Table) -> Result<()> {
    let statefun = scene.start()?;
    // What any load needs is not growth by the backlog.
    scene.round(&statefun, pace)?;
    let filled = scene.fill(CONNECTIONS, &statefun, pace, table)?;
    at_rest(&statefun, filled.accepted, pace, table);
    list(&statefun, filled.accepted, pace, table)?;
    let (alone, beside) = healthy(scene, &statefun, empty, pace)?;
    table.load("healthy pipeline, alone", "events/s", &alone, None, none());
    let ratio = beside.per_second / alone.per_second;
    let bar = at_least(ratio, 0.95, "of alone");
    let what = "healthy pipeline beside the backlog, of alone";
    table.load(what, "events/s", &beside, Some(ratio), bar);
    scene.drain(&statefun, filled.accepted, pace, table)
}

/// The backlog with more connections, and a start with it after kill -9.
fn killed(scene: &Scene, pace: &Pace, table: &mut Table) -> Result<()> {
    let statefun = scene.start()?;
    let filled = scene.fill(MANY_CONNECTIONS, &statefun, pace, table)?;
    statefun.kill()?;
    let start = Instant::now();
    let statefun = scene.start()?;
    let ready = start.elapsed().as_secs_f64() * 1000.0;
    load::once(statefun.address, &sink::event_to("well", 0))?;
    let answered = start.elapsed().as_secs_f64() * 1000.0;
    scene.up.wait_for(1, pace.limit)?;
    let delivered = start.elapsed().as_secs_f64() * 1000.0;
    let name = |what| format!("{what}, {} waiting", filled.accepted);
    table.figure(
        &name("kill -9 to ready"),
        ready,
        "ms",
        at_most(ready, 1000.0, "ms"),
    );
    let what = name("kill -9 to the first event accepted");
    table.figure(&what, answered, "ms", at_most(answered, 50.0, "ms"));
    let what = name("kill -9 to that event delivered");
    table.figure(&what, delivered, "ms", none());
    let memory = machine::resident_mib(statefun.pid());
    table.figure(&name("memory after the start"), memory, "MiB", none());
    Ok(())
}

impl Scene {
    fn new(folder: &Path) -> Result<Self> {
        fs::create_dir(folder)?;
        let (down, up) = (Sink::start()?, Sink::start()?);
        let module = folder.join("module.yaml");
        let pipelines = [sink::pipeline("pipe", &down), sink::pipeline("well", &up)];
        fs::write(&module, format!("{}{}", sink::INGRESS, pipelines.concat()))?;
        let data = folder.join("data");
        Ok(Self {
            module,
            data,
            down,
            up,
        })
    }

    fn start(&self) -> Result<Statefun> {
        Statefun::durable(&self.module, &self.data)
    }

    /// One round of the healthy pipeline: the rate at which it accepts events.
    fn round(&self, statefun: &Statefun, pace: &Pace) -> Result<Report> {
        let before = self.up.count()?;
        let events = (0..sink::SOURCES).map(|number| sink::event_to("well", number));
        let report = load::run(&Load {
            address: statefun.address,
            requests: events.collect(),
            connections: CONNECTIONS,
            warm_up: pace.warm_up,
            measure: pace.measure,
            pid: statefun.pid(),
        })?;
        let due = before + report.answered as u64;
        self.up.wait_for(due, pace.limit)?;
        Ok(report)
    }

    fn fill(
        &self,
        connections: usize,
        statefun: &Statefun,
        pace: &Pace,
        table: &mut Table,
    ) -> Result<Filled> {
        eprintln!("backlog: {} events at {connections} connections", pace.many);
        self.down.switch(false)?;
        let memory = machine::resident_mib(statefun.pid());
        let disk = machine::disk_bytes(&self.data)?;
        let written = machine::written_bytes(statefun.pid());
        let cpu = machine::cpu_time(statefun.pid());
        let fill = Fill {
            address: statefun.address,
            connections,
            count: pace.many,
            limit: pace.limit,
            request: |number| sink::event_to("pipe", number),
        };
        let filled = fill.run()?;
        let cpu = machine::cpu_time(statefun.pid()) - cpu;
        let written = machine::written_bytes(statefun.pid()) - written;
        let growth = machine::resident_mib(statefun.pid()) - memory;
        let peak = machine::peak_mib(statefun.pid()) - memory;
        let disk = machine::disk_bytes(&self.data)? as f64 - disk as f64;

        let accepted = filled.accepted;
        ensure!(accepted > 0, "nothing was accepted in {:?}", pace.limit);
        let name = |what: &str| format!("destination down, {connections} connections: {what}");
        let each = |figure: f64| figure / accepted as f64;
        if accepted < pace.many {
            let why = format!("{accepted} of {} in {:?}", pace.many, pace.limit);
            table.note(&name("the fill was ended"), &why);
        }
        let rate = filled.per_second();
        let what = format!("accepted, {accepted} events");
        let what = name(&what);
        let bar = at_least(rate, 15_000.0, "events/s");
        table.figure(&what, rate, "events/s", bar);
        let what = name("middle twentieth");
        table.figure(&what, filled.middle(), "events/s", none());
        let what = name("slowest twentieth");
        table.figure(&what, filled.slowest(), "events/s", none());
        let refused = filled.refused as f64;
        let bar = at_most(refused, 0.0, "refusals");
        table.figure(&name("refusals"), refused, "", bar);
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let what = name("longest wait of a caller");
        table.figure(&what, millis(filled.longest_wait), "ms", none());
        let what = name("longest time without an acceptance");
        table.figure(&what, millis(filled.longest_gap), "ms", none());
        let what = name("memory growth");
        table.figure(&what, growth, "MiB", at_most(growth, 64.0, "MiB"));
        table.figure(&name("peak of that growth"), peak, "MiB", none());
        let kept = each(disk / 1000.0);
        let bar = at_most(kept, 1.5, "KB");
        table.figure(&name("disk kept an event"), kept, "KB", bar);
        let what = name("written to disk an event");
        table.figure(&what, each(written as f64 / 1000.0), "KB", none());
        let what = name("CPU an event");
        table.figure(&what, each(cpu.as_secs_f64() * 1e6), "us", none());
        Ok(filled)
    }

    /// The destination works again.
    fn drain(
        &self,
        statefun: &Statefun,
        waiting: usize,
        pace: &Pace,
        table: &mut Table,
    ) -> Result<()> {
        eprintln!("backlog: drain");
        let before = self.down.totals()?;
        let cpu = machine::cpu_time(statefun.pid());
        let start = Instant::now();
        self.down.switch(true)?;
        while self.down.totals()?.received == before.received {
            ensure!(start.elapsed() < pace.limit, "the drain does not begin");
            thread::sleep(POLL);
        }
        let first = Instant::now();
        let already = before.received - before.duplicates;
        let (seen, last) = self.down.wait(already + waiting as u64, pace.limit)?;
        let delivered = (seen - already) as f64;
        let cpu = machine::cpu_time(statefun.pid()) - cpu;
        let duplicates = self.down.totals()?.duplicates - before.duplicates;

        let begun = (first - start).as_secs_f64();
        table.figure("drain, until it begins", begun, "s", none());
        if delivered < waiting as f64 {
            let why = format!("{delivered} of {waiting} in {:?}", pace.limit);
            table.note("the drain was ended", &why);
        }
        let rate = delivered / (last - first).as_secs_f64();
        let bar = at_least(rate, 20_000.0, "events/s");
        table.figure("drain", rate, "events/s", bar);
        let micros = cpu.as_secs_f64() * 1e6 / delivered;
        table.figure("drain, CPU an event", micros, "us", none());
        table.figure("drain, delivered twice", duplicates as f64, "", none());
        Ok(())
    }
}

/// The healthy pipeline of a runtime without a backlog and of the one with it, in alternating rounds.
fn healthy(
    scene: &Scene,
    statefun: &Statefun,
    empty: &Scene,
    pace: &Pace,
) -> Result<(Report, Report)> {
    let without = empty.start()?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..pace.rounds {
        eprintln!("backlog: healthy pipeline, round {}", round + 1);
        alone.push(empty.round(&without, pace)?);
        beside.push(scene.round(statefun, pace)?);
    }
    Ok((median(alone), median(beside)))
}

/// The cost of a backlog at rest.
fn at_rest(statefun: &Statefun, waiting: usize, pace: &Pace, table: &mut Table) {
    eprintln!("backlog: at rest");
    thread::sleep(SETTLED.min(pace.rest));
    let written = machine::written_bytes(statefun.pid());
    let cpu = machine::cpu_time(statefun.pid());
    let start = Instant::now();
    thread::sleep(pace.rest);
    let seconds = start.elapsed().as_secs_f64();
    let cpu = machine::cpu_time(statefun.pid()) - cpu;
    let written = machine::written_bytes(statefun.pid()) - written;
    let share = 100.0 * cpu.as_secs_f64() / seconds;
    let name = |what| format!("{waiting} waiting at rest: {what}");
    let bar = at_most(share, 2.0, "% of a core");
    table.figure(&name("CPU"), share, "% of a core", bar);
    let rate = written as f64 / 1e6 / seconds;
    table.figure(&name("written"), rate, "MB/s", none());
}

/// `statefun deliveries list`: its own memory, the server's, and the time it takes.
fn list(statefun: &Statefun, waiting: usize, pace: &Pace, table: &mut Table) -> Result<()> {
    eprintln!("backlog: deliveries list");
    let memory = machine::peak_mib(statefun.pid());
    let cpu = machine::cpu_time(statefun.pid());
    let start = Instant::now();
    let mut child = Command::new(STATEFUN)
        .args(["deliveries", "list", "--all", "--json", "--admin"])
        .arg(statefun.admin.to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    let pid = child.id();
    let mut output = BufReader::new(child.stdout.take().context("a piped stdout")?);
    let (mut bytes, mut peak) = (0, 0.0_f64);
    loop {
        let read = output.fill_buf()?.len();
        if read == 0 {
            break;
        }
        if start.elapsed() > pace.limit {
            child.kill()?;
        }
        output.consume(read);
        bytes += read;
        peak = peak.max(machine::peak_mib(pid));
    }
    let status = child.wait()?;
    let elapsed = start.elapsed().as_secs_f64();
    ensure!(
        status.success(),
        "`deliveries list` ended after {elapsed:.0} s: {status}"
    );
    let cpu = machine::cpu_time(statefun.pid()) - cpu;
    let growth = machine::peak_mib(statefun.pid()) - memory;
    let name = |what| format!("deliveries list of {waiting}: {what}");
    table.figure(&name("time"), elapsed, "s", none());
    table.figure(&name("output"), bytes as f64 / MIB, "MiB", none());
    table.figure(&name("memory of the command"), peak, "MiB", none());
    table.figure(&name("growth of the runtime's peak"), growth, "MiB", none());
    table.figure(&name("CPU of the runtime"), cpu.as_secs_f64(), "s", none());
    Ok(())
}
