//! Gives words to what hyper answers by itself: a request that it cannot read gets a bare status, which tells its sender nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// This much of each request is looked at for what hyper refuses in it.
const LOOKED_AT: usize = 1024;

/// A socket on which such answers have a line of text.
#[derive(Debug)]
pub(super) struct WithWords<S> {
    socket: S,
    /// The beginning of what has come since the last answer.
    heard: Vec<u8>,
    /// An answer was sent after that.
    is_answered: bool,
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
        Self {
            socket,
            heard: Vec::new(),
            is_answered: false,
            instead: None,
        }
    }

    /// Remembers the beginning of a request.
    fn hear(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.is_answered) {
            self.heard.clear();
        }
        let room = LOOKED_AT.saturating_sub(self.heard.len());
        let part = bytes.get(..room).unwrap_or(bytes);
        self.heard.extend_from_slice(part);
    }
}

/// Whether a head announces a body so long that hyper takes it for a head that is too large.
fn announces_too_much(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let lengths = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<u64>())
    });
    lengths.flatten().any(|length| length >= u64::MAX - 2)
}

/// The answer with words, if `bytes` are a whole one without: such as has no body, no type, and ends the connection. `heard` is the beginning of the
/// request.
fn with_words(bytes: &[u8], heard: &[u8]) -> Option<Vec<u8>> {
    let head = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let text = std::str::from_utf8(head.strip_suffix(b"\r\n\r\n")?).ok()?;
    let mut lines = text.split("\r\n");
    let mut status = lines.next()?;
    let words = match status.get(..2)? {
        "31" if announces_too_much(heard) => {
            status = "13 Payload Too Large";
            "the request body is larger than any that is accepted: its content-length says so"
        }
        "00" => {
            "the request is not valid HTTP: check its first line, its headers and its content-length"
        }
        "14" => "the first line of the request is too long",
        "31" => "the head of the request is too large: 64 KiB and 100 headers are allowed",
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
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        self.hear(new);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WithWords<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.is_answered = true;
        if this.instead.is_none() {
            let bytes = with_words(bytes, &this.heard);
            this.instead = bytes.map(|bytes| Instead { bytes, written: 0 });
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
            _ => {
                self.is_answered = true;
                Pin::new(&mut self.socket).poll_write_vectored(cx, parts)
            }
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
    async fn a_length_that_no_body_has_is_a_body_that_is_too_large() {
        let bare = BARE.replace("400 Bad Request", "431 Request Header Fields Too Large");
        for (length, status) in [(u64::MAX, "413 Payload"), (7, "431 Request")] {
            let (socket, mut peer) = duplex(4096);
            let mut socket = WithWords::new(socket);
            let head = format!("POST / HTTP/1.1\r\nhost: a\r\nContent-Length: {length}\r\n\r\n");
            peer.write_all(head.as_bytes()).await.unwrap();
            let mut read = vec![0; head.len()];
            socket.read_exact(&mut read).await.unwrap();
            socket.write_all(bare.as_bytes()).await.unwrap();
            drop(socket);
            let mut told = String::new();
            peer.read_to_string(&mut told).await.unwrap();
            assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{told}");
        }
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
