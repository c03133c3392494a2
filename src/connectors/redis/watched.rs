//! The stream below a connection: bounds what is read ahead, and remembers why the connection ended.
//!
//! A subscribed connection of the crate `redis` reads everything that comes into a queue without a limit. This stream lets it read so many
//! bytes only, until they are asked for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// A stream that is watched.
pub(super) struct WatchedStream<S> {
    stream: S,
    watch: Arc<Watch>,
}

/// What is known of a stream, and how much of it may be read.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Mutex<Watched>,
    exhausted: Notify,
}

#[derive(Debug, Default)]
struct Watched {
    /// Bytes that may still be read; `None` for any number.
    left: Option<usize>,
    /// The task that waits until more may be read.
    reader: Option<Waker>,
    /// Why the stream has ended.
    end: Option<String>,
}

impl<S> WatchedStream<S> {
    pub(super) fn new(stream: S) -> (Self, Arc<Watch>) {
        let watch = Arc::new(Watch::default());
        let watched = Self {
            stream,
            watch: Arc::clone(&watch),
        };
        (watched, watch)
    }
}

impl Watch {
    /// Lets about `bytes` more be read: the buffer in use may be filled beyond them.
    pub(super) fn allow(&self, bytes: usize) {
        let mut state = self.lock();
        state.left = Some(bytes);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Ready when nothing more may be read, and the connection waits for it.
    pub(super) async fn exhausted(&self) {
        self.exhausted.notified().await;
    }

    /// Why the stream has ended, if it has.
    pub(super) fn end(&self) -> Option<String> {
        self.lock().end.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_read(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        if state.left != Some(0) {
            return true;
        }
        state.reader = Some(cx.waker().clone());
        self.exhausted.notify_one();
        false
    }

    fn has_read(&self, read: &io::Result<()>, bytes: usize) {
        let mut state = self.lock();
        match read {
            Ok(()) if bytes == 0 => state.ended("it has closed the connection"),
            Ok(()) => state.left = state.left.map(|left| left.saturating_sub(bytes)),
            Err(failure) => state.ended(failure),
        }
    }

    fn has_written<T>(&self, written: &io::Result<T>) {
        if let Err(failure) = written {
            self.lock().ended(failure);
        }
    }
}

impl Watched {
    /// The first reason counts.
    fn ended(&mut self, why: impl ToString) {
        self.end.get_or_insert_with(|| why.to_string());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.watch.may_read(cx) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer));
        this.watch.has_read(&read, buffer.filled().len() - before);
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes));
        this.watch.has_written(&written);
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = ready!(Pin::new(&mut this.stream).poll_flush(cx));
        this.watch.has_written(&flushed);
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_was_allowed_until_more_is() {
        let (near, mut far) = tokio::io::duplex(1024);
        let (mut stream, watch) = WatchedStream::new(near);
        watch.allow(4);
        far.write_all(b"abcdefgh").await.unwrap();
        let mut four = [0; 4];
        stream.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"abcd");
        tokio::select! {
            biased;
            _ = stream.read(&mut four) => panic!("nothing more may be read"),
            () = watch.exhausted() => {}
        }
        watch.allow(4);
        stream.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"efgh");
    }

    #[tokio::test]
    async fn the_reason_for_the_end_is_known() {
        let (near, far) = tokio::io::duplex(1024);
        let (mut stream, watch) = WatchedStream::new(near);
        assert_eq!(watch.end(), None);
        drop(far);
        assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
        assert_eq!(watch.end().unwrap(), "it has closed the connection");
    }
}
