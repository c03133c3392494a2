//! HTTP/1.1 messages as the bytes that go over the wire.

use tokio::io::{AsyncRead, AsyncReadExt};

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
