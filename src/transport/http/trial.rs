//! A server for trials, such as `statefun sink`: any service, with the limits of all listeners.

use std::future::pending;

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::encoding::Encoding;
use super::head;
use super::request_body::{BodyLimits, BodyReader};
use super::server::{Answers, ServerLimits, serve_connections};

/// Larger bodies are refused.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Serves with the default limits; cheap to clone.
#[derive(Debug, Clone)]
pub struct TrialServer {
    limits: ServerLimits,
    bodies: BodyReader,
}

impl Default for TrialServer {
    fn default() -> Self {
        let limits = ServerLimits::default();
        let body = BodyLimits::up_to(MAX_BODY_BYTES);
        Self {
            bodies: BodyReader::new(body, Some(limits.body_memory(MAX_BODY_BYTES))),
            limits,
        }
    }
}

impl TrialServer {
    /// Serves until the future is dropped.
    pub async fn serve(&self, listener: TcpListener, service: impl Answers) {
        let slots = self.limits.slots();
        serve_connections(listener, service, self.limits, slots, pending()).await;
    }

    /// Refuses an ambiguous request, and one of a web page of another origin: a browser reaches whatever its user reaches.
    ///
    /// # Errors
    /// The status that refuses the request, and why.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), (StatusCode, String)> {
        head::check(request).map_err(|fault| refused(fault.status(), fault.to_string()))?;
        if head::is_cross_site(request.headers(), head::host_of(request)) {
            let text = "web pages of other origins may not use this server";
            return Err((StatusCode::FORBIDDEN, text.to_owned()));
        }
        Ok(())
    }

    /// The body as it was sent, whatever its encoding.
    ///
    /// # Errors
    /// The status that refuses the request, and why.
    pub async fn body(&self, body: Incoming) -> Result<Bytes, (StatusCode, String)> {
        let read = self.bodies.read(Encoding::Identity, body).await;
        read.map_err(|fault| refused(fault.status(), fault.to_string()))
    }
}

fn refused(status: u16, why: String) -> (StatusCode, String) {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_of_other_origins_are_refused() {
        let check = |name, value| {
            let request = Request::post("/off").header("host", "127.0.0.1:9000");
            let request = request.header(name, value).body(()).unwrap();
            TrialServer::default().check(&request).is_ok()
        };
        assert!(check("x-other", "1"));
        assert!(check("origin", "http://127.0.0.1:9000"));
        assert!(!check("origin", "http://evil.example"));
        assert!(!check("sec-fetch-site", "cross-site"));
    }
}
