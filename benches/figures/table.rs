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
}

/// What a figure is held against.
pub(crate) enum Bar {
    None,
    AtLeast(f64, &'static str),
}

impl Bar {
    fn verdict(&self, value: f64) -> String {
        let (limit, text, met) = match self {
            Self::None => return String::new(),
            Self::AtLeast(limit, text) => (limit, text, value >= *limit),
        };
        let word = if met { "met" } else { "NOT met" };
        format!("{} {text}: {word}", number(*limit))
    }
}

impl Table {
    /// A rate under load. The bar is held against the ratio when there is one, else against the rate.
    pub(crate) fn load(
        &mut self,
        what: &str,
        unit: &str,
        report: &Report,
        ratio: Option<f64>,
        bar: &Bar,
    ) {
        self.rows.push([
            what.to_owned(),
            format!("{} {unit}", number(report.per_second)),
            ratio.map(number).unwrap_or_default(),
            micros(report.cpu_per_request),
            micros(report.p50),
            micros(report.p99),
            number(report.resident_mib),
            bar.verdict(ratio.unwrap_or(report.per_second)),
        ]);
    }

    pub(crate) fn print(&self) {
        let mut lines = vec![HEADINGS.map(str::to_owned)];
        lines.extend(self.rows.iter().cloned());
        let widths: Vec<_> = (0..HEADINGS.len())
            .map(|column| {
                lines
                    .iter()
                    .map(|line| line[column].len())
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
    }
}

fn micros(time: Duration) -> String {
    number(time.as_nanos() as f64 / 1000.0)
}

/// Three significant digits at least, thousands apart.
pub(crate) fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
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
