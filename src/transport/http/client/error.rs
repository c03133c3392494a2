//! Why a call has no response.

use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use http::{HeaderMap, Method, StatusCode, Uri};

use crate::elapsed::rounded;

/// A call without a complete response. Its text has method, host and path, but never credentials, query, headers or bodies.
pub struct HttpError(Box<Failure>);

struct Failure {
    kind: FailureKind,
    /// Method and URL; empty before there is a call.
    call: String,
    status: Option<StatusCode>,
    headers: HeaderMap,
}

#[derive(Debug)]
pub(super) enum FailureKind {
    InvalidConfig(&'static str, Option<BoxError>),
    InvalidRequest(&'static str),
    TimedOut(Duration),
    /// No byte moved for this long.
    Paused(Duration),
    Connect(BoxError),
    Broken(BoxError),
    /// Like `Broken`, but on a reused connection, and before any valid part of a response.
    Stale(BoxError),
    BodyTooLarge {
        limit: usize,
    },
    Malformed(io::Error),
}

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

impl HttpError {
    pub(super) fn new(kind: FailureKind, method: &Method, url: &Uri) -> Self {
        let call = format!("{method} {}", shown(url));
        Self(Box::new(Failure {
            kind,
            call,
            status: None,
            headers: HeaderMap::new(),
        }))
    }

    pub(super) fn invalid_config(text: &'static str, source: Option<BoxError>) -> Self {
        Self(Box::new(Failure {
            kind: FailureKind::InvalidConfig(text, source),
            call: String::new(),
            status: None,
            headers: HeaderMap::new(),
        }))
    }

    /// Adds the head of the response that had begun.
    pub(super) fn with_head(mut self, head: Option<(StatusCode, HeaderMap)>) -> Self {
        if let Some((status, headers)) = head {
            self.0.status = Some(status);
            self.0.headers = headers;
        }
        self
    }

    /// The status of the response whose body is missing or unreadable; `None` when there was no response.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The headers of that response.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// Whether a time limit was reached: that of the call or that of connecting.
    pub fn is_timeout(&self) -> bool {
        match &self.0.kind {
            FailureKind::TimedOut(_) | FailureKind::Paused(_) => true,
            FailureKind::Connect(source) => timed_out(source.as_ref()),
            _ => false,
        }
    }

    /// Whether no connection could be made, so that nothing was sent.
    pub fn is_connect(&self) -> bool {
        matches!(self.0.kind, FailureKind::Connect(_))
    }

    /// Whether the host's name has no address, or could not be looked up.
    pub fn is_dns(&self) -> bool {
        match &self.0.kind {
            FailureKind::Connect(source) => {
                causes(source.as_ref()).any(|cause| cause.is::<Unresolved>())
            }
            _ => false,
        }
    }

    /// Whether both sides did not agree on TLS, such as on a certificate.
    pub fn is_tls(&self) -> bool {
        match &self.0.kind {
            FailureKind::Connect(source)
            | FailureKind::Broken(source)
            | FailureKind::Stale(source) => causes(source.as_ref()).any(is_of_tls),
            _ => false,
        }
    }

    /// Whether a reused connection ended instead of a response: the server may have closed it before it
    /// received the request.
    pub fn is_stale_connection(&self) -> bool {
        matches!(self.0.kind, FailureKind::Stale(_))
    }

    /// Whether the response was larger than the client accepts.
    pub fn is_body_too_large(&self) -> bool {
        matches!(self.0.kind, FailureKind::BodyTooLarge { .. })
    }

    /// Whether the response was marked as compressed and could not be decompressed.
    pub fn is_malformed_body(&self) -> bool {
        matches!(self.0.kind, FailureKind::Malformed(_))
    }

    /// Whether the URL or a setting is at fault: nothing was sent, and trying again does not help.
    pub fn is_invalid_request(&self) -> bool {
        matches!(
            self.0.kind,
            FailureKind::InvalidRequest(_) | FailureKind::InvalidConfig(..)
        )
    }
}

/// hyper-util and the connector both wrap; the timeout is an `io::Error` somewhere below.
fn timed_out(err: &(dyn Error + 'static)) -> bool {
    let is_timeout = |io: &io::Error| io.kind() == io::ErrorKind::TimedOut;
    causes(err).any(|cause| cause.downcast_ref().is_some_and(is_timeout))
}

/// An error, and what caused it.
fn causes<'a>(err: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(err);
    std::iter::from_fn(move || {
        let err = next?;
        next = err.source();
        Some(err)
    })
}

fn is_of_tls(cause: &(dyn Error + 'static)) -> bool {
    // An `io::Error` skips what it was made of in its chain.
    let inner = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>())
}

/// The name of a host has no address.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct Unresolved(pub(super) BoxError);

/// Scheme, host, port and path.
pub(super) fn shown(url: &Uri) -> String {
    let scheme = url
        .scheme_str()
        .map_or(String::new(), |scheme| format!("{scheme}://"));
    let host = url.host().unwrap_or_default();
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{scheme}{host}{port}{}", url.path())
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { kind, call, .. } = self.0.as_ref();
        match kind {
            FailureKind::InvalidConfig(text, _) => write!(f, "{text}"),
            FailureKind::InvalidRequest(text) => write!(f, "{text} ({call})"),
            FailureKind::TimedOut(limit) => {
                let limit = rounded(*limit);
                write!(f, "no complete response within {limit} ({call})")
            }
            FailureKind::Paused(limit) => write!(
                f,
                "no data was transferred for {} ({call})",
                rounded(*limit)
            ),
            FailureKind::Connect(_) => write!(f, "no connection ({call})"),
            FailureKind::Broken(_) | FailureKind::Stale(_) => {
                write!(f, "the exchange broke off ({call})")
            }
            FailureKind::BodyTooLarge { limit } => {
                write!(f, "the response is larger than {limit} bytes ({call})")
            }
            FailureKind::Malformed(_) => write!(f, "the response cannot be decompressed ({call})"),
        }
    }
}

impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpError")
            .field("call", &self.0.call)
            .field("kind", &self.0.kind)
            .finish()
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.kind {
            FailureKind::Connect(source)
            | FailureKind::Broken(source)
            | FailureKind::Stale(source) => Some(source.as_ref()),
            FailureKind::InvalidConfig(_, source) => {
                source.as_ref().map(|source| source.as_ref() as _)
            }
            FailureKind::Malformed(source) => Some(source),
            FailureKind::InvalidRequest(_)
            | FailureKind::TimedOut(_)
            | FailureKind::Paused(_)
            | FailureKind::BodyTooLarge { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_shown_without_credentials_query_and_fragment() {
        let url: Uri = "https://me:secret@example.com:8443/a/b?token=secret"
            .parse()
            .unwrap();
        let err = HttpError::new(
            FailureKind::TimedOut(Duration::from_millis(1500)),
            &Method::POST,
            &url,
        );
        assert_eq!(
            err.to_string(),
            "no complete response within 1.5 s (POST https://example.com:8443/a/b)"
        );
        assert!(!format!("{err:?}").contains("secret"));
    }
}
