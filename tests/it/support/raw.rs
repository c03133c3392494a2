//! HTTP/1.1 messages as the bytes that go over the wire.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One message. Its body may be any bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawMessage {
    /// The first line and the headers, each ended by `\r\n`.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawMessage {
    /// Reads one message with a `content-length` body, or none, byte by byte so that nothing of the next one is taken.
    /// `None` at the end of the stream.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        head.truncate(head.len() - 2);
        let head = String::from_utf8(head).unwrap();
        let mut message = Self {
            head,
            body: Vec::new(),
        };
        let length = message
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        message.body.resize(length, 0);
        stream.read_exact(&mut message.body).await.ok()?;
        Some(message)
    }

    /// The status, of an answer.
    pub(crate) fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1).unwrap();
        status.parse().unwrap()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The value of the first header called `name`, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// What the server at `address` answers to `request`, on a connection of its own.
#[cfg(feature = "http")]
pub(crate) async fn ask(address: &str, request: &[u8]) -> RawMessage {
    let mut connection = TcpStream::connect(address).await.unwrap();
    // A server may have heard enough before it has heard all.
    let _ = connection.write_all(request).await;
    RawMessage::read(&mut connection).await.expect("an answer")
}
