//! Figures of the product against anchors of the same run, as one table.
//!
//! `cargo bench --features full` runs all sections; `-- handler` runs one of them, `-- sources=file,fixed,ours` some rows of one; `-- --quick` runs a
//! short round of each, to see that everything works. Servers are child processes; rounds alternate; figures are medians. A section that fails says why, and the others
//! remain valid.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a program that measures and prints"
)]

mod backlog;
mod by_hand;
mod counter;
mod disk;
mod handler;
mod load;
mod machine;
mod peers;
mod pipeline;
mod postgres;
mod process;
mod relay;
mod servers;
mod sink;
mod sources;
mod start;
#[cfg(feature = "kafka")]
#[allow(
    clippy::unwrap_used,
    reason = "shared with the tests, where a panic is a failure"
)]
mod support;
mod table;
mod tally;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use load::Report;
use table::Table;
use tempfile::TempDir;

/// How long and how often each load runs.
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
    /// Starts and kills, of which the median is reported.
    pub(crate) starts: usize,
    /// Keys of the large state, and events that wait during an outage.
    pub(crate) many: usize,
    /// Time limit for filling and for draining.
    pub(crate) limit: Duration,
    /// How long a backlog is measured at rest.
    pub(crate) rest: Duration,
    pub(crate) only: Only,
}

/// The rows of a section that are wanted: all, or those that are named.
pub(crate) struct Only(Vec<String>);

impl Only {
    #[cfg_attr(
        not(feature = "kafka"),
        expect(dead_code, reason = "the section `sources` has such rows")
    )]
    /// Whether rows of this kind `among` others are wanted: if it is named, or none of them is.
    pub(crate) fn wants(&self, kind: &str, among: &[&str]) -> bool {
        let mut named = self.0.iter().filter(|word| among.contains(&word.as_str()));
        let first = named.next();
        first.is_none_or(|first| first == kind) || named.any(|word| word == kind)
    }
}

const FULL: Pace = Pace {
    rounds: 3,
    warm_up: Duration::from_secs(1),
    measure: Duration::from_secs(3),
    starts: 9,
    many: 1_000_000,
    limit: Duration::from_secs(140),
    rest: Duration::from_secs(20),
    only: Only(Vec::new()),
};

const QUICK: Pace = Pace {
    rounds: 1,
    warm_up: Duration::from_millis(200),
    measure: Duration::from_millis(500),
    starts: 3,
    many: 20_000,
    limit: Duration::from_secs(30),
    rest: Duration::from_secs(2),
    only: Only(Vec::new()),
};

type Section = (&'static str, fn(&Pace, &mut Table) -> Result<()>);

const SECTIONS: [Section; 6] = [
    ("handler", handler::measure),
    ("counter", counter::measure),
    ("start", start::measure),
    ("pipeline", pipeline::measure),
    ("backlog", backlog::measure),
    ("sources", sources::measure),
];

fn main() -> ExitCode {
    // Cargo passes `--bench`.
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let done = match arguments.split_first() {
        Some((first, rest)) if first == "--serve" => servers::serve(rest),
        _ => figures(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("figures: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn figures(arguments: &[String]) -> Result<()> {
    let (flags, names): (Vec<_>, Vec<_>) = arguments.iter().partition(|it| it.starts_with('-'));
    let mut pace = match flags.as_slice() {
        [] => FULL,
        [flag] if *flag == "--quick" => QUICK,
        other => bail!("unknown {other:?}; there is --quick"),
    };
    let known = SECTIONS.map(|(name, _)| name);
    let mut wanted = Vec::new();
    for argument in names {
        let (name, words) = argument.split_once('=').unwrap_or((argument, ""));
        if !known.contains(&name) {
            bail!("unknown section {name}; there are {}", known.join(", "));
        }
        let words = words.split(',').filter(|word| !word.is_empty());
        pace.only.0.extend(words.map(str::to_owned));
        wanted.push(name);
    }
    let words = sources::ROWS.concat();
    if let Some(word) = pace
        .only
        .0
        .iter()
        .find(|word| !words.contains(&word.as_str()))
    {
        bail!(
            "unknown rows {word}; of sources there are {}",
            words.join(", ")
        );
    }
    let mut table = Table::default();
    let mut failed = Vec::new();
    for (name, measure) in SECTIONS {
        if (wanted.is_empty() || wanted.contains(&name))
            && let Err(err) = measure(&pace, &mut table)
        {
            table.note(&format!("section {name}"), &format!("FAILED: {err:#}"));
            failed.push(name);
        }
    }
    println!(
        "{}\n{} rounds of {:?}, medians\n",
        machine::name(),
        pace.rounds,
        pace.measure
    );
    table.print();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The median of some figures; zero if there are none.
pub(crate) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// A temporary folder on the disk of the build, removed with this value.
pub(crate) fn scratch() -> Result<TempDir> {
    Ok(TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// The report with the median rate.
pub(crate) fn median(mut reports: Vec<Report>) -> Report {
    reports.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    reports.swap_remove(reports.len() / 2)
}
