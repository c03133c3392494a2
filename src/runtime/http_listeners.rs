//! The HTTP listeners of a runtime, and what all of them check before a request reaches its routes: who may send it, how large its
//! body may be, and how many connections are open.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderMap};
use http::uri::Authority;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::TcpListener;

use super::bearer::is_authorised;
use super::config::RuntimeConfig;
use super::error::StartError;
use super::listener::Listener;
use super::respond::{FullResponse, Refusal, refuse};
use crate::module::Token;
use crate::transport::http::{
    BodyLimits, BodyMemory, BodyReader, ConnectionSlots, ServerLimits, head, serve_connections,
    server::Answers,
};

/// Larger bodies are refused, unless an ingress says otherwise.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Connections of a listener that has its own, such as the admin API, which must answer when all others are taken.
const OWN_CONNECTIONS: usize = 64;

/// Opens the HTTP listeners of a runtime, and has what they share: limits, memory for request bodies and connection slots.
///
/// The connectors of this crate listen through it. It is opaque to other crates, whose connectors open their own listeners.
#[derive(Debug, Clone)]
pub struct HttpListeners {
    limits: ServerLimits,
    body: BodyLimits,
    pub(crate) memory: BodyMemory,
    pub(crate) slots: ConnectionSlots,
    reserve: ConnectionSlots,
}

/// A bound socket with the guard and the limits of its requests.
#[derive(Debug)]
pub(crate) struct HttpServer {
    pub(crate) listener: Listener,
    pub(crate) guard: Guard,
    pub(crate) bodies: BodyReader,
    socket: TcpListener,
    limits: ServerLimits,
    slots: ConnectionSlots,
}

/// Decides which requests are let in.
#[derive(Debug, Clone)]
pub(crate) enum Guard {
    /// Those with the token.
    Token(Token),
    /// Without a token on a loopback address: those from this machine, except web pages. The `host` may be an address, `localhost`
    /// or the name that the listener was given.
    Loopback(String),
    /// Without a token on another address: all, except those of web pages.
    Network,
}

impl HttpListeners {
    /// `largest` is the largest body size that any listener accepts.
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
            slots: limits.slots(),
            reserve: ConnectionSlots::new(OWN_CONNECTIONS),
        }
    }

    /// Opens a listener. That everyone on the network can use it is a warning of its module file.
    pub(crate) async fn open(
        &self,
        name: &str,
        address: &str,
        token: Option<Token>,
    ) -> Result<HttpServer, StartError> {
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
        Ok(HttpServer {
            listener,
            guard,
            bodies: BodyReader::new(self.body, Some(self.memory.clone())),
            socket,
            limits: self.limits,
            slots: self.slots.clone(),
        })
    }

    /// Which shared limit is used up, as a message.
    pub(crate) fn shortage(&self) -> Option<String> {
        let (used, total) = (self.memory.used(), self.memory.total());
        (used >= total).then(|| {
            format!("the memory for request bodies, {total} bytes (ServerLimits::max_body_memory_bytes), is used up; requests are answered 503")
        })
    }
}

/// Answers requests.
type AnyAnswer =
    dyn Fn(Request<Incoming>) -> BoxFuture<'static, Result<FullResponse, Refusal>> + Send + Sync;

impl HttpServer {
    /// With connection slots of its own, which other listeners cannot use up.
    pub(crate) fn reserved(self, listeners: &HttpListeners) -> Self {
        Self {
            slots: listeners.reserve.clone(),
            ..self
        }
    }

    /// Serves until `stop` is ready: `answer` answers requests that pass the checks; the others are refused with the reason. Each answer is sent as `finish` returns it.
    pub(crate) async fn answer<'a, A, F>(
        self,
        answer: A,
        finish: fn(FullResponse) -> FullResponse,
        stop: impl Future<Output = ()> + Send + 'a,
    ) where
        A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<FullResponse, Refusal>> + Send + 'static,
    {
        // Boxed, because the futures around it are copied several times before they run.
        let answer: Arc<AnyAnswer> = Arc::new(move |request| Box::pin(answer(request)));
        self.answer_any(answer, finish, Box::pin(stop)).await;
    }

    /// The server of all listeners, which is compiled once.
    async fn answer_any<'a>(
        self,
        answer: Arc<AnyAnswer>,
        finish: fn(FullResponse) -> FullResponse,
        stop: BoxFuture<'a, ()>,
    ) {
        let guard = self.guard.clone();
        let service = service_fn(move |request| {
            let answered = guard.check(&request).map(|()| answer(request));
            async move {
                let answer = match answered {
                    Ok(answer) => answer.await,
                    Err(refusal) => Err(refusal),
                };
                Ok::<_, Infallible>(finish(answer.unwrap_or_else(|refusal| *refusal)))
            }
        });
        self.serve(service, stop).await;
    }

    /// Serves until `stop` is ready and the requests in flight are answered.
    pub(crate) async fn serve(self, service: impl Answers, stop: impl Future<Output = ()>) {
        serve_connections(self.socket, service, self.limits, self.slots, stop).await;
    }
}

impl Guard {
    /// Lets a request in, or refuses it with a reason.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
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
                            to use another name, give it a token (`token` in the module file, --admin-token for the admin API)";
                Err(refuse(StatusCode::FORBIDDEN, "host_refused", text))
            }
            Self::Network => check_origin(request.headers(), host),
        }
    }
}

/// Refuses an ambiguous request head, whoever sends it.
pub(crate) fn check_head<B>(request: &Request<B>) -> Result<(), Refusal> {
    head::check(request).map_err(|fault| {
        let (status, code) = match fault.status() {
            417 => (StatusCode::EXPECTATION_FAILED, "expectation.unknown"),
            501 => (StatusCode::NOT_IMPLEMENTED, "transfer_encoding.unknown"),
            _ => (StatusCode::BAD_REQUEST, "head.invalid"),
        };
        refuse(status, code, &fault.to_string())
    })
}

fn check_token(headers: &HeaderMap, token: &Token) -> Result<(), Refusal> {
    if is_authorised(headers.get(AUTHORIZATION), token) {
        return Ok(());
    }
    let text = match headers.contains_key(AUTHORIZATION) {
        true => "the token in `authorization` is not the one of this listener",
        false => "this listener has a token: send `authorization: Bearer <token>`",
    };
    Err(refuse(StatusCode::UNAUTHORIZED, "unauthorised", text))
}

/// A browser reaches whatever its user reaches; pages of other origins must not exploit that.
fn check_origin(headers: &HeaderMap, host: Option<&str>) -> Result<(), Refusal> {
    if !head::is_cross_site(headers, host) {
        return Ok(());
    }
    let text = "web pages of other origins may not use a listener without a token; give it one (`token` in the module file, --admin-token for the admin API)";
    Err(refuse(StatusCode::FORBIDDEN, "origin_refused", text))
}

/// Whether a host is `localhost` or an address, so that no DNS server of others can point it here.
fn is_local(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() {
        return true;
    }
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
        let admitted = guard.check(&request.body(()).unwrap());
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
