//! Invocations: their messages and state, beside bare appends, and the start after a kill.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use stateful_functions::random::Random;
use stateful_functions::storage::{Memory, Rows, Store, Syncer, Write};

use super::process::{cpu_seconds, disk_bytes, quantile, resident_mib};
use super::{MESSAGES, Options, STATE, VICTIM, open_folder};

pub(crate) fn run(options: &Options) -> Result<()> {
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

pub(crate) fn run_until_killed(folder: &Path, options: &Options) -> Result<()> {
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
