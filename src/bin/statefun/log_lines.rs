//! The way of log lines to standard error. A thread of its own writes them, so that a reader that stops reading holds up nobody, and an
//! error stream that cannot be written (a full disk, a reader that is gone) loses log lines and nothing else.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

/// Lines that wait to be written; further ones are dropped and counted.
const MAX_WAITING: usize = 4096;
/// The longest wait for the last lines when the command ends.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

enum Entry {
    Line(Vec<u8>),
    /// All lines before it are written.
    Flush(SyncSender<()>),
}

/// Takes log lines. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogLines {
    entries: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl LogLines {
    /// Starts the thread that writes to `out`.
    pub(crate) fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (entries, waiting) = mpsc::sync_channel(MAX_WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let lines = Self {
            entries,
            dropped: Arc::clone(&dropped),
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(out, &waiting, &dropped))?;
        Ok(lines)
    }

    /// Waits until the lines so far are written, for a second at most.
    pub(crate) fn flush(&self) {
        let (written, told) = mpsc::sync_channel(1);
        if self.entries.try_send(Entry::Flush(written)).is_ok() {
            // The thread does not answer while nobody reads; then these lines are lost.
            let _ = told.recv_timeout(LAST_LINES_WITHIN);
        }
    }
}

impl Write for LogLines {
    /// It is given whole lines. Never fails and never waits.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.entries.try_send(Entry::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(mut out: impl Write, waiting: &Receiver<Entry>, dropped: &AtomicU64) {
    while let Ok(entry) = waiting.recv() {
        match entry {
            Entry::Line(line) if out.write_all(&line).is_err() => {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
            Entry::Line(_) => {
                let lines = dropped.swap(0, Ordering::Relaxed);
                if lines > 0 {
                    tracing::warn!(lines, "log lines could not be written and were dropped");
                }
            }
            // Whoever waited may be gone.
            Entry::Flush(written) => _ = written.try_send(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails until it is told not to.
    struct Disk(Receiver<bool>, SyncSender<Vec<u8>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.recv().unwrap() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_cannot_be_written_is_dropped_and_the_next_ones_are_written() {
        let (full, disk) = mpsc::sync_channel(9);
        let (wrote, written) = mpsc::sync_channel(9);
        let mut lines = LogLines::to(Disk(disk, wrote)).unwrap();
        for is_full in [true, false] {
            full.send(is_full).unwrap();
        }
        lines.write_all(b"lost\n").unwrap();
        lines.write_all(b"kept\n").unwrap();
        assert_eq!(written.recv().unwrap(), b"kept\n");
    }

    #[test]
    fn a_reader_that_stops_holds_up_nobody() {
        let (_full, disk) = mpsc::sync_channel(9);
        let (wrote, _written) = mpsc::sync_channel(9);
        let mut lines = LogLines::to(Disk(disk, wrote)).unwrap();
        for _ in 0..2 * MAX_WAITING {
            lines.write_all(b"nobody reads this\n").unwrap();
        }
        assert!(lines.dropped.load(Ordering::Relaxed) >= MAX_WAITING as u64 - 1);
    }
}
