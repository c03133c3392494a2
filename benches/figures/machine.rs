//! The machine, and the resources that a process uses, read from `/proc`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Linux counts CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// CPU model, cores and kernel in one line.
pub(crate) fn name() -> String {
    let field = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let value = text.lines().find(|line| line.starts_with(key));
        let value = value.and_then(|line| line.split(':').nth(1));
        value.unwrap_or("unknown").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}, {cores} cores, {} of memory, Linux {}",
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal"),
        kernel.trim()
    )
}

/// User and system time of a process so far; zero once it is gone.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces; user time is the 14th field of all, system time the 15th.
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after_name.split(' ').skip(11).take(2);
    TICK * ticks.filter_map(|field| field.parse::<u32>().ok()).sum()
}

/// Resident memory of a process in MiB; zero once it is gone.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    memory_mib(pid, "VmRSS:")
}

/// The most memory that a process has had resident, in MiB.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    memory_mib(pid, "VmHWM:")
}

fn memory_mib(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok()).unwrap_or(0.0) / 1024.0
}

/// Bytes that a process had written to disks so far, as the kernel accounts for them.
pub(crate) fn written_bytes(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|bytes| bytes.trim().parse().ok())
        .unwrap_or(0)
}

/// The disk space that the files of a folder use.
pub(crate) fn disk_bytes(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(file) if file.is_dir() => disk_bytes(&entry.path())?,
            Ok(file) => file.blocks() * BLOCK,
            // A segment of the log that was deleted meanwhile.
            Err(_) => 0,
        };
    }
    Ok(bytes)
}

/// The unit of `st_blocks`, whatever the file system.
const BLOCK: u64 = 512;
