//! Storage under the runtime's load, compared with a bare append and fdatasync in the same run.
//!
//! `cargo bench --features embedded --bench storage -- [--dir DIR] [--seconds N] [--keys N] [--waiting N] [--only invocations|waiting]`
//!
//! One invocation stages two lists: its message put (150 bytes); then that message deleted and 200 bytes of state put at a
//! random key. A group of invocations is staged, then made durable with one sync. The anchor writes records of the same
//! size to a file of its final length, and syncs each. Then the loaded process is killed, and the start is timed.
//!
//! A waiting event stages three lists: its message put; that message deleted and a row of 500 bytes put, with keys in the order of
//! time; an entry of a queue, 24 to a row. The rows are then read and deleted in their order, as a drain does.
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that prints a table"
)]

mod invocations;
mod process;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use stateful_functions::storage::{Folder, LogSettings, Store, Syncer, Table, open};

const STATE: Table = Table::new(1);
const MESSAGES: Table = Table::with_fresh_keys(2);
/// Marks the process that is to be killed.
const VICTIM: &str = "STATEFUN_BENCH_VICTIM";

struct Options {
    dir: PathBuf,
    seconds: u64,
    keys: u64,
    waiting: u64,
    only: Option<String>,
}

fn main() -> Result<()> {
    let options = options()?;
    if let Ok(folder) = std::env::var(VICTIM) {
        return invocations::run_until_killed(Path::new(&folder), &options);
    }
    let is_wanted = |section: &str| options.only.as_deref().is_none_or(|only| only == section);
    if is_wanted("invocations") {
        invocations::run(&options)?;
    }
    if is_wanted("waiting") {
        waiting::run(&options)?;
    }
    Ok(())
}

fn options() -> Result<Options> {
    let mut options = Options {
        dir: std::env::temp_dir(),
        seconds: 5,
        keys: 1_000_000,
        waiting: 1_000_000,
        only: None,
    };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(name) = args.next() {
        let value = args
            .next()
            .with_context(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--dir" => options.dir = value.into(),
            "--seconds" => options.seconds = value.parse()?,
            "--keys" => options.keys = value.parse()?,
            "--waiting" => options.waiting = value.parse()?,
            "--only" => options.only = Some(value),
            _ => bail!("unknown option {name}"),
        }
    }
    Ok(options)
}

fn open_folder(folder: &Path) -> Result<(Store, Syncer)> {
    Ok(open(Arc::new(Folder::new(folder)), LogSettings::default())?)
}
