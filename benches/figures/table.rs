//! The table that is printed at the end, as Markdown.

use std::time::Duration;

use crate::load::Report;

const HEADINGS: [&str; 8] = [
    "what",
    "figure",
    "ratio",
    "CPU us/req",
    "p50 us",
    "p99 us",
    "MiB",
    "bar",
];

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; HEADINGS.len()]>,
    /// Cases without a figure, and why.
    notes: Vec<String>,
}

/// A bar that a figure should reach.
pub(crate) fn at_least(figure: f64, limit: f64, text: &str) -> String {
    verdict("at least", limit, text, figure >= limit)
}

/// A bar that a figure should stay below.
pub(crate) fn at_most(figure: f64, limit: f64, text: &str) -> String {
    verdict("at most", limit, text, figure <= limit)
}

/// No bar.
pub(crate) fn none() -> String {
    String::new()
}

fn verdict(word: &str, limit: f64, text: &str, met: bool) -> String {
    let answer = if met { "met" } else { "NOT met" };
    format!("{word} {} {text}: {answer}", number(limit))
}

impl Table {
    /// A rate under load, and its ratio to another one.
    pub(crate) fn load(
        &mut self,
        what: &str,
        unit: &str,
        report: &Report,
        ratio: Option<f64>,
        bar: String,
    ) {
        self.push([
            what.to_owned(),
            format!("{} {unit}", number(report.per_second)),
            ratio.map(number).unwrap_or_default(),
            known(
                report.cpu_per_request > Duration::ZERO,
                micros(report.cpu_per_request),
            ),
            known(report.p50 > Duration::ZERO, micros(report.p50)),
            known(report.p99 > Duration::ZERO, micros(report.p99)),
            known(report.resident_mib > 0.0, number(report.resident_mib)),
            bar,
        ]);
    }

    /// A single figure, such as a time or a size.
    pub(crate) fn figure(&mut self, what: &str, figure: f64, unit: &str, bar: String) {
        self.row(
            what,
            format!("{} {unit}", number(figure)),
            String::new(),
            bar,
        );
    }

    /// The ratio of two figures of this run.
    pub(crate) fn ratio(&mut self, what: &str, ratio: f64, bar: String) {
        self.row(what, String::new(), number(ratio), bar);
    }

    /// Records why a case has no figure.
    pub(crate) fn note(&mut self, what: &str, why: &str) {
        let note = format!("{what}: {why}");
        eprintln!("    {note}");
        self.notes.push(note);
    }

    fn row(&mut self, what: &str, figure: String, ratio: String, bar: String) {
        let mut row: [String; HEADINGS.len()] = Default::default();
        row[0] = what.to_owned();
        row[1] = figure;
        row[2] = ratio;
        row[HEADINGS.len() - 1] = bar;
        self.push(row);
    }

    /// Rows are printed as they come, so that an interrupted run has shown its results.
    fn push(&mut self, row: [String; HEADINGS.len()]) {
        eprintln!("    {}", row.join(" | "));
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        let mut lines = vec![HEADINGS.map(str::to_owned)];
        lines.extend(self.rows.iter().cloned());
        let widths: Vec<_> = (0..HEADINGS.len())
            .map(|column| {
                lines
                    .iter()
                    .map(|line| line[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for (index, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, &width))| match column {
                0 | 7 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
            if index == 0 {
                let rule: Vec<_> = widths.iter().map(|&width| "-".repeat(width)).collect();
                println!("| {} |", rule.join(" | "));
            }
        }
        for note in &self.notes {
            println!("\n{note}");
        }
    }
}

fn known(is_known: bool, text: String) -> String {
    if is_known { text } else { String::new() }
}

fn micros(time: Duration) -> String {
    number(time.as_nanos() as f64 / 1000.0)
}

/// At least three significant digits, with thousands separated.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
