//! Gives words to what hyper answers by itself: a request that it cannot read gets a bare status, which tells its sender nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket on which such answers have a line of text.
#[derive(Debug)]
pub(super) struct WithWords<S> {
    socket: S,
    /// What is written in place of the bytes that are given at the moment.
    instead: Option<Instead>,
}

#[derive(Debug)]
struct Instead {
    bytes: Vec<u8>,
    written: usize,
}

impl<S> WithWords<S> {
    pub(super) const fn new(socket: S) -> Self {
        let instead = None;
        Self { socket, instead }
    }
}

/// The answer with words, if `bytes` are a whole one without: such as has no body, no type, and ends the connection.
fn with_words(bytes: &[u8]) -> Option<Vec<u8>> {
    let head = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let text = std::str::from_utf8(head.strip_suffix(b"\r\n\r\n")?).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?;
    let words = match status.get(..2)? {
        "00" => {
            "the request is not valid HTTP: check its first line, its headers and its content-length"
        }
        "14" => "the first line of the request is too long",
        "31" => {
            "the head of the request is too large: 64 KiB and 100 headers are allowed, and a content-length below 2^64 - 2"
        }
        _ => return None,
    };
    let headers: Vec<&str> = lines.collect();
    let has = |header: &str| headers.iter().any(|line| line.eq_ignore_ascii_case(header));
    let is_bare = has("content-length: 0") && has("connection: close") && headers.len() <= 3;
    let length = words.len();
    is_bare.then(|| {
        format!("HTTP/1.1 4{status}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{words}")
            .into_bytes()
    })
}

impl<S: AsyncRead + Unpin> AsyncRead for WithWords<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WithWords<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none() {
            this.instead = with_words(bytes).map(|bytes| Instead { bytes, written: 0 });
        }
        let Some(instead) = &mut this.instead else {
            return Pin::new(&mut this.socket).poll_write(cx, bytes);
        };
        while let Some(rest) = instead.bytes.get(instead.written..)
            && !rest.is_empty()
        {
            match ready!(Pin::new(&mut this.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => instead.written += written,
            }
        }
        this.instead = None;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            // An answer without a body is one part.
            [whole] => self.poll_write(cx, whole),
            _ => Pin::new(&mut self.socket).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const BARE: &str =
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";

    /// What the peer gets, of which it takes three bytes at a time.
    async fn passed_on(answer: &str) -> String {
        let (socket, mut peer) = duplex(3);
        let mut socket = WithWords::new(socket);
        let sending = async move { socket.write_all(answer.as_bytes()).await.unwrap() };
        let mut taken = String::new();
        let ((), read) = tokio::join!(sending, peer.read_to_string(&mut taken));
        read.unwrap();
        taken
    }

    #[tokio::test]
    async fn a_bare_refusal_gets_words() {
        let told = passed_on(BARE).await;
        assert!(told.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{told}");
        assert!(
            told.contains("\r\n\r\nthe request is not valid HTTP"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn all_other_answers_pass_as_they_are() {
        for other in [
            BARE.replace("400 Bad Request", "404 Not Found"),
            BARE.replace("connection: close\r\n", ""),
            BARE.replace("date: x", "date: x\r\nx-mine: 1"),
            BARE.replace("content-length: 0", "content-length: 2") + "no",
            "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
        ] {
            assert_eq!(passed_on(&other).await, other);
        }
    }
}
