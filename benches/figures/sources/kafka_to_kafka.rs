//! From a topic to a topic, exactly once: what a reader of committed records sees, at saturation and at a low rate.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::LOADS;
use super::contestants::{Contestant, HEAP, OURS, Run};
use super::input::{Filled, Input as _, Rate};
use super::meter::Meter;
use super::to_counter::{ended, endpoint, fill, rounds};
use super::topics::{Committed, Kafka};
use crate::load::Report;
use crate::table::{Table, at_least, at_most, none};
use crate::{Pace, machine, median, scratch, tally};

/// Messages per second at low load.
const LOW: u64 = 100;
const ENOUGH: f64 = 60_000.0;
const POLL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn measure(
    kafka: &Kafka,
    meter: &Meter,
    filled: Option<Filled>,
    all: &mut [Contestant],
    pace: &Pace,
    table: &mut Table,
) -> Result<()> {
    // Both kinds of state commit at their checkpoints.
    let is_shown = |one: &&Contestant| [OURS, HEAP].contains(&one.name());
    let shown = all.iter().filter(is_shown).count();
    let all = &mut all[..shown];
    if pace.only.wants("saturated", LOADS) {
        let input = &match filled {
            Some(filled) => filled,
            None => fill(kafka, 1_000, pace)?,
        };
        let saturated = rounds(all, pace, table, |one, _| {
            eprintln!("sources: Kafka to Kafka, saturated: {}", one.name());
            saturated(kafka, meter, one, input, pace)
        })?;
        show_saturated(saturated, table);
    }
    if !pace.only.wants("low", LOADS) {
        return Ok(());
    }
    let low = rounds(all, pace, table, |one, _| {
        eprintln!("sources: Kafka to Kafka, {LOW} messages/s: {}", one.name());
        low(kafka, meter, one, pace)
    })?;
    for (name, reports) in low {
        let report = median_p99(reports);
        let p99 = report.p99.as_secs_f64() * 1e6;
        let bar = match name {
            OURS => at_most(p99, 250_000.0, "us p99"),
            _ => none(),
        };
        let what = format!("Kafka to Kafka, exactly once, {LOW} messages/s: {name}");
        table.load(&what, "committed/s", &report, None, bar);
    }
    Ok(())
}

fn show_saturated(samples: Vec<(&'static str, Vec<Report>)>, table: &mut Table) {
    let medians: Vec<_> = samples
        .into_iter()
        .map(|(name, reports)| (name, median(reports)))
        .collect();
    let heap = medians.iter().find(|(name, _)| *name == HEAP);
    let heap = heap.map(|(_, report)| report.per_second);
    for (name, report) in &medians {
        let rate = report.per_second;
        let enough = heap.map_or(ENOUGH, |heap| heap.min(ENOUGH));
        let bar = match *name {
            OURS => at_least(rate, enough, "committed/s"),
            _ => none(),
        };
        let what = format!("Kafka to Kafka, exactly once, saturated: {name}");
        let ratio = heap.map(|heap| rate / heap);
        table.load(&what, "committed/s", report, ratio, bar);
    }
}

/// A topic of its own for each round, and what is committed in it.
fn out(kafka: &Kafka) -> Result<(String, Committed)> {
    static NUMBERS: AtomicUsize = AtomicUsize::new(0);
    let out = format!("out-{}", NUMBERS.fetch_add(1, Ordering::Relaxed));
    kafka.make(&out)?;
    let committed = kafka.committed(&out)?;
    Ok((out, committed))
}

fn module(kafka: &Kafka, input: &str, out: &str, meter: &Meter, one: &Contestant) -> String {
    // The other one numbers its transactions itself.
    let own_id = match one {
        Contestant::Ours => format!("  properties: [{{transactional.id: {out}}}]\n"),
        Contestant::StateFun { .. } => String::new(),
    };
    format!(
        "{}---
{}---
kind: io.statefun.kafka.v1/egress
spec:
  id: {}
  address: {}
  deliverySemantic: {{type: exactly-once, transactionTimeout: 5min}}
{own_id}",
        kafka.ingress(input),
        endpoint(meter),
        tally::OUT,
        kafka.address(),
    )
}

fn saturated(
    kafka: &Kafka,
    meter: &Meter,
    one: &mut Contestant,
    input: &Filled,
    pace: &Pace,
) -> Result<Report> {
    let folder = scratch()?;
    let (out, mut committed) = out(kafka)?;
    meter.begin(Some(&out))?;
    let module = module(kafka, &input.name, &out, meter, one);
    let mut run = one.begin(&module, folder.path())?;
    let report = stream(&mut committed, &mut run, input, pace);
    ended(run, report)
}

fn stream(
    committed: &mut Committed,
    run: &mut Run<'_>,
    input: &Filled,
    pace: &Pace,
) -> Result<Report> {
    first(committed, run)?;
    committed.read(pace.warm_up)?;
    // Commits come in waves: from the end of one to the end of another.
    let (begun, before) = wave(committed, run)?;
    let cpu = machine::cpu_time(run.pid());
    let (mut ended, mut count) = (begun, before);
    while ended - begun < pace.measure && count < input.count {
        (ended, count) = wave(committed, run)?;
    }
    let cpu = machine::cpu_time(run.pid()).saturating_sub(cpu);
    let (elapsed, records) = ((ended - begun).as_secs_f64(), (count - before) as f64);
    let resident_mib = machine::resident_mib(run.pid());
    Ok(Report {
        per_second: records / elapsed,
        p50: Duration::ZERO,
        p99: Duration::ZERO,
        cpu_per_request: cpu.div_f64(records),
        resident_mib,
        answered: records as usize,
        refused: 0,
        longest: Duration::ZERO,
    })
}

/// Waits for the first committed record.
fn first(committed: &mut Committed, run: &mut Run<'_>) -> Result<()> {
    let start = Instant::now();
    while committed.count == 0 {
        run.must_run()?;
        ensure!(start.elapsed() < PATIENCE, "nothing is committed");
        committed.read(POLL)?;
    }
    Ok(())
}

/// Reads until records come and then none for a moment, or for a second: the time of the last one, and how many there are.
fn wave(committed: &mut Committed, run: &mut Run<'_>) -> Result<(Instant, u64)> {
    let start = Instant::now();
    let (mut last, before) = (start, committed.count);
    loop {
        run.must_run()?;
        ensure!(start.elapsed() < PATIENCE, "nothing more is committed");
        let known = committed.count;
        committed.read(POLL)?;
        if committed.count > known {
            last = Instant::now();
        }
        let is_over = committed.count == known || start.elapsed() > Duration::from_secs(1);
        if committed.count > before && is_over {
            return Ok((last, committed.count));
        }
    }
}

fn low(kafka: &Kafka, meter: &Meter, one: &mut Contestant, pace: &Pace) -> Result<Report> {
    let folder = scratch()?;
    let (out, mut committed) = out(kafka)?;
    let input = format!("low-{out}");
    kafka.make(&input)?;
    meter.begin(Some(&out))?;
    let module = module(kafka, &input, &out, meter, one);
    let mut run = one.begin(&module, folder.path())?;
    let ends = AtomicBool::new(false);
    let rate = Rate::PerSecond(LOW);
    let measured = thread::scope(|scope| {
        let load = scope.spawn(|| kafka.load(&input, LOW, rate, meter, &ends));
        let mut measured = || {
            first(&mut committed, &mut run)?;
            committed.read(pace.warm_up)?;
            let cpu = machine::cpu_time(run.pid());
            let micros = committed.read(2 * pace.measure)?;
            let cpu = machine::cpu_time(run.pid()).saturating_sub(cpu);
            let report = Report::of(micros, 2 * pace.measure)?;
            Ok(Report {
                cpu_per_request: cpu.div_f64(report.answered as f64),
                resident_mib: machine::resident_mib(run.pid()),
                ..report
            })
        };
        let measured = measured();
        ends.store(true, Ordering::Relaxed);
        let load = load.join().map_err(|_| anyhow!("the load has panicked"))?;
        load.and(measured)
    });
    ended(run, measured)
}

fn median_p99(mut reports: Vec<Report>) -> Report {
    reports.sort_by_key(|report| report.p99);
    reports.swap_remove(reports.len() / 2)
}
