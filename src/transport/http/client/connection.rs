//! One connection: one request at a time over HTTP/1.1, many over HTTP/2.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep, sleep_until};

use super::error::FailureKind;
use super::pool::Slot;
use super::stream::{Pauses, Progress, Stream, Watched};

/// The protocol of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dialect {
    Http1 { title_case_headers: bool },
    Http2,
}

pub(super) type Outgoing = Request<Full<Bytes>>;

/// Closed when it is dropped and no request is in flight.
pub(super) struct Connection {
    sender: Sender,
    /// The runtime whose threads drive it.
    home: Id,
    progress: Option<Arc<Progress>>,
    has_served: bool,
    /// When it is too old for another request.
    pub(super) expires: Option<Instant>,
    /// Counts it among the open connections. Further handles of a shared connection have none.
    pub(super) slot: Option<Slot>,
    /// Fires when a request takes too long. It stays set between requests, and each request only moves it to a later time, which is
    /// cheaper than a new timer for each request.
    alarm: Option<Pin<Box<Sleep>>>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// There is no response; `unsent` is the request, if nothing of it was written.
pub(super) struct Lost {
    pub(super) cause: FailureKind,
    pub(super) unsent: Option<Box<Outgoing>>,
}

impl Lost {
    /// The request was sent, or some of it.
    pub(super) const fn sent(cause: FailureKind) -> Self {
        let unsent = None;
        Self { cause, unsent }
    }
}

impl Connection {
    pub(super) async fn open(
        stream: Box<dyn Stream>,
        dialect: Dialect,
        pauses: Option<Pauses>,
    ) -> Result<Self, hyper::Error> {
        let progress = pauses.map(Progress::new);
        let sender = match &progress {
            None => Sender::open(stream, dialect).await?,
            Some(progress) => {
                let progress = Arc::clone(progress);
                Sender::open(Watched { stream, progress }, dialect).await?
            }
        };
        Ok(Self {
            sender,
            home: Handle::current().id(),
            progress,
            has_served: false,
            expires: None,
            slot: None,
            alarm: None,
        })
    }

    /// Takes the alarm of the connection, set to this time; to be put back with `keep_alarm`.
    pub(super) fn alarm(&mut self, at: Instant) -> Pin<Box<Sleep>> {
        match self.alarm.take() {
            Some(mut alarm) => {
                alarm.as_mut().reset(at);
                alarm
            }
            None => Box::pin(sleep_until(at)),
        }
    }

    pub(super) fn keep_alarm(&mut self, alarm: Pin<Box<Sleep>>) {
        self.alarm = Some(alarm);
    }

    /// Sends one request and returns the head of the response. The body follows on the same connection.
    pub(super) async fn send(&mut self, request: Outgoing) -> Result<Response<Incoming>, Lost> {
        let progress = self.progress.clone();
        let broken = if self.has_served {
            FailureKind::Stale
        } else {
            FailureKind::Broken
        };
        let sending = async {
            let sent = match &mut self.sender {
                Sender::Http1(sender) => sender.try_send_request(request).await,
                Sender::Http2(sender) => sender.try_send_request(request).await,
            };
            Ok(sent.map_err(|mut err| {
                let unsent = err.take_message().map(Box::new);
                let err = err.into_error();
                let cause = if err.is_parse() {
                    FailureKind::Broken(err.into())
                } else {
                    broken(err.into())
                };
                Lost { cause, unsent }
            }))
        };
        let sent = match progress {
            None => sending.await,
            Some(progress) => progress.watch(sending).await,
        };
        self.has_served = true;
        sent.unwrap_or_else(|cause| Err(Lost::sent(cause)))
    }

    /// Runs `reading` as long as bytes arrive.
    pub(super) async fn watch<T>(
        &self,
        reading: impl Future<Output = Result<T, FailureKind>>,
    ) -> Result<T, FailureKind> {
        match &self.progress {
            None => reading.await,
            Some(progress) => progress.watch(reading).await,
        }
    }

    /// Whether a request can be sent at once.
    pub(super) fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            Sender::Http2(sender) => sender.is_ready(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Waits until a request can be sent; false when the connection has closed instead.
    pub(super) async fn becomes_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Whether a request from runtime `caller` makes progress without waking a thread of another runtime, or the connection is one for all callers.
    pub(super) fn is_near(&self, caller: Id) -> bool {
        match &self.sender {
            Sender::Http1(_) => self.home == caller,
            Sender::Http2(_) => true,
        }
    }

    /// Another handle to the connection, if it can carry several requests at a time.
    pub(super) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                sender: Sender::Http2(sender.clone()),
                home: self.home,
                progress: self.progress.clone(),
                has_served: self.has_served,
                expires: self.expires,
                slot: None,
                alarm: None,
            }),
        }
    }
}

impl Sender {
    /// Spawns the task that drives the connection and ends with it. Its errors reach the requests they affect.
    async fn open(stream: impl Stream + 'static, dialect: Dialect) -> Result<Self, hyper::Error> {
        match dialect {
            Dialect::Http1 { title_case_headers } => {
                let (sender, driver) = http1::Builder::new()
                    .title_case_headers(title_case_headers)
                    .handshake(stream)
                    .await?;
                tokio::spawn(driver);
                Ok(Self::Http1(sender))
            }
            Dialect::Http2 => {
                let (sender, driver) = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .handshake(stream)
                    .await?;
                tokio::spawn(driver);
                Ok(Self::Http2(sender))
            }
        }
    }
}
