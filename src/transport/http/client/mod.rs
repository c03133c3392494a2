//! The pooled HTTP client: sends bytes to a URL and returns the response, always within a time limit. Imports only `random` and plain data of this crate.

mod config;
mod connection;
mod connector;
mod error;
pub(crate) mod framing;
mod message;
pub(crate) mod origin;
mod pool;
mod proxy;
mod scripted;
mod stream;
mod tls;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION};
use http::{HeaderMap, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

pub use self::config::{ClientIdentity, HttpClientConfig, Network};
pub use self::error::HttpError;
pub use self::message::{HttpRequest, HttpResponse};
pub use self::proxy::{InvalidProxy, Proxies};
pub use self::scripted::{Answering, Script, Scripted};
#[cfg(any(feature = "mqtt", feature = "redis"))]
pub(crate) use self::tls::client_tls;

use self::connection::{Connection, Lost, Outgoing};
use self::connector::Connector;
use self::error::FailureKind;
use self::origin::Origin;
use self::pool::Pool;
use super::body::{self, NoTerms, ReadError};
use super::encoding::{DecodeError, Encoding};

/// A client with a pool of connections. Clones share the pool.
///
/// ```no_run
/// use std::time::Duration;
/// use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = HttpClient::new(HttpClientConfig::default())?;
/// let request = HttpRequest::post("http://localhost:8000/statefun".parse()?, "hello");
/// let response = client.send(request, Duration::from_secs(5)).await?;
/// assert_eq!(response.status, 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HttpClient {
    connector: Arc<Connector>,
    pool: Pool,
    max_response_body_bytes: usize,
    decompress: bool,
    /// In the place of the network.
    script: Option<Script>,
}

/// Until when a request may take, and how long that was.
#[derive(Debug, Clone, Copy)]
struct Limit {
    deadline: Instant,
    timeout: Duration,
}

/// The head of a response.
type Begun = OnceLock<(StatusCode, HeaderMap)>;

impl HttpClient {
    /// A client without connections; the first call opens one.
    ///
    /// # Errors
    /// If certificates or keys cannot be read.
    pub fn new(config: HttpClientConfig) -> Result<Self, HttpError> {
        Ok(Self {
            connector: Arc::new(Connector::new(&config)?),
            pool: Pool::new(&config),
            max_response_body_bytes: config.max_response_body_bytes,
            decompress: config.decompress,
            script: config.script,
        })
    }

    /// Sends `request` and reads the complete response. Connecting, waiting and reading together take at most `timeout`.
    ///
    /// A request is sent once. It is sent on a second connection only if a pooled one turned out to be closed before any
    /// part of the request was written.
    ///
    /// # Errors
    /// If no complete response arrived. Unless [`HttpError::is_connect`] or [`HttpError::is_invalid_request`], the server
    /// may have acted on the request.
    pub async fn send(
        &self,
        request: HttpRequest,
        timeout: Duration,
    ) -> Result<HttpResponse, HttpError> {
        let method = request.method.clone();
        let url = request.url.clone();
        if let Some(script) = &self.script {
            let kind = match script.answer(&request) {
                Scripted::Response(response) => return Ok(response),
                Scripted::NoConnection => FailureKind::Connect("the test says so".into()),
                Scripted::NoAnswer => FailureKind::TimedOut(timeout),
            };
            return Err(HttpError::new(kind, &method, &url));
        }
        let head = OnceLock::new();
        let limit = Limit {
            deadline: Instant::now() + timeout,
            timeout,
        };
        // Boxed once, so that no future around a request carries its connections along.
        Box::pin(self.exchange(request, limit, &head))
            .await
            .map_err(|kind| HttpError::new(kind, &method, &url).with_head(head.into_inner()))
    }

    /// Sends on a pooled connection, or on a new one.
    async fn exchange(
        &self,
        request: HttpRequest,
        limit: Limit,
        begun: &Begun,
    ) -> Result<HttpResponse, FailureKind> {
        let origin = Origin::of(&request.url)?;
        framing::check(&request)?;
        let mut outgoing = self.outgoing(request, &origin);
        while let Some(mut connection) = self.pool.take(&origin) {
            let talk = self.talk(&mut connection, outgoing, limit, begun);
            match talk.await {
                Ok(response) => {
                    self.pool.put(origin, connection);
                    return Ok(response);
                }
                Err(lost) => outgoing = *lost.unsent.ok_or(lost.cause)?,
            }
        }
        let slot = self.pool.slot(&origin);
        let connecting = timeout_at(limit.deadline, self.connector.connect(&origin)).await;
        let mut connection = connecting.map_err(|_| FailureKind::TimedOut(limit.timeout))??;
        connection.slot = Some(slot);
        connection.expires = self.pool.expiry();
        let talk = self.talk(&mut connection, outgoing, limit, begun);
        let response = talk.await.map_err(|lost| lost.cause)?;
        self.pool.put(origin, connection);
        Ok(response)
    }

    /// Sends one request and reads its response, within the time limit. Stores the head of the response in `begun`, so that it is known even if
    /// the limit ends the call during the body.
    async fn talk(
        &self,
        connection: &mut Connection,
        outgoing: Outgoing,
        limit: Limit,
        begun: &Begun,
    ) -> Result<HttpResponse, Lost> {
        let mut alarm = connection.alarm(limit.deadline);
        let talk = async {
            let response = connection.send(outgoing).await?;
            // For a successful answer the status suffices. It is stored once.
            let headers = match response.status().is_success() {
                true => HeaderMap::new(),
                false => response.headers().clone(),
            };
            let _ = begun.set((response.status(), headers));
            let read = connection.watch(self.read(response)).await;
            read.map_err(Lost::sent)
        };
        let done = tokio::select! {
            biased;
            done = talk => done,
            () = alarm.as_mut() => Err(Lost::sent(FailureKind::TimedOut(limit.timeout))),
        };
        connection.keep_alarm(alarm);
        done
    }

    /// The request as it is sent: over HTTP/1.1 the target is the path only, and the host is a header.
    fn outgoing(&self, request: HttpRequest, origin: &Origin) -> Outgoing {
        let mut outgoing = Outgoing::new(Full::new(request.body));
        *outgoing.method_mut() = request.method;
        *outgoing.headers_mut() = request.headers;
        if self.connector.speaks_http2() {
            *outgoing.uri_mut() = request.url;
            return outgoing;
        }
        let proxy = self.connector.proxy(origin).filter(|_| !origin.tls);
        if let Some(value) = proxy.and_then(|proxy| proxy.authorization.clone()) {
            outgoing.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        match (proxy, request.url.path_and_query()) {
            (None, Some(path)) => *outgoing.uri_mut() = Uri::from(path.clone()),
            // A proxy gets the whole URL.
            (Some(_), _) => *outgoing.uri_mut() = request.url,
            (None, None) => {}
        }
        if !outgoing.headers().contains_key(HOST)
            && let Some(host) = origin.host()
        {
            outgoing.headers_mut().insert(HOST, host);
        }
        outgoing
    }

    async fn read(&self, response: Response<Incoming>) -> Result<HttpResponse, FailureKind> {
        let (mut head, body) = response.into_parts();
        let limit = self.max_response_body_bytes;
        let read = body::read(body, limit, &mut NoTerms).await;
        let mut body = read.map_err(|err| match err {
            ReadError::TooLarge => FailureKind::BodyTooLarge { limit },
            ReadError::Broken(source) => FailureKind::Broken(source.into()),
            ReadError::Refused(never) => match never {},
        })?;
        let encoding = Encoding::of(&head.headers);
        if self.decompress
            && matches!(encoding, Encoding::Gzip | Encoding::Deflate)
            && !body.is_empty()
        {
            body = encoding.decode(body, limit).map_err(|err| match err {
                DecodeError::TooLarge => FailureKind::BodyTooLarge { limit },
                DecodeError::Malformed(source) => FailureKind::Malformed(source),
            })?;
            head.headers.remove(CONTENT_ENCODING);
            head.headers.remove(CONTENT_LENGTH);
        }
        Ok(HttpResponse {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}
