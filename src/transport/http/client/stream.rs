//! A stream that records when bytes last moved on it.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::time::{Instant, sleep_until};

use super::error::FailureKind;

/// TCP, TLS or a UNIX socket.
pub(super) trait Stream: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Stream for T {}

/// Maximum pauses while reading and writing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    pub(super) read: Duration,
    pub(super) write: Duration,
}

/// When bytes last moved on a connection, and what the connection waits for.
#[derive(Debug)]
pub(super) struct Progress {
    pauses: Pauses,
    start: Instant,
    /// Microseconds after `start`.
    last: AtomicU64,
    /// Whether the peer accepts no more bytes for now.
    writing: AtomicBool,
}

impl Progress {
    pub(super) fn new(pauses: Pauses) -> Arc<Self> {
        Arc::new(Self {
            pauses,
            start: Instant::now(),
            last: AtomicU64::new(0),
            writing: AtomicBool::new(false),
        })
    }

    fn moved(&self) {
        let since = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// When the pause becomes too long, unless bytes move before.
    fn deadline(&self) -> Instant {
        let last = self.start + Duration::from_micros(self.last.load(Ordering::Relaxed));
        last + self.pause()
    }

    fn pause(&self) -> Duration {
        match self.writing.load(Ordering::Relaxed) {
            true => self.pauses.write,
            false => self.pauses.read,
        }
    }

    /// Runs `exchange` as long as bytes move.
    pub(super) async fn watch<T>(
        &self,
        exchange: impl Future<Output = Result<T, FailureKind>>,
    ) -> Result<T, FailureKind> {
        self.moved();
        let mut exchange = pin!(exchange);
        loop {
            // It may have begun to wait for something else, with another limit.
            let shorter = self.pauses.read.min(self.pauses.write);
            let look = self.deadline().min(Instant::now() + shorter);
            tokio::select! {
                biased;
                done = &mut exchange => return done,
                () = sleep_until(look) => {}
            }
            if self.deadline() <= Instant::now() {
                return Err(FailureKind::Paused(self.pause()));
            }
        }
    }
}

/// A stream that records its progress.
pub(super) struct Watched {
    pub(super) stream: Box<dyn Stream>,
    pub(super) progress: Arc<Progress>,
}

impl Watched {
    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => {
                self.progress.writing.store(false, Ordering::Relaxed);
                self.progress.moved();
            }
            Poll::Pending => self.progress.writing.store(true, Ordering::Relaxed),
        }
    }
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.progress.moved();
        }
        read
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const PAUSES: Pauses = Pauses {
        read: Duration::from_secs(10),
        write: Duration::from_secs(3),
    };

    /// How long an endless exchange lasts on virtual time, while `also` runs.
    async fn lasts(progress: &Progress, also: impl Future<Output = ()>) -> Duration {
        let begun = Instant::now();
        let watched = progress.watch(pending::<Result<(), FailureKind>>());
        let (ended, ()) = tokio::join!(watched, also);
        assert!(matches!(ended, Err(FailureKind::Paused(_))));
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_ends_when_nothing_was_read_for_too_long() {
        let progress = Progress::new(PAUSES);
        assert_eq!(lasts(&progress, async {}).await.as_secs(), 10);
        let each_four_seconds = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(4)).await;
                progress.moved();
            }
        };
        assert_eq!(lasts(&progress, each_four_seconds).await.as_secs(), 22);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_waits_has_its_own_limit() {
        let progress = Progress::new(PAUSES);
        progress.writing.store(true, Ordering::Relaxed);
        assert_eq!(lasts(&progress, async {}).await.as_secs(), 3);
    }
}
