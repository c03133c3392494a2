//! The doors of a runtime: what every listener does before a request reaches its routes. Who may come in, how much they may
//! bring, and how many there may be.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HeaderMap};
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::net::TcpListener;
use tracing::warn;

use super::bearer::is_authorised;
use super::config::RuntimeConfig;
use super::error::StartError;
use super::listener::Listener;
use super::respond::{Refusal, refuse};
use crate::module::Token;
use crate::sdk::BoxError;
use crate::transport::http::{
    BodyLimits, BodyMemory, BodyReader, Places, ServerLimits, head, serve_connections,
};

/// Larger bodies are refused, unless an ingress says otherwise.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Of a listener with connections of its own, as the admin API has them to answer when all others are taken.
const OWN_CONNECTIONS: usize = 64;

/// What the listeners of a runtime share: who is let in, room for connections and for the bodies of requests.
///
/// The connectors of this crate listen through it. It is opaque to others, which bring listeners of their own.
#[derive(Debug, Clone)]
pub struct Doors {
    limits: ServerLimits,
    body: BodyLimits,
    pub(crate) memory: BodyMemory,
    pub(crate) places: Places,
    reserve: Places,
}

/// An open listener, and who may use it.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) guard: Guard,
    pub(crate) bodies: BodyReader,
    socket: TcpListener,
    limits: ServerLimits,
    places: Places,
}

/// Decides who may come in.
#[derive(Debug, Clone)]
pub(crate) enum Guard {
    /// Whoever carries the token.
    Token(Token),
    /// Without a token on a loopback address: whoever is on this machine and no web page. Besides addresses and `localhost`
    /// it answers to the name it was told to listen on.
    Loopback(String),
    /// Without a token on another address: whoever reaches it, and no web page.
    Network,
}

impl Doors {
    /// `largest` is the size of the largest body that any listener takes.
    pub(crate) fn new(config: &RuntimeConfig, largest: usize) -> Self {
        let limits = config.server;
        Self {
            limits,
            body: BodyLimits {
                max_bytes: MAX_BODY_BYTES,
                timeout: config.body_timeout,
                pause: config.body_pause,
            },
            memory: limits.body_memory(largest.max(MAX_BODY_BYTES)),
            places: limits.places(),
            reserve: Places::new(OWN_CONNECTIONS),
        }
    }

    /// Opens a listener; one that everybody on the network may use is warned of.
    pub(crate) async fn open(
        &self,
        name: &str,
        address: &str,
        token: Option<Token>,
    ) -> Result<Door, StartError> {
        let failed = |source| StartError::Listen {
            name: name.to_owned(),
            address: address.to_owned(),
            source,
        };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let listener = Listener {
            name: name.to_owned(),
            address: socket.local_addr().map_err(failed)?,
        };
        let guard = match token {
            Some(token) => Guard::Token(token),
            None if listener.address.ip().is_loopback() => {
                let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
                Guard::Loopback(name.to_owned())
            }
            None => Guard::Network,
        };
        if matches!(guard, Guard::Network) {
            let address = listener.address;
            warn!(%address, "the {name} is open to everyone who reaches this address: it has no token");
        }
        Ok(Door {
            listener,
            guard,
            bodies: BodyReader::new(self.body, Some(self.memory.clone())),
            socket,
            limits: self.limits,
            places: self.places.clone(),
        })
    }

    /// What is used up, in words.
    pub(crate) fn shortage(&self) -> Option<String> {
        let (used, total) = (self.memory.used(), self.memory.total());
        (used >= total).then(|| {
            format!("the memory for request bodies, {total} bytes, is used up; requests are answered 503")
        })
    }
}

impl Door {
    /// With connections of its own, which others do not take away.
    pub(crate) fn reserved(self, doors: &Doors) -> Self {
        Self {
            places: doors.reserve.clone(),
            ..self
        }
    }

    /// Serves until `stop` is ready and the requests in flight are answered.
    pub(crate) async fn serve<S, B>(self, service: S, stop: impl Future<Output = ()>)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        serve_connections(self.socket, service, self.limits, self.places, stop).await;
    }
}

impl Guard {
    /// Lets a request in, or says why not.
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        check_head(request)?;
        let host = head::host_of(request);
        match self {
            Self::Token(token) => check_token(request.headers(), token),
            Self::Loopback(name) => {
                let is_ours = |host: &str| is_local(host) || is_name(host, name);
                if host.is_none_or(is_ours) {
                    return check_origin(request.headers(), host);
                }
                let text = "a listener on a loopback address without a token is asked by address or as localhost; \
                            to use another name, give it a token";
                Err(refuse(StatusCode::FORBIDDEN, "host_refused", text))
            }
            Self::Network => check_origin(request.headers(), host),
        }
    }
}

/// Refuses a request that would leave a guess, whoever sends it.
pub(crate) fn check_head<B>(request: &Request<B>) -> Result<(), Refusal> {
    head::check(request).map_err(|fault| {
        let (status, code) = match fault.status() {
            417 => (StatusCode::EXPECTATION_FAILED, "expectation.unknown"),
            _ => (StatusCode::BAD_REQUEST, "head.invalid"),
        };
        refuse(status, code, &fault.to_string())
    })
}

fn check_token(headers: &HeaderMap, token: &Token) -> Result<(), Refusal> {
    if is_authorised(headers.get(AUTHORIZATION), token) {
        return Ok(());
    }
    let text = "a bearer token is needed: `authorization: Bearer …`";
    Err(refuse(StatusCode::UNAUTHORIZED, "unauthorised", text))
}

/// A browser reaches whatever its user reaches: no page of another origin may make use of that.
fn check_origin(headers: &HeaderMap, host: Option<&str>) -> Result<(), Refusal> {
    if !head::is_cross_site(headers, host) {
        return Ok(());
    }
    let text = "web pages of other origins may not use a listener without a token";
    Err(refuse(StatusCode::FORBIDDEN, "origin_refused", text))
}

/// Whether a host is no name that somebody else's DNS server may lead here.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn is_name(host: &str, name: &str) -> bool {
    let authority = host.parse::<Authority>();
    authority.is_ok_and(|authority| authority.host().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(guard: &Guard, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let admitted = guard.admit(&request.body(()).unwrap());
        admitted.map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
    }

    #[test]
    fn on_loopback_only_names_that_cannot_lead_elsewhere_are_answered() {
        let guard = Guard::Loopback("My-Host".to_owned());
        for own in [
            "127.0.0.1:8090",
            "localhost:1",
            "LOCALHOST",
            "[::1]:8090",
            "my-host:8090",
        ] {
            assert_eq!(status(&guard, &[("host", own)]), 200, "{own}");
        }
        for other in [
            "rebound.example:8090",
            "localhost.example",
            "",
            "a b",
            "my-host.example",
        ] {
            assert_eq!(status(&guard, &[("host", other)]), 403, "{other}");
        }
    }

    #[test]
    fn pages_are_refused_wherever_no_token_is_asked_for() {
        let page = [("host", "127.0.0.1:8090"), ("origin", "http://example.org")];
        let fetch = [("host", "127.0.0.1:8090"), ("sec-fetch-site", "cross-site")];
        for guard in [Guard::Loopback("127.0.0.1".to_owned()), Guard::Network] {
            assert_eq!(status(&guard, &page), 403);
            assert_eq!(status(&guard, &fetch), 403);
            assert_eq!(status(&guard, &page[..1]), 200);
        }
        assert_eq!(
            status(&Guard::Network, &[("host", "statefun.internal")]),
            200
        );
    }

    #[test]
    fn a_token_decides_alone() {
        let guard = Guard::Token(Token::parse("open-sesame").unwrap());
        let (host, token) = (
            ("host", "any.example"),
            ("authorization", "Bearer open-sesame"),
        );
        assert_eq!(status(&guard, &[host]), 401);
        assert_eq!(status(&guard, &[host, token]), 200);
        assert_eq!(
            status(&guard, &[host, token, ("origin", "http://example.org")]),
            200
        );
        assert_eq!(status(&guard, &[host, token, token]), 400);
        assert_eq!(status(&guard, &[token]), 400);
    }
}
