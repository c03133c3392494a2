//! From a topic or a file to a counter: at saturation, with a bounded number of messages on their way, and at a fixed rate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow};

use super::LOADS;
use super::contestants::{Contestant, HEAP, OURS, Run};
use super::input::{Filled, Input, Rate};
use super::meter::{Meter, Sample};
use crate::process::Server;
use crate::table::{Table, at_least, at_most, none};
use crate::{Pace, scratch};

const KEYS: [(&str, u64); 2] = [("1,000 keys", 1_000), ("one key", 1)];
/// More than anybody reads in a second.
const FASTEST: u64 = 800_000;
const FIXED: u64 = 5_000;
/// Messages on their way when latency at saturation is measured.
const OUTSTANDING: u64 = 10_000;

/// The samples of everybody in the order of the contestants.
type Samples = Vec<(&'static str, Vec<Sample>)>;

/// StateFun's saturated rates with heap state, by the number of keys, as far as they were measured.
pub(super) type HeapRates = [Option<f64>; KEYS.len()];

/// Returns what was filled with 1,000 keys, and the rates of heap state in this run or else in `earlier`.
pub(super) fn measure(
    input: &impl Input,
    meter: &Meter,
    all: &mut Vec<Contestant>,
    pace: &Pace,
    earlier: HeapRates,
    table: &mut Table,
) -> Result<(Option<Filled>, HeapRates)> {
    let what = input.what();
    let (mut first, mut rates) = (None, earlier);
    let [saturates, bounds, fixes] =
        ["saturated", "bounded", "fixed"].map(|load| pace.only.wants(load, LOADS));
    for ((name, keys), heap) in KEYS.into_iter().zip(&mut rates) {
        let name = &format!("{what}, {name}");
        if saturates {
            let filled = fill(input, keys, pace)?;
            if first.is_none() {
                warm_up(input, meter, all, &filled, pace, table);
            }
            let saturated = rounds(all, pace, table, |one, _| {
                eprintln!("sources: saturated {name}: {}", one.name());
                saturated(input, meter, one, &filled, pace)
            })?;
            *heap = show_saturated(name, saturated, *heap, table);
            first.get_or_insert(filled);
        }
        if !bounds {
            continue;
        }
        let bounded = rounds(all, pace, table, |one, round| {
            eprintln!(
                "sources: {OUTSTANDING} on their way, {name}: {}",
                one.name()
            );
            let rate = Rate::Outstanding(OUTSTANDING);
            loaded(input, meter, one, (keys, rate, round), pace)
        })?;
        show_bounded(name, bounded, *heap, table);
    }
    if !fixes {
        return Ok((first, rates));
    }
    let fixed = rounds(all, pace, table, |one, round| {
        eprintln!("sources: {what}, {FIXED} messages/s: {}", one.name());
        let rate = Rate::PerSecond(FIXED);
        loaded(input, meter, one, (1_000, rate, round), pace)
    })?;
    show_fixed(what, fixed, table);
    Ok((first, rates))
}

/// More messages to `keys` addresses than anybody can read while it is measured.
pub(super) fn fill(input: &impl Input, keys: u64, pace: &Pace) -> Result<Filled> {
    let seconds = (pace.warm_up + pace.measure).as_secs_f64();
    let count = (FASTEST as f64 * seconds) as u64;
    eprintln!(
        "sources: {count} messages to {keys} keys into a {}",
        input.what()
    );
    input.fill(&format!("in-{keys}"), keys, count)
}

/// A round that is not measured, for who compiles while it runs. Who cannot run here is not compared.
fn warm_up(
    input: &impl Input,
    meter: &Meter,
    all: &mut Vec<Contestant>,
    filled: &Filled,
    pace: &Pace,
    table: &mut Table,
) {
    all.retain_mut(|one| {
        if let Contestant::Ours = one {
            return true;
        }
        eprintln!("sources: warm-up: {}", one.name());
        let warm = saturated(input, meter, one, filled, pace);
        if let Err(why) = &warm {
            table.note(&format!("SKIPPED: {}", one.name()), &format!("{why:#}"));
        }
        warm.is_ok()
    });
}

/// Alternating rounds of everybody. A failed one of the real StateFun is reported, and does not count.
pub(super) fn rounds<T>(
    all: &mut [Contestant],
    pace: &Pace,
    table: &mut Table,
    mut round: impl FnMut(&mut Contestant, usize) -> Result<T>,
) -> Result<Vec<(&'static str, Vec<T>)>> {
    let mut samples: Vec<_> = all.iter().map(|one| (one.name(), Vec::new())).collect();
    for number in 0..pace.rounds {
        for (one, (_, samples)) in all.iter_mut().zip(&mut samples) {
            match (round(one, number), &one) {
                (Ok(sample), _) => samples.push(sample),
                (Err(why), Contestant::Ours) => return Err(why),
                (Err(why), Contestant::StateFun { name, .. }) => {
                    table.note(&format!("a round of {name} failed"), &format!("{why:#}"));
                }
            }
        }
    }
    samples.retain(|(_, samples)| !samples.is_empty());
    Ok(samples)
}

fn saturated(
    input: &impl Input,
    meter: &Meter,
    one: &mut Contestant,
    filled: &Filled,
    pace: &Pace,
) -> Result<Sample> {
    let folder = scratch()?;
    meter.begin(None)?;
    let mut run = one.begin(&module(input, &filled.name, meter), folder.path())?;
    let sample = meter.first(|| run.must_run()).and_then(|()| {
        thread::sleep(pace.warm_up);
        meter.measure(run.pid(), pace.measure, filled.count)
    });
    ended(run, sample)
}

/// With a load of (keys, rate, round) while it is measured.
fn loaded(
    input: &impl Input,
    meter: &Meter,
    one: &mut Contestant,
    (keys, rate, round): (u64, Rate, usize),
    pace: &Pace,
) -> Result<Sample> {
    let folder = scratch()?;
    let kind = match rate {
        Rate::PerSecond(_) => "fixed",
        Rate::Outstanding(_) => "bounded",
    };
    let who = one.name().replace([' ', ','], "");
    let name = format!("{kind}-{keys}-{who}-{round}");
    input.make(&name)?;
    meter.begin(None)?;
    let mut run = one.begin(&module(input, &name, meter), folder.path())?;
    let ends = AtomicBool::new(false);
    let sample = thread::scope(|scope| {
        let load = scope.spawn(|| input.load(&name, keys, rate, meter, &ends));
        let sample = meter.first(|| run.must_run()).and_then(|()| {
            thread::sleep(pace.warm_up);
            meter.measure(run.pid(), pace.measure, u64::MAX)
        });
        ends.store(true, Ordering::Relaxed);
        let load = load.join().map_err(|_| anyhow!("the load has panicked"))?;
        load.and(sample)
    });
    ended(run, sample)
}

/// Ends a run whatever was measured; a run that has ended before was not measured.
pub(super) fn ended<T>(mut run: Run<'_>, measured: Result<T>) -> Result<T> {
    let ran = run.must_run();
    let ended = run.end();
    let measured = measured?;
    ran.and(ended)?;
    Ok(measured)
}

/// A module that is the same for everybody.
fn module(input: &impl Input, name: &str, functions: &Server) -> String {
    format!("{}---\n{}", input.ingress(name), endpoint(functions))
}

pub(super) fn endpoint(functions: &Server) -> String {
    format!(
        "kind: io.statefun.endpoints.v2/http
spec: {{functions: bench/*, urlPathTemplate: 'http://{}/'}}
",
        functions.address
    )
}

/// The figure of one contestant.
fn of(samples: &[(&'static str, Sample)], name: &str, figure: fn(&Sample) -> f64) -> Option<f64> {
    let found = samples.iter().find(|(found, _)| *found == name);
    found.map(|(_, sample)| figure(sample))
}

fn medians(
    samples: Samples,
    median: fn(Vec<Sample>) -> Option<Sample>,
) -> Vec<(&'static str, Sample)> {
    let medians = samples.into_iter();
    medians
        .filter_map(|(name, samples)| Some((name, median(samples)?)))
        .collect()
}

/// Returns the rate of heap state.
fn show_saturated(
    name: &str,
    samples: Samples,
    heap: Option<f64>,
    table: &mut Table,
) -> Option<f64> {
    let medians = medians(samples, Sample::median);
    let heap = of(&medians, HEAP, |sample| sample.report.per_second).or(heap);
    for (who, sample) in &medians {
        let what = format!("saturated {name}: {who}");
        let ratio = heap.map(|heap| sample.report.per_second / heap);
        let bar = match (*who, ratio) {
            (OURS, Some(ratio)) => at_least(ratio, 1.0, "of heap state"),
            _ => none(),
        };
        let mut report = sample.report.clone();
        // The messages have been there for any time.
        (report.p50, report.p99) = Default::default();
        table.load(&what, "messages/s", &report, ratio, bar);
        let what = format!("{what}, messages in a call");
        table.figure(&what, sample.per_call, "", none());
    }
    heap
}

fn show_bounded(name: &str, samples: Samples, heap: Option<f64>, table: &mut Table) {
    for (who, sample) in &medians(samples, Sample::median) {
        let what = format!("{OUTSTANDING} messages on their way, {name}: {who}");
        let ratio = heap.map(|heap| sample.report.per_second / heap);
        let p99 = sample.report.p99.as_secs_f64() * 1e6;
        let bar = match *who {
            OURS => at_most(p99, 200_000.0, "us p99"),
            _ => none(),
        };
        table.load(&what, "messages/s", &sample.report, ratio, bar);
    }
}

fn show_fixed(from: &str, samples: Samples, table: &mut Table) {
    for (name, sample) in medians(samples, Sample::median_p99) {
        let is_ours = name == OURS;
        let bar = |figure, limit, text| match is_ours {
            true => at_most(figure, limit, text),
            false => none(),
        };
        let what = format!("{from}, {FIXED} messages/s: {name}");
        let p50 = sample.report.p50.as_secs_f64() * 1e6;
        let p99 = sample.report.p99.as_secs_f64() * 1e6;
        let latency = bar(p50, 1_000.0, "us p50");
        table.load(&what, "messages/s", &sample.report, None, latency);
        if is_ours {
            let what = format!("{what}, p99");
            table.figure(&what, p99, "us", bar(p99, 4_000.0, "us"));
        }
        let cores = sample.cores();
        let cpu = format!("{what}, CPU");
        table.figure(&cpu, cores, "cores", bar(cores, 0.4, "cores"));
        let per_call = format!("{what}, messages in a call");
        table.figure(&per_call, sample.per_call, "", none());
    }
}
