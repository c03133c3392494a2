//! The reader of request bodies: the same limits, encodings and refusals for every listener.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use super::body::{self, NextFrame, ReadError, Terms};
use super::encoding::{DecodeError, Encoding};
use super::memory::{BodyMemory, Held, UsedUp};

/// The limits of a request body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Maximum size, both as received and decompressed.
    pub(crate) max_bytes: usize,
    /// Time limit for the whole body, from the first wait for it.
    pub(crate) timeout: Duration,
    /// Time limit for the wait between two pieces of the body.
    pub(crate) pause: Duration,
}

impl BodyLimits {
    /// The default time limits, for bodies of up to `max_bytes`.
    pub(crate) const fn up_to(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            timeout: Duration::from_secs(60),
            pause: Duration::from_secs(10),
        }
    }
}

/// Reads request bodies.
#[derive(Debug, Clone)]
pub(crate) struct BodyReader {
    pub(super) limits: BodyLimits,
    /// Memory that all connections of the process share.
    pub(super) memory: Option<BodyMemory>,
}

/// Why a body was not read. Each has a status and a line of text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the content-encoding of the request is not supported; send gzip, deflate or identity")]
    Encoding,
    #[error("the request body is larger than {}", size(*limit))]
    TooLarge { limit: usize },
    #[error("the request body {0}")]
    TooSlow(TooSlow),
    #[error("the memory for request bodies is used up; try again later")]
    NoMemory,
    #[error("the request body broke off")]
    Broken,
    #[error("the request body cannot be decompressed: {0}")]
    Malformed(io::Error),
}

/// A number of bytes, in the largest unit that leaves no fraction.
fn size(bytes: usize) -> String {
    match bytes {
        n if n > 0 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n > 0 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

/// Why a body was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooSlow {
    Whole(Duration),
    Pause(Duration),
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(limit) => write!(f, "took longer than {limit:?}"),
            Self::Pause(limit) => write!(f, "paused for {limit:?}"),
        }
    }
}

impl BodyFault {
    /// Its HTTP status.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Encoding => 415,
            Self::TooLarge { .. } => 413,
            Self::TooSlow(_) => 408,
            Self::NoMemory => 503,
            Self::Broken | Self::Malformed(_) => 400,
        }
    }
}

impl BodyReader {
    pub(crate) const fn new(limits: BodyLimits, memory: Option<BodyMemory>) -> Self {
        Self { limits, memory }
    }

    /// The same reader for bodies of up to `max_bytes`.
    #[cfg(feature = "runtime")]
    pub(crate) fn up_to(&self, max_bytes: usize) -> Self {
        let limits = BodyLimits {
            max_bytes,
            ..self.limits
        };
        Self::new(limits, self.memory.clone())
    }

    /// Reads the whole body, decompressed. If the announced length is too large, it is refused before the client is told to continue.
    pub(crate) async fn read<B: Body>(
        &self,
        encoding: Encoding,
        body: B,
    ) -> Result<Bytes, BodyFault> {
        if encoding == Encoding::Other {
            return Err(BodyFault::Encoding);
        }
        let limit = self.limits.max_bytes;
        let mut pace = Pace {
            reader: self,
            deadline: None,
            held: Held::default(),
        };
        let read = body::read(body, limit, &mut pace).await;
        let whole = read.map_err(|err| match err {
            ReadError::TooLarge => BodyFault::TooLarge { limit },
            ReadError::Broken(_) => BodyFault::Broken,
            ReadError::Refused(fault) => fault,
        })?;
        encoding.decode(whole, limit).map_err(|err| match err {
            DecodeError::TooLarge => BodyFault::TooLarge { limit },
            DecodeError::Malformed(err) => BodyFault::Malformed(err),
        })
    }
}

/// The conditions of one request's body. It holds its memory until the body is complete and passed on.
struct Pace<'a> {
    reader: &'a BodyReader,
    /// Set at the first wait.
    deadline: Option<Instant>,
    held: Held,
}

impl Terms for Pace<'_> {
    type Refusal = BodyFault;

    /// A frame that has already arrived, as with small bodies, needs no look at the clock.
    async fn frame<B: Body>(&mut self, mut body: Pin<&mut B>) -> Result<NextFrame<B>, BodyFault> {
        let mut next = pin!(body.frame());
        if let Poll::Ready(frame) = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
            return Ok(frame);
        }
        let BodyLimits { timeout, pause, .. } = self.reader.limits;
        let now = Instant::now();
        let deadline = *self.deadline.get_or_insert(now + timeout);
        let (until, fault) = match now + pause {
            paused if paused < deadline => (paused, TooSlow::Pause(pause)),
            _ => (deadline, TooSlow::Whole(timeout)),
        };
        let frame = timeout_at(until, next).await;
        frame.map_err(|_| BodyFault::TooSlow(fault))
    }

    async fn hold(&mut self, bytes: usize) -> Result<(), BodyFault> {
        let Some(memory) = &self.reader.memory else {
            return Ok(());
        };
        let held = memory.hold(&mut self.held, bytes).await;
        held.map_err(|UsedUp| BodyFault::NoMemory)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::{self, StreamExt as _};
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn reader(memory: Option<BodyMemory>) -> BodyReader {
        let limits = BodyLimits {
            max_bytes: 1000,
            timeout: 60 * SECOND,
            pause: 10 * SECOND,
        };
        BodyReader::new(limits, memory)
    }

    /// A body of `pieces` bytes, one after each wait.
    fn dripping(wait: Duration, pieces: usize) -> impl Body<Data = Bytes, Error = Infallible> {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            sleep(wait).await;
            Ok(Frame::data(Bytes::from_static(b"x")))
        });
        StreamBody::new(Box::pin(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_neither_stand_still_nor_drip_for_ever() {
        let read = async |wait, pieces| {
            let reader = reader(None);
            let read = reader.read(Encoding::Identity, dripping(wait, pieces));
            read.await.map_err(|fault| fault.to_string())
        };
        assert_eq!(read(9 * SECOND, 6).await.unwrap(), "xxxxxx");
        let still = "the request body paused for 10s";
        assert_eq!(read(11 * SECOND, 1).await.unwrap_err(), still);
        let drips = "the request body took longer than 60s";
        assert_eq!(read(9 * SECOND, 9).await.unwrap_err(), drips);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_held_while_a_body_comes_and_given_back_whatever_becomes_of_it() {
        let memory = BodyMemory::new(100);
        let reader = reader(Some(memory.clone()));
        let mut body = pin!(reader.read(Encoding::Identity, dripping(SECOND, 50)));
        let early = timeout_at(Instant::now() + 20 * SECOND, body.as_mut()).await;
        assert!(early.is_err() && memory.used() >= 10, "{}", memory.used());
        assert_eq!(body.await.unwrap().len(), 50);
        assert_eq!(memory.used(), 0);
        let large = reader
            .read(Encoding::Identity, dripping(SECOND / 10, 200))
            .await;
        assert!(matches!(large, Err(BodyFault::NoMemory)), "{large:?}");
        assert_eq!(memory.used(), 0);
    }
}
