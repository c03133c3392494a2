//! Events that come to wait, survive a kill, and drain.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use stateful_functions::random::Random;
use stateful_functions::storage::{Rows, Store, Write};

use super::process::{cpu_seconds, disk_bytes, quantile, resident_mib};
use super::{MESSAGES, Options, STATE, open_folder};

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
pub(crate) fn run(options: &Options) -> Result<()> {
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
