//! One kept-alive connection: raw HTTP/1.1, one request at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Answers that asked to retry later.
    pub(crate) refused: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            address,
            stream: connect(address).await?,
            buffer: Vec::with_capacity(64 * 1024),
            refused: 0,
        })
    }

    /// The body of the answer.
    pub(crate) async fn exchange(&mut self, request: &[u8], until: Instant) -> Result<Vec<u8>> {
        let length = self.exchange_length(request, until).await?;
        Ok(self.buffer.split_off(self.buffer.len() - length))
    }

    /// The length of the answer's body, which ends the buffer.
    ///
    /// A refusal with a `retry-after` is counted and tried again after that time. Fails on any other answer that is not 2xx, and
    /// if the wait would last beyond `until`.
    pub(crate) async fn exchange_length(
        &mut self,
        request: &[u8],
        until: Instant,
    ) -> Result<usize> {
        loop {
            let head = self.attempt(request).await?;
            if head.closes {
                self.stream = connect(self.address).await?;
            }
            let Some(wait) = head.retry_after else {
                return Ok(head.body);
            };
            self.refused += 1;
            let refusal = String::from_utf8_lossy(&self.buffer);
            ensure!(
                Instant::now() + wait <= until,
                "still refused at the end: {refusal}"
            );
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&mut self, request: &[u8]) -> Result<Head> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            let count = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(count > 0, "the server closed the connection");
            if let Some(head) = Head::parse(&self.buffer)? {
                while self.buffer.len() < head.length + head.body {
                    let count = self.stream.read_buf(&mut self.buffer).await?;
                    ensure!(count > 0, "the server closed the connection in an answer");
                }
                return Ok(head);
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The parts of an answer's head that the load generator needs.
struct Head {
    length: usize,
    body: usize,
    /// The wait that a refusal asks for.
    retry_after: Option<Duration>,
    closes: bool,
}

impl Head {
    /// `None` while the head is incomplete.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[..end])?;
        let (mut body, mut retry_after, mut closes) = (None, None, false);
        for line in text.lines() {
            let Some((key, value)) = line.split_once(": ") else {
                continue;
            };
            if key.eq_ignore_ascii_case("content-length") {
                body = Some(value.parse()?);
            } else if key.eq_ignore_ascii_case("retry-after") {
                retry_after = Some(Duration::from_secs(value.parse()?));
            } else if key.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case("close");
            }
        }
        let retry_after = match text.get(9..12) {
            Some(status) if status.starts_with('2') => None,
            Some("429" | "503") if retry_after.is_some() => retry_after,
            _ => bail!("refused: {}", String::from_utf8_lossy(bytes)),
        };
        let body = match body {
            Some(length) => length,
            None if text.starts_with("HTTP/1.1 204") => 0,
            None => bail!("an answer without content-length: {text}"),
        };
        Ok(Some(Self {
            length: end + 4,
            body,
            retry_after,
            closes,
        }))
    }
}
