//! Accepts connections and serves each until it closes or the server stops.

use std::fmt;
use std::future::{Future, IntoFuture, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::connection::serve_connection;
use super::connection_slots::{ConnectionSlot, ConnectionSlots};
use super::descriptors;
use super::listener::{Listener, Socket};
use super::memory::BodyMemory;
use super::service::HandlerService;
use crate::sdk::BoxError;

/// The wait after an accept that failed because a resource, such as file descriptors, was used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server allows its clients.
///
/// A connection buffers at most 64 KiB over HTTP/1.1, the maximum size of a request head, and 256 KiB over HTTP/2,
/// where it may have 100 concurrent requests.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Maximum open connections. Beyond it, the connection that has been idle longest is closed; if none is idle, new ones
    /// wait. Default 8192, but at most half of the process's file descriptors (`ulimit -n`), so that enough are left for
    /// files and outgoing calls.
    pub max_connections: usize,
    /// A connection without a complete request head within this time is closed, whether it is idle between
    /// requests or sends its headers slowly. It may take up to half as long again. Default 75 s, more than the
    /// minute for which HTTP clients and load balancers commonly keep their connections.
    pub idle_timeout: Duration,
    /// A connection whose peer does not read its responses, that is, less than 16 KiB within this time, is closed.
    /// Default 30 s.
    pub write_timeout: Duration,
    /// Memory for arriving request bodies, over all connections. If a body gets none within a second, its request is
    /// answered with 503 and `retry-after`. Default 128 MiB; never less than the size limit of one body.
    pub max_body_memory_bytes: usize,
    /// How long requests in flight may take once the server stops; then their connections are closed. Default 10 s.
    pub shutdown_grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 8192,
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            max_body_memory_bytes: 128 << 20,
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

impl ServerLimits {
    /// Slots for as many connections as the limits and the system allow.
    pub(crate) fn slots(&self) -> ConnectionSlots {
        let by_system = descriptors::limit().map_or(usize::MAX, |limit| limit / 2);
        if by_system < self.max_connections {
            debug!(
                connections = by_system,
                "half of the descriptors are for connections"
            );
        }
        ConnectionSlots::new(self.max_connections.min(by_system))
    }

    /// The memory for bodies, if one may have `largest` bytes.
    pub(crate) fn body_memory(&self, largest: usize) -> BodyMemory {
        BodyMemory::new(self.max_body_memory_bytes.max(largest))
    }
}

/// Serves functions on `listener`, over HTTP/1.1 and HTTP/2 without TLS. It runs while it is awaited, until it is stopped.
///
/// The listener is TCP or a UNIX socket. The service is a [`StatefulFunctions`](crate::StatefulFunctions), a handler, or a
/// [`HandlerService`] with its own limits.
///
/// ```no_run
/// use stateful_functions::{StatefulFunctions, transport::http};
///
/// # async fn example(functions: StatefulFunctions) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
/// http::serve(listener, functions)
///     .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap() })
///     .await
/// # }
/// ```
pub fn serve(listener: impl Into<Listener>, service: impl Into<HandlerService>) -> Serve {
    Serve {
        listener: listener.into(),
        service: service.into(),
        limits: ServerLimits::default(),
        stop: Box::pin(pending()),
    }
}

/// A server that runs while it is awaited. See [`serve`].
#[must_use = "a server does nothing unless awaited"]
pub struct Serve {
    listener: Listener,
    service: HandlerService,
    limits: ServerLimits,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Serve {
    /// Stops when `stop` is ready: accepts nothing more, finishes requests in flight within
    /// [`ServerLimits::shutdown_grace`], and returns.
    pub fn with_graceful_shutdown(self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            stop: Box::pin(stop),
            ..self
        }
    }

    /// Sets limits other than the default ones.
    pub fn with_limits(self, limits: ServerLimits) -> Self {
        Self { limits, ..self }
    }
}

impl IntoFuture for Serve {
    /// Currently never an error: failed accepts are tried again.
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let handler = self.service.with_memory_of(&self.limits);
            let service = service_fn(move |request| handler.answer_raw(request));
            let slots = self.limits.slots();
            serve_connections(self.listener, service, self.limits, slots, self.stop).await;
            Ok(())
        })
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A service that answers the requests of connections. All that do are.
pub trait Answers:
    Service<
        Request<Incoming>,
        Response = Response<Self::Body>,
        Future: Send + 'static,
        Error: Into<BoxError>,
    > + Clone
    + Send
    + 'static
{
    /// The body of a response.
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> Answers for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Body = B;
}

/// Serves `service` on each connection of `listener` until `stop` is ready and the last connection is closed.
pub(crate) async fn serve_connections(
    listener: impl Into<Listener>,
    service: impl Answers,
    limits: ServerLimits,
    slots: ConnectionSlots,
    stop: impl Future<Output = ()>,
) {
    let listener = listener.into();
    let mut stop = pin!(stop);
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let open = |(socket, peer): Accepted, slot: ConnectionSlot, connections: &mut JoinSet<()>| {
        let connection = serve_connection(
            socket,
            service.clone(),
            limits,
            slot.seat(),
            stopped.clone(),
        );
        connections.spawn(async move {
            if let Err(err) = connection.await {
                debug!(?peer, error = %err, "connection ended early");
            }
            drop(slot);
        });
    };
    let mut waiting: Option<Accepted> = None;
    let mut trouble = Trouble::default();
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = connections.join_next() => note(ended),
            slot = slots.take(), if waiting.is_some() => {
                if let Some(accepted) = waiting.take() {
                    open(accepted, slot, &mut connections);
                }
            }
            accepted = listener.accept(), if waiting.is_none() => match accepted {
                Ok(accepted) => {
                    trouble.is_over();
                    match slots.try_take() {
                        Some(slot) => open(accepted, slot, &mut connections),
                        None => {
                            slots.make_room();
                            waiting = Some(accepted);
                        }
                    }
                }
                // Only this connection failed, not the listener.
                Err(err) if is_of_one_connection(&err) => debug!(error = %err, "connection lost before it was accepted"),
                Err(err) => {
                    trouble.begins(&err);
                    slots.make_room();
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop((listener, waiting, stopping)); // each connection sees the stop and finishes what is in flight
    let finished = async {
        while let Some(ended) = connections.join_next().await {
            note(ended);
        }
    };
    if timeout(limits.shutdown_grace, finished).await.is_err() {
        warn!(
            connections = connections.len(),
            "requests still in flight were cut off"
        );
        connections.shutdown().await;
    }
}

/// A connection and the address of its peer.
type Accepted = (Socket, Option<SocketAddr>);

/// Accepting fails because descriptors or memory are used up. Logged once when it begins and once when it is over.
#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
}

impl Trouble {
    fn begins(&mut self, err: &io::Error) {
        if self.failures == 0 {
            warn!(error = %err, "no connection can be accepted; closing idle ones, and will retry");
        }
        self.failures = self.failures.saturating_add(1);
    }

    fn is_over(&mut self) {
        let failures = std::mem::take(&mut self.failures);
        if failures > 0 {
            info!(failures, "connections are accepted again");
        }
    }
}

fn is_of_one_connection(err: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        err.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

fn note(ended: Result<(), JoinError>) {
    if let Err(err) = ended {
        warn!(error = %err, "a connection was lost to a panic");
    }
}
