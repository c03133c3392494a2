//! A function server over HTTP: one call is as many attempts as its transport's budget allows.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap,
    HeaderValue, USER_AGENT,
};
use http::{StatusCode, Uri};
use prost::Message as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::in_process::chain;
use crate::protocol::reqreply::FromFunction;
use crate::runtime::core::{AddressKey, Failure, FunctionBinding};
use crate::runtime::module::{Endpoint as EndpointSpec, TlsFiles, Transport};
use crate::sdk::{BoxError, TypeName};
use crate::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest, HttpResponse};

const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Answers above this size are failed attempts, as on StateFun.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// Calls of one endpoint that are out at the same time; further ones wait their turn.
const MAX_CALLS: usize = 1024;

/// The endpoint can't be called at all.
#[derive(Debug, thiserror::Error)]
#[error("endpoint for {functions} can't be used")]
pub(crate) struct RemoteError {
    functions: String,
    #[source]
    source: BoxError,
}

/// A function server at a URL.
#[derive(Debug)]
pub(crate) struct Remote {
    spec: EndpointSpec,
    client: HttpClient,
    headers: HeaderMap,
    limits: Limits,
    permits: Semaphore,
    urls: Mutex<HashMap<String, Uri>>,
}

/// What the two transports differ in.
#[derive(Debug, Clone, Copy)]
struct Limits {
    budget: Duration,
    attempt: Option<Duration>,
    first_wait: Duration,
    retries_everything: bool,
}

/// Why one attempt brought nothing.
struct Attempt {
    cause: String,
    retry: bool,
}

impl Remote {
    /// An endpoint of a module file.
    ///
    /// # Errors
    /// When its client can't be made.
    pub(crate) fn new(spec: EndpointSpec) -> Result<Self, RemoteError> {
        let mut config = HttpClientConfig {
            max_response_body_bytes: MAX_ANSWER_BYTES,
            ..HttpClientConfig::default()
        };
        let mut headers = HeaderMap::new();
        let (limits, calls) = match &spec.transport {
            Transport::Async(transport) => {
                config.trusted_certificates_pem =
                    authorities(&transport.tls).map_err(|what| RemoteError {
                        functions: spec.functions.to_string(),
                        source: what.into(),
                    })?;
                config.connect_timeout = transport.connect;
                config.max_idle_per_host = transport.pool_size;
                config.max_response_body_bytes = transport.payload_max_bytes;
                if let Some(ttl) = transport.pool_ttl {
                    config.pool_idle_timeout = ttl;
                }
                headers.insert(CONTENT_TYPE, OCTET_STREAM);
                headers.insert(ACCEPT, OCTET_STREAM);
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip,deflate"));
                headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
                headers.insert(USER_AGENT, HeaderValue::from_static("statefun"));
                let limits = Limits {
                    budget: transport.call,
                    attempt: None,
                    first_wait: Duration::from_millis(4),
                    retries_everything: true,
                };
                (limits, transport.pool_size.clamp(1, MAX_CALLS))
            }
            Transport::OkHttp(transport) => {
                config.connect_timeout = transport.connect;
                headers.insert(CONTENT_TYPE, OCTET_STREAM);
                // Filled in for each request: they stand here, before the others.
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                headers.insert(HOST, HeaderValue::from_static(""));
                headers.insert(CONNECTION, HeaderValue::from_static("Keep-Alive"));
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
                headers.insert(USER_AGENT, HeaderValue::from_static("okhttp/3.14.6"));
                let limits = Limits {
                    budget: transport.call,
                    attempt: Some(transport.connect.max(transport.read).max(transport.write)),
                    first_wait: Duration::from_millis(10),
                    retries_everything: false,
                };
                (limits, MAX_CALLS)
            }
        };
        let client = HttpClient::new(config).map_err(|source| RemoteError {
            functions: spec.functions.to_string(),
            source: source.into(),
        })?;
        Ok(Self {
            client,
            headers,
            limits,
            permits: Semaphore::new(calls),
            urls: Mutex::default(),
            spec,
        })
    }

    pub(crate) fn binding(&self) -> FunctionBinding {
        let max_backlog = self
            .spec
            .max_batch_requests
            .map_or(0, |max| u64::from(max.get()));
        FunctionBinding {
            after_durable: false,
            max_backlog,
        }
    }

    /// Calls until an attempt succeeds, one fails for good, or the budget is used up.
    pub(crate) async fn call(
        &self,
        target: &AddressKey,
        request: Bytes,
    ) -> Result<FromFunction, Failure> {
        let failed = |cause: &str| {
            let (namespace, name, id) = target.parts();
            Failure::new(format!(
                "Failure forwarding a message to a remote function Address({namespace}, {name}, {id}): {cause}"
            ))
        };
        if let Some(fault) = &self.spec.lazy_fault {
            return Err(failed(fault));
        }
        let url = self.url(target).map_err(|cause| failed(&cause))?;
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| failed("the runtime is going down"))?;
        let started = Instant::now();
        let mut wait = self.limits.first_wait;
        loop {
            let left = self.limits.budget.saturating_sub(started.elapsed());
            let attempt = match self.attempt(&url, request.clone(), left).await {
                Ok(reply) => return Ok(reply),
                Err(attempt) => attempt,
            };
            let left = self.limits.budget.saturating_sub(started.elapsed());
            if !attempt.retry {
                return Err(failed(&attempt.cause));
            }
            if left <= Duration::from_millis(1) {
                return Err(failed(&format!(
                    "Maximal request time has elapsed. Last known error is: {}",
                    attempt.cause
                )));
            }
            debug!(address = %target.to_address(), cause = %attempt.cause, "attempt failed; will retry");
            sleep(wait.min(left)).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn attempt(
        &self,
        url: &Uri,
        body: Bytes,
        left: Duration,
    ) -> Result<FromFunction, Attempt> {
        // At least a few milliseconds, however little is left of the budget.
        let left = left.max(Duration::from_millis(10));
        let timeout = self.limits.attempt.map_or(left, |limit| limit.min(left));
        let mut request = HttpRequest::post(url.clone(), body);
        request.headers = self.headers.clone();
        if let Some(length) = request.headers.get_mut(CONTENT_LENGTH) {
            *length = HeaderValue::from(request.body.len());
        }
        if let (Some(host), Some(authority)) = (request.headers.get_mut(HOST), host(url)) {
            *host = authority;
        }
        let response = self
            .client
            .send(request, timeout)
            .await
            .map_err(|error| Attempt {
                cause: chain(&error),
                retry: true,
            })?;
        self.read(response)
    }

    /// An answer counts if its status is 2xx, its content-type is exactly the protocol's, and its body is a `FromFunction`.
    fn read(&self, response: HttpResponse) -> Result<FromFunction, Attempt> {
        let everything = self.limits.retries_everything;
        if !response.status.is_success() {
            let code = response.status.as_u16();
            let retry = everything || retryable(response.status);
            let cause = if retry && !everything {
                format!("invalid HTTP response code {code}")
            } else if everything {
                format!(
                    "Unexpected response code {code} ({})",
                    response.status.canonical_reason().unwrap_or_default()
                )
            } else {
                format!("Non successful HTTP response code {code}")
            };
            return Err(Attempt { cause, retry });
        }
        let content_type = response
            .headers
            .get(CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let accepted = if everything {
            content_type.eq_ignore_ascii_case(OCTET_STREAM.as_bytes())
        } else {
            content_type == OCTET_STREAM.as_bytes()
        };
        if !accepted {
            let shown = String::from_utf8_lossy(content_type);
            let what = if everything {
                "Unexpected content type"
            } else {
                "Wrong HTTP content-type"
            };
            return Err(Attempt {
                cause: format!("{what} {shown}"),
                retry: everything,
            });
        }
        FromFunction::decode(response.body).map_err(|error| Attempt {
            cause: format!("the body is not a FromFunction: {error}"),
            retry: everything,
        })
    }

    fn url(&self, target: &AddressKey) -> Result<Uri, String> {
        let (namespace, name, _) = target.parts();
        let mut urls = self
            .urls
            .lock()
            .map_err(|_| "the table of URLs is damaged".to_owned())?;
        if let Some(url) = urls.get(name) {
            return Ok(url.clone());
        }
        let type_name = TypeName::from_parts(namespace, name).map_err(|error| error.to_string())?;
        let url: Uri = self
            .spec
            .url(&type_name)
            .parse()
            .map_err(|error: http::uri::InvalidUri| error.to_string())?;
        urls.insert(name.to_owned(), url.clone());
        Ok(url)
    }
}

/// Host and port, without the default port of the scheme.
fn host(url: &Uri) -> Option<HeaderValue> {
    let default = match url.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    match url.port_u16() {
        Some(port) if port != default => {
            HeaderValue::try_from(format!("{}:{port}", url.host()?)).ok()
        }
        _ => HeaderValue::try_from(url.host()?).ok(),
    }
}

/// The certificates of authorities that an endpoint trusts besides the public ones.
fn authorities(tls: &TlsFiles) -> Result<Vec<u8>, String> {
    if tls.client_cert.is_some() || tls.client_key.is_some() {
        return Err(
            "mutual TLS (`client_cert`, `client_key`) is not supported by this version".to_owned(),
        );
    }
    match tls.trust_cacerts.as_deref() {
        None => Ok(Vec::new()),
        Some(path) if path.starts_with("classpath:") => Err(format!(
            "`{path}`: there is no class path here; name a file"
        )),
        Some(path) => {
            std::fs::read(path).map_err(|error| format!("`trust_cacerts` {path}: {error}"))
        }
    }
}

/// Statuses that okhttp tries again.
fn retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 420 | 429 | 499 | 500..)
}
