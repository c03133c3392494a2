//! What this process has used.

use std::fs;

use anyhow::{Context, Result};

pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}

/// A number of `/proc/self/<file>`, named at the beginning of its line.
fn proc_number(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/{file}"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| name.to_owned())?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

pub(crate) fn disk_bytes() -> Result<u64> {
    proc_number("io", "write_bytes:")
}

pub(crate) fn resident_mib() -> Result<f64> {
    Ok(proc_number("status", "VmRSS:")? as f64 / 1024.0)
}

/// CPU time of all threads, user and system, in steps of 10 ms.
pub(crate) fn cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = text.rsplit_once(')').context("no name in stat")?;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / 100.0)
}
