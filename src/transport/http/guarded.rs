//! A connection's socket that ends when the peer does not read.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::connection_slots::Seat;

/// A peer that accepts less than this within the time limit counts as not reading.
const LEAST_TAKEN_BYTES: usize = 16 * 1024;
/// How long the rest of a request is read and discarded, so that the peer can read its answer.
const LINGER: Duration = Duration::from_secs(2);

/// Fails when the peer accepts too little of the written data within a time limit.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    socket: S,
    seat: Arc<Seat>,
    limit: Duration,
    blocked: Option<Blocked>,
    ending: Ending,
}

/// A write had to wait for the peer, which has accepted `taken` bytes since.
#[derive(Debug)]
struct Blocked {
    until: Pin<Box<Sleep>>,
    taken: usize,
}

/// The progress of closing the connection.
#[derive(Debug)]
enum Ending {
    Open,
    Closed,
    /// The peer is still sending.
    Lingering(Pin<Box<Sleep>>),
}

impl<S> Guarded<S> {
    pub(super) const fn new(socket: S, seat: Arc<Seat>, limit: Duration) -> Self {
        Self {
            socket,
            seat,
            limit,
            blocked: None,
            ending: Ending::Open,
        }
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.seat.wrote(bytes);
                if let Some(blocked) = &mut self.blocked {
                    blocked.taken += bytes;
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Pending => self.waited(cx),
            failed => failed,
        }
    }

    fn waited(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let limit = self.limit;
        if self
            .blocked
            .as_ref()
            .is_some_and(|blocked| blocked.taken >= LEAST_TAKEN_BYTES)
        {
            self.blocked = None;
        }
        let blocked = self.blocked.get_or_insert_with(|| Blocked {
            until: Box::pin(sleep(limit)),
            taken: 0,
        });
        ready!(blocked.until.as_mut().poll(cx));
        let text = format!("the peer did not read for {limit:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Everything has been accepted, so nothing is pending any more.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.blocked = None;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Closing a socket with unread data resets the connection, and the peer may lose the answer that says why. So the rest
    /// of a refused request is read for a moment.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.ending, Ending::Open) {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
            this.ending = Ending::Closed;
        }
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    if let Ending::Lingering(until) = &mut this.ending {
                        if until.as_mut().poll(cx).is_ready() {
                            return Poll::Ready(Ok(()));
                        }
                    } else {
                        this.ending = Ending::Lingering(Box::pin(sleep(LINGER)));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    return match &mut this.ending {
                        Ending::Lingering(until) => until.as_mut().poll(cx).map(Ok),
                        _ => Poll::Ready(Ok(())),
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::transport::http::connection_slots::ConnectionSlots;

    const LIMIT: Duration = Duration::from_secs(30);

    fn guarded<S>(socket: S) -> Guarded<S> {
        Guarded::new(
            socket,
            ConnectionSlots::new(1).try_take().unwrap().seat(),
            LIMIT,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_ends_the_connection() {
        let (socket, peer) = duplex(64);
        let mut guarded = guarded(socket);
        let ended = guarded.write_all(&[0; 65]).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        drop(peer);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_too_little_ends_the_connection() {
        let (socket, mut peer) = duplex(64);
        let mut guarded = guarded(socket);
        let reading = async {
            while peer.read_u8().await.is_ok() {
                sleep(LIMIT / 20).await;
            }
        };
        let writing = async {
            let ended = guarded.write_all(&[0; 1000]).await.unwrap_err();
            drop(guarded);
            ended
        };
        let (ended, ()) = tokio::join!(writing, reading);
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_but_steadily_gets_everything() {
        let (socket, mut peer) = duplex(LEAST_TAKEN_BYTES);
        let mut guarded = guarded(socket);
        let reading = async {
            let mut piece = vec![0; LEAST_TAKEN_BYTES];
            for _ in 0..10 {
                sleep(LIMIT / 2).await;
                peer.read_exact(&mut piece).await.unwrap();
            }
        };
        let writing = async {
            guarded
                .write_all(&[0; 10 * LEAST_TAKEN_BYTES])
                .await
                .unwrap();
            guarded.flush().await.unwrap();
        };
        tokio::join!(writing, reading);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_sent_is_read_for_a_moment_only() {
        let (socket, mut peer) = duplex(64);
        let mut guarded = guarded(socket);
        peer.write_all(b"the rest of a body").await.unwrap();
        let sending = async {
            while peer.write_all(&[0; 64]).await.is_ok() {
                sleep(LINGER / 10).await;
            }
        };
        let ending = async {
            guarded.shutdown().await.unwrap();
            drop(guarded);
        };
        tokio::join!(ending, sending);
    }
}
