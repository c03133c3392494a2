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

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use stateful_functions::random::Random;
use stateful_functions::storage::{
    Folder, LogSettings, Memory, Rows, Store, Syncer, Table, Write, open,
};

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
        return run_until_killed(Path::new(&folder), &options);
    }
    let is_wanted = |section: &str| options.only.as_deref().is_none_or(|only| only == section);
    if is_wanted("invocations") {
        invocations(&options)?;
    }
    if is_wanted("waiting") {
        waiting(&options)?;
    }
    Ok(())
}

fn invocations(options: &Options) -> Result<()> {
    println!(
        "{:>9} {:>6} {:>9} {:>9} {:>6} {:>9} {:>10} {:>7} {:>8} {:>8} {:>8} {:>7}",
        "keys",
        "group",
        "inv/s",
        "anchor",
        "ratio",
        "log B/inv",
        "disk B/inv",
        "CPU us",
        "p50 ms",
        "p99 ms",
        "max ms",
        "RSS MiB"
    );
    for keys in [1_000, options.keys] {
        let folder = options.dir.join(format!("storage-bench-{keys}"));
        let _ = fs::remove_dir_all(&folder);
        preload(&folder, keys)?;
        for group in [1, 16, 128] {
            measure(&folder, keys, group, options)?;
        }
        run_ahead(&folder, keys, options)?;
        recovery(&folder, keys, options)?;
        fs::remove_dir_all(&folder)?;
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

/// A key with the form of a function's address.
fn state_key(n: u64) -> Bytes {
    format!("person/{n:012}").into_bytes().into()
}

struct Load {
    store: Store,
    syncer: Syncer,
    random: Random,
    keys: u64,
    next_message: u64,
    values: Bytes,
    /// How long each sync took, in seconds.
    syncs: Vec<f64>,
}

impl Load {
    fn new(folder: &Path, keys: u64, seed: u64) -> Result<Self> {
        let (store, syncer) = open_folder(folder)?;
        let next_message = store.boot() << 40;
        Ok(Self {
            store,
            syncer,
            random: Random::seeded(seed),
            keys,
            next_message,
            values: Bytes::from(vec![b'v'; 200]),
            syncs: Vec::new(),
        })
    }

    fn invocation(&mut self) {
        let message = Bytes::from(self.next_message.to_be_bytes().to_vec());
        self.next_message += 1;
        let body = Bytes::copy_from_slice(&self.values[..150]);
        self.store
            .stage(vec![Write::put(MESSAGES, message.clone(), body)]);
        let value = Bytes::copy_from_slice(&self.values);
        let key = state_key(self.random.below(self.keys));
        self.store.stage(vec![
            Write::delete(MESSAGES, message),
            Write::put(STATE, key, value),
        ]);
    }

    fn group(&mut self, group: u64) -> Result<()> {
        for _ in 0..group {
            self.invocation();
        }
        let begin = Instant::now();
        self.syncer.sync()?;
        self.syncs.push(begin.elapsed().as_secs_f64());
        // What intake does under pressure.
        while self.store.pressure() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Stages groups until the time is over; returns how many.
    fn run(&mut self, group: u64, span: Duration) -> Result<u64> {
        let (begin, mut groups) = (Instant::now(), 0);
        while begin.elapsed() < span {
            self.group(group)?;
            groups += 1;
        }
        Ok(groups)
    }
}

fn preload(folder: &Path, keys: u64) -> Result<()> {
    let begin = Instant::now();
    let mut load = Load::new(folder, keys, 0)?;
    for n in 0..keys {
        load.store
            .stage(vec![Write::put(STATE, state_key(n), load.values.clone())]);
        if n % 1_000 == 999 {
            load.group(0)?;
        }
    }
    load.group(0)?;
    println!(
        "{keys} keys loaded in {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

fn measure(folder: &Path, keys: u64, group: u64, options: &Options) -> Result<()> {
    let span = Duration::from_secs(options.seconds).div_f64(3.0);
    let mut load = Load::new(folder, keys, group)?;
    load.run(group, Duration::from_millis(300))?;
    load.syncs.clear();
    let (mut rates, mut anchors) = (Vec::new(), Vec::new());
    let (mut invocations, mut cpu, mut disk) = (0, 0.0, 0);
    for _ in 0..3 {
        let (cpu_before, disk_before, begin) = (cpu_seconds()?, disk_bytes()?, Instant::now());
        let done = load.run(group, span)? * group;
        rates.push(done as f64 / begin.elapsed().as_secs_f64());
        invocations += done;
        cpu += cpu_seconds()? - cpu_before;
        disk += disk_bytes()? - disk_before;
        anchors.push(anchor(folder, group, span.min(Duration::from_secs(1)))? * group as f64);
    }
    let (rate, anchor) = (quantile(&mut rates, 0.5), quantile(&mut anchors, 0.5));
    println!(
        "{keys:>9} {group:>6} {rate:>9.0} {anchor:>9.0} {:>6.2} {:>9} {:>10.0} {:>7.1} {:>8.2} {:>8.2} {:>8.1} {:>7.1}",
        rate / anchor,
        record_bytes(group) / group,
        disk as f64 / invocations as f64,
        cpu * 1e6 / invocations as f64,
        quantile(&mut load.syncs, 0.5) * 1e3,
        quantile(&mut load.syncs, 0.99) * 1e3,
        quantile(&mut load.syncs, 1.0) * 1e3,
        resident_mib()?,
    );
    Ok(())
}

/// As in the runtime: one thread keeps staging while another syncs everything staged so far.
fn run_ahead(folder: &Path, keys: u64, options: &Options) -> Result<()> {
    let mut load = Load::new(folder, keys, 1_000)?;
    let spare = Memory::default().open().1;
    let mut syncer = std::mem::replace(&mut load.syncer, spare);
    let committer = std::thread::spawn(move || -> Result<u64> {
        let mut rounds = 0;
        while syncer.wait() {
            syncer.sync()?;
            rounds += 1;
        }
        Ok(rounds)
    });
    let (span, begin, cpu_before) = (
        Duration::from_secs(options.seconds),
        Instant::now(),
        cpu_seconds()?,
    );
    let (mut done, mut longest) = (0_u64, Duration::ZERO);
    while begin.elapsed() < span {
        let group = Instant::now();
        for _ in 0..16 {
            load.invocation();
        }
        done += 16;
        while load.store.pressure() {
            std::thread::sleep(Duration::from_millis(1));
        }
        longest = longest.max(group.elapsed());
    }
    load.store.stop();
    let rounds = committer
        .join()
        .map_err(|_| anyhow!("the committer panicked"))??;
    println!(
        "{keys:>9} staging while syncing: {:.0} inv/s, {} to a round, {:.1} us of CPU each, {} checkpoints, longest wait {:.0} ms",
        done as f64 / begin.elapsed().as_secs_f64(),
        done / rounds,
        (cpu_seconds()? - cpu_before) * 1e6 / done as f64,
        load.store.health().checkpoints,
        longest.as_secs_f64() * 1e3,
    );
    Ok(())
}

/// The bytes of a round with this many invocations.
fn record_bytes(group: u64) -> u64 {
    40 + group * (2 * 3 + 2 * 8 + 150 + 4 + 19 + 200)
}

/// Bare writes and syncs in a file of 16 MiB, per second.
fn anchor(folder: &Path, group: u64, span: Duration) -> Result<f64> {
    let path = folder.with_extension("anchor");
    let file = File::create(&path)?;
    let size = 16 << 20;
    file.write_all_at(&vec![0; size as usize], 0)?;
    file.sync_all()?;
    let record = vec![b'r'; record_bytes(group) as usize];
    let (begin, mut syncs, mut offset) = (Instant::now(), 0_u64, 0);
    while begin.elapsed() < span {
        file.write_all_at(&record, offset)?;
        file.sync_data()?;
        syncs += 1;
        offset += record.len() as u64;
        if offset + record.len() as u64 > size {
            offset = 0;
        }
    }
    let rate = syncs as f64 / begin.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}

fn run_until_killed(folder: &Path, options: &Options) -> Result<()> {
    let mut load = Load::new(folder, options.keys, 7)?;
    println!("loading");
    loop {
        load.group(16)?;
    }
}

fn recovery(folder: &Path, keys: u64, options: &Options) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--keys", &keys.to_string()])
        .env(VICTIM, folder)
        .stdout(Stdio::null())
        .spawn()?;
    std::thread::sleep(Duration::from_secs(options.seconds.max(2)));
    child.kill()?;
    child.wait()?;
    let before = resident_mib()?;
    let begin = Instant::now();
    let (store, _syncer) = open_folder(folder)?;
    let opened = begin.elapsed();
    let found = store.get(STATE, &state_key(keys - 1))?.is_some();
    println!(
        "{keys:>9} killed under load: open {:.1} ms, first read {:.2} ms (found: {found}), {:.1} MB of log replayed, {:.1} MiB of overlay, tables {:.0} MB, RSS {before:.1} -> {:.1} MiB",
        opened.as_secs_f64() * 1e3,
        (begin.elapsed() - opened).as_secs_f64() * 1e3,
        store.health().log_bytes as f64 / 1e6,
        store.health().overlay_bytes as f64 / f64::from(1 << 20),
        fs::metadata(folder.join("tables.redb")).map_or(0, |meta| meta.len()) as f64 / 1e6,
        resident_mib()?,
    );
    Ok(())
}

/// The bytes of an event.
const EVENT: usize = 500;
/// Entries of the queue in a row.
const CHUNK: u64 = 24;

fn waiting_key(n: u64) -> Bytes {
    format!("pipeline/stage/{n:016x}-item").into_bytes().into()
}

/// Stages and deletes events on one thread, while another syncs everything staged so far.
struct Backlog {
    store: Store,
    committer: std::thread::JoinHandle<Result<()>>,
    next_message: u64,
    /// The longest delay of one event.
    longest: Duration,
    /// The total time for which intake had to stop.
    stopped: Duration,
}

impl Backlog {
    fn open(folder: &Path) -> Result<Self> {
        let (store, mut syncer) = open_folder(folder)?;
        let committer = std::thread::spawn(move || -> Result<()> {
            while syncer.wait() {
                syncer.sync()?;
            }
            Ok(())
        });
        Ok(Self {
            next_message: store.boot() << 40,
            store,
            committer,
            longest: Duration::ZERO,
            stopped: Duration::ZERO,
        })
    }

    fn message(&mut self, bytes: usize) -> Bytes {
        let message = Bytes::from(self.next_message.to_be_bytes().to_vec());
        self.next_message += 1;
        let body = Bytes::from(vec![b'm'; bytes]);
        self.store
            .stage(vec![Write::put(MESSAGES, message.clone(), body)]);
        message
    }

    fn put(&mut self, n: u64, entries: &mut Vec<u8>) {
        let begin = Instant::now();
        let message = self.message(EVENT + 60);
        let event = Bytes::from(vec![b'e'; EVENT + 40]);
        self.store.stage(vec![
            Write::delete(MESSAGES, message),
            Write::put(STATE, waiting_key(n), event),
        ]);
        let note = self.message(60);
        if n.is_multiple_of(CHUNK) {
            entries.clear();
        }
        entries.extend_from_slice(&[b'q'; 35]);
        let chunk = format!("pipeline/destination/{:016x}", n / CHUNK).into_bytes();
        self.store.stage(vec![
            Write::delete(MESSAGES, note),
            Write::put(STATE, chunk, Bytes::copy_from_slice(entries)),
        ]);
        self.rest(begin);
    }

    fn take(&mut self, n: u64) -> Result<()> {
        let begin = Instant::now();
        let message = self.message(60);
        let key = waiting_key(n);
        let found = self.store.get(STATE, &key)?;
        found.with_context(|| format!("event {n} is lost"))?;
        let mut writes = vec![Write::delete(MESSAGES, message), Write::delete(STATE, key)];
        if n % CHUNK == CHUNK - 1 {
            let chunk = format!("pipeline/destination/{:016x}", n / CHUNK).into_bytes();
            writes.push(Write::delete(STATE, chunk));
        }
        self.store.stage(writes);
        self.rest(begin);
        Ok(())
    }

    /// What intake does under pressure.
    fn rest(&mut self, begin: Instant) {
        let stop = Instant::now();
        while self.store.pressure() {
            std::thread::sleep(Duration::from_micros(200));
        }
        self.stopped += stop.elapsed();
        self.longest = self.longest.max(begin.elapsed());
    }

    fn close(self) -> Result<()> {
        self.store.stop();
        let ended = self.committer.join();
        ended.map_err(|_| anyhow!("the committer panicked"))?
    }

    /// Does `step` for each event, and prints the figures.
    fn all(
        &mut self,
        what: &str,
        folder: &Path,
        events: u64,
        mut step: impl FnMut(&mut Self, u64) -> Result<()>,
    ) -> Result<()> {
        (self.longest, self.stopped) = (Duration::ZERO, Duration::ZERO);
        let (cpu, disk, memory) = (cpu_seconds()?, disk_bytes()?, resident_mib()?);
        let (begin, mut slowest, mut tenth) = (Instant::now(), f64::MAX, Instant::now());
        let mut most = memory;
        for n in 0..events {
            step(self, n)?;
            if (n + 1) % (events / 10).max(1) == 0 {
                slowest = slowest.min(events as f64 / 10.0 / tenth.elapsed().as_secs_f64());
                tenth = Instant::now();
                most = most.max(resident_mib()?);
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        let each = |value: f64| value / events as f64;
        println!(
            "{events:>9} {what}: {:.0}/s, slowest tenth {slowest:.0}/s, longest wait {:.0} ms, intake stopped {:.0} ms in all, {:.1} us of CPU, {:.0} bytes written each, {:.0} bytes of disk each, RSS +{:.1} MiB, {} checkpoints",
            events as f64 / seconds,
            self.longest.as_secs_f64() * 1e3,
            self.stopped.as_secs_f64() * 1e3,
            each((cpu_seconds()? - cpu) * 1e6),
            each((disk_bytes()? - disk) as f64),
            each(used_bytes(folder)? as f64),
            most - memory,
            self.store.health().checkpoints,
        );
        Ok(())
    }
}

/// A backlog that fills, survives a kill, and drains.
fn waiting(options: &Options) -> Result<()> {
    let folder = options.dir.join("storage-bench-waiting");
    let _ = fs::remove_dir_all(&folder);
    let mut backlog = Backlog::open(&folder)?;
    let (events, mut entries) = (options.waiting, Vec::new());
    backlog.all("events come to wait", &folder, events, |backlog, n| {
        backlog.put(n, &mut entries);
        Ok(())
    })?;
    backlog.close()?;
    verification(&folder, events)?;
    let mut backlog = Backlog::open(&folder)?;
    backlog.all("events drained", &folder, events, Backlog::take)?;
    backlog.close()?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The cost of the scan of all rows after a start, during reads.
fn verification(folder: &Path, rows: u64) -> Result<()> {
    let cpu = cpu_seconds()?;
    let begin = Instant::now();
    let (store, _syncer) = open_folder(folder)?;
    let opened = begin.elapsed();
    store.get(STATE, &waiting_key(rows / 2))?;
    let first = begin.elapsed() - opened;
    let mut reads = Vec::new();
    let mut random = Random::seeded(1);
    while begin.elapsed() < Duration::from_secs(5) {
        let read = Instant::now();
        store.get(STATE, &waiting_key(random.below(rows)))?;
        reads.push(read.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_millis(1));
    }
    println!(
        "{rows:>9} waiting, after a start: open {:.1} ms, first read {:.2} ms; in 5 s beside the look through all rows: reads p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms, {:.2} s of CPU",
        opened.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3,
        quantile(&mut reads, 0.5) * 1e3,
        quantile(&mut reads, 0.99) * 1e3,
        quantile(&mut reads, 1.0) * 1e3,
        cpu_seconds()? - cpu,
    );
    Ok(())
}

/// The disk space that the files of a folder use, without the reserve.
fn used_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name() != "reserve" {
            bytes += file.metadata()?.blocks() * 512;
        }
    }
    Ok(bytes)
}

fn quantile(values: &mut [f64], part: f64) -> f64 {
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

fn disk_bytes() -> Result<u64> {
    proc_number("io", "write_bytes:")
}

fn resident_mib() -> Result<f64> {
    Ok(proc_number("status", "VmRSS:")? as f64 / 1024.0)
}

/// CPU time of all threads, user and system, in steps of 10 ms.
fn cpu_seconds() -> Result<f64> {
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
