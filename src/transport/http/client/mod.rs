//! The pooled HTTP client: bytes to a URL and back, always within a time limit. Names nothing else of this crate.

mod connector;
mod error;

use std::fmt;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use self::error::HttpError;

use self::connector::Connector;
use self::error::{Kind, shown};
use super::body::{self, ReadError};
use super::encoding::{DecodeError, Encoding};

/// Settings of an [`HttpClient`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpClientConfig {
    /// How long name lookup, TCP and TLS together may take. Default 10 s. The time limit of a call counts beside it.
    pub connect_timeout: Duration,
    /// Unused connections are closed after this time. Default 15 s.
    pub pool_idle_timeout: Duration,
    /// Unused connections kept per scheme, host and port; more are closed after their exchange. Default 1024. 0 keeps none.
    pub max_idle_per_host: usize,
    /// Larger responses fail, counted as received and again when decompressed. Default 32 MiB.
    pub max_response_body_bytes: usize,
    /// Whether `gzip` and `deflate` responses are handed over decompressed, without `content-encoding` and
    /// `content-length`. Default true. Whether a server compresses is asked by the request's own `accept-encoding`.
    pub decompress: bool,
    /// Speaks HTTP/2 instead of HTTP/1.1: negotiated over TLS, by prior knowledge over plain TCP. Default false.
    pub http2: bool,
    /// PEM certificates of authorities trusted beside the public ones. Default empty.
    pub trusted_certificates_pem: Vec<u8>,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            pool_idle_timeout: Duration::from_secs(15),
            max_idle_per_host: 1024,
            max_response_body_bytes: 32 * 1024 * 1024,
            decompress: true,
            http2: false,
            trusted_certificates_pem: Vec::new(),
        }
    }
}

/// What is sent.
///
/// Headers go out as they are given, in lower case and in order of insertion. Only `host` (without the default port)
/// and `content-length` are added, in this order and at the end, when they are absent.
#[derive(Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Absolute, `http` or `https`, without user name and password. Sent as written.
    pub url: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body. May be empty.
    pub body: Bytes,
}

impl HttpRequest {
    /// A request without headers and body.
    pub fn new(method: Method, url: Uri) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A `POST` of `body`, without headers.
    pub fn post(url: Uri, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::new(Method::POST, url)
        }
    }
}

/// What came back, whatever its status.
#[derive(Clone)]
pub struct HttpResponse {
    /// The status. Redirects are not followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

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
    pooled: Client<Connector, Full<Bytes>>,
    max_response_body_bytes: usize,
    decompress: bool,
}

impl HttpClient {
    /// A client without connections; the first call opens one.
    ///
    /// # Errors
    /// When `trusted_certificates_pem` holds something else than certificates.
    pub fn new(config: HttpClientConfig) -> Result<Self, HttpError> {
        let connector = Connector::new(&config)?;
        let pooled = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.pool_idle_timeout)
            .pool_max_idle_per_host(config.max_idle_per_host)
            .http2_only(config.http2)
            .build(connector);
        Ok(Self {
            pooled,
            max_response_body_bytes: config.max_response_body_bytes,
            decompress: config.decompress,
        })
    }

    /// Sends `request` and reads the whole response. Connecting, waiting and reading together take `timeout` at most.
    ///
    /// A request is sent once. It goes out on a second connection only when a pooled one was found closed before any of
    /// the request was written.
    ///
    /// # Errors
    /// When no whole response arrived. Unless [`HttpError::is_connect`] or [`HttpError::is_invalid_request`], the server
    /// may have acted on the request.
    pub async fn send(
        &self,
        request: HttpRequest,
        timeout: Duration,
    ) -> Result<HttpResponse, HttpError> {
        let method = request.method.clone();
        let url = request.url.clone();
        let status = AtomicU16::new(0);
        tokio::time::timeout(timeout, self.exchange(request, &status))
            .await
            .unwrap_or(Err(Kind::TimedOut(timeout)))
            .map_err(|kind| {
                let status = StatusCode::from_u16(status.load(Ordering::Relaxed)).ok();
                HttpError::new(kind, &method, &url).with_status(status)
            })
    }

    /// `status` is told as soon as it is known: it survives a time limit that ends the rest.
    async fn exchange(
        &self,
        request: HttpRequest,
        status: &AtomicU16,
    ) -> Result<HttpResponse, Kind> {
        check(&request.url)?;
        let mut outgoing = http::Request::new(Full::new(request.body));
        *outgoing.method_mut() = request.method;
        *outgoing.uri_mut() = request.url;
        *outgoing.headers_mut() = request.headers;

        let response = self
            .pooled
            .request(outgoing)
            .await
            .map_err(Kind::from_hyper)?;
        let (mut head, body) = response.into_parts();
        status.store(head.status.as_u16(), Ordering::Relaxed);
        let limit = self.max_response_body_bytes;
        let mut body = body::read(body, limit).await.map_err(|err| match err {
            ReadError::TooLarge => Kind::BodyTooLarge { limit },
            ReadError::Broken(source) => Kind::Broken(source.into()),
        })?;
        let encoding = Encoding::of(&head.headers);
        if self.decompress
            && matches!(encoding, Encoding::Gzip | Encoding::Deflate)
            && !body.is_empty()
        {
            body = encoding.decode(body, limit).map_err(|err| match err {
                DecodeError::TooLarge => Kind::BodyTooLarge { limit },
                DecodeError::Malformed(source) => Kind::Malformed(source),
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

fn check(url: &Uri) -> Result<(), Kind> {
    let authority = match (url.scheme_str(), url.authority()) {
        (Some("http" | "https"), Some(authority)) => authority,
        _ => {
            return Err(Kind::InvalidRequest(
                "an absolute http or https URL is needed",
            ));
        }
    };
    if authority.as_str().contains('@') {
        return Err(Kind::InvalidRequest(
            "the URL carries credentials; send them in an `authorization` header",
        ));
    }
    Ok(())
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &shown(&self.url))
            .field("headers", &self.headers.keys())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("headers", &self.headers.keys())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}
