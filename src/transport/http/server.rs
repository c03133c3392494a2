//! Accepts connections and serves each until it closes or the server stops.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture, pending};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::connection::serve_connection;
use super::listener::Listener;
use super::service::HandlerService;
use crate::sdk::BoxError;

/// The wait after an accept that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server allows its clients.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Connections open at the same time; further ones wait in the listener's backlog. Default 8192.
    pub max_connections: usize,
    /// A connection that does not bring a whole request head within this time is closed: one that idles between
    /// requests, and one that sends its headers slowly. It may take half of it longer. Default 75 s, more than the
    /// minute for which HTTP clients and load balancers commonly keep their connections.
    pub idle_timeout: Duration,
    /// How long requests in flight may take to finish once the server stops; then their connections are cut. Default 10 s.
    pub shutdown_grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 8192,
            idle_timeout: Duration::from_secs(75),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// Serves functions on `listener`, over HTTP/1.1 and HTTP/2 without TLS: runs while it is awaited, until told to stop.
///
/// Listens on TCP or on a UNIX socket. Takes a [`StatefulFunctions`](crate::StatefulFunctions), a handler, or a
/// [`HandlerService`] with limits of its own.
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

    /// Other limits than the default ones.
    pub fn with_limits(self, limits: ServerLimits) -> Self {
        Self { limits, ..self }
    }
}

impl IntoFuture for Serve {
    /// Never an error so far: failed accepts are tried again.
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let handler = self.service;
            let service = service_fn(move |request| {
                let handler = handler.clone();
                async move { Ok::<_, Infallible>(handler.answer(request).await) }
            });
            serve_connections(self.listener, service, self.limits, self.stop).await;
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

/// Serves `service` on each connection of `listener` until `stop` is ready and the last connection is closed or cut.
pub(crate) async fn serve_connections<S, B>(
    listener: impl Into<Listener>,
    service: S,
    limits: ServerLimits,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let listener = listener.into();
    let mut stop = pin!(stop);
    let slots = Arc::new(Semaphore::new(
        limits.max_connections.min(Semaphore::MAX_PERMITS),
    ));
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        let accepting = async {
            let slot = slots
                .clone()
                .acquire_owned()
                .await
                .expect("slots stay open");
            (listener.accept().await, slot)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = connections.join_next() => note(ended),
            (accepted, slot) = accepting => match accepted {
                Ok((socket, peer)) => {
                    let connection = serve_connection(socket, service.clone(), limits.idle_timeout, stopped.clone());
                    connections.spawn(async move {
                        if let Err(err) = connection.await {
                            debug!(?peer, error = %err, "connection ended early");
                        }
                        drop(slot);
                    });
                }
                // The one connection failed, not the listener.
                Err(err) if is_of_one_connection(&err) => debug!(error = %err, "connection lost before it was accepted"),
                Err(err) => {
                    warn!(error = %err, "accept failed; will retry");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop((listener, stopping)); // each connection sees the stop and finishes what is in flight
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
