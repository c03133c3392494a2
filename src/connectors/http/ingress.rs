//! `statefun.http.v1/ingress`: `POST /send/…` answers when the message is on disk, `POST /call/…` with the function's answer.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use serde::Serialize;

use crate::module::HttpIngress;
use crate::runtime::http_listeners::{HttpListeners, HttpServer};
use crate::runtime::intake::AddressKey;
use crate::runtime::request::{self, Terms, no_query, path_part};
use crate::runtime::respond::{self, FullResponse, Refusal, refuse};
use crate::runtime::{Inlet, Listener, Source, StartError};
use crate::sdk::BoxError;
use crate::transport::http::BodyReader;

/// Answers requests.
#[derive(Debug)]
pub(crate) struct HttpSource {
    spec: HttpIngress,
    /// From opening until serving.
    server: Option<HttpServer>,
}

impl HttpSource {
    pub(crate) const fn new(spec: HttpIngress) -> Self {
        Self { spec, server: None }
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let token = self.spec.token.clone();
        let server = listeners
            .open("http ingress", &self.spec.listen, token)
            .await?;
        let listener = server.listener.clone();
        self.server = Some(server);
        Ok(Some(listener))
    }

    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let server = self.server.take().ok_or("the listener is closed")?;
        let desk = Arc::new(Desk {
            bodies: server.bodies.up_to(self.spec.max_body_bytes),
            spec: self.spec.clone(),
            inlet: inlet.clone(),
        });
        let answer = move |request| Arc::clone(&desk).answer(request);
        server
            .answer(answer, |answer| answer, inlet.stopped())
            .await;
        Ok(())
    }

    /// Who has been let in is answered.
    fn ends_by_itself(&self) -> bool {
        true
    }
}

/// Shared by all requests.
struct Desk {
    spec: HttpIngress,
    bodies: BodyReader,
    inlet: Inlet,
}

/// The answer to a send.
#[derive(Serialize)]
struct Accepted {
    accepted: bool,
    address: String,
}

/// The request that a path means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Send,
    Call,
}

impl Desk {
    async fn answer(self: Arc<Self>, request: Request<Body>) -> Result<FullResponse, Refusal> {
        let (verb, target) = route(request.uri().path())?;
        if request.method() != Method::POST {
            return Err(respond::wrong_method("POST", "send and call are POST"));
        }
        no_query(request.uri())?;
        let intake = self.inlet.intake();
        let terms = Terms {
            ingress: &self.spec.id,
            json_type: &self.spec.json_type,
            bodies: &self.bodies,
            limited_by: Some("maxBodyBytes"),
            record: intake.record_of(&target),
            keys_until: intake.now() + self.spec.idempotency_window,
        };
        let incoming = request::message(request, target, &terms).await?;
        match verb {
            Verb::Send => {
                let address = incoming.target.to_address().to_string();
                intake
                    .send(incoming)
                    .await
                    .map_err(|refusal| Box::new(respond::refused(&refusal)))?;
                let accepted = true;
                let answer = Accepted { accepted, address };
                Ok(respond::json(StatusCode::ACCEPTED, &answer))
            }
            Verb::Call => {
                let within = self.spec.call_timeout;
                let called = intake.call(incoming, within).await;
                let value = called.map_err(|refusal| {
                    Box::new(respond::refused(&refusal.limited_by("callTimeout")))
                })?;
                respond::value(value, &self.spec.json_type)
            }
        }
    }
}

/// `/send/<namespace>/<type>/<id>` and `/call/…`; the id is the rest of the path, and may hold slashes.
fn route(path: &str) -> Result<(Verb, AddressKey), Refusal> {
    let not_found = || {
        refuse(
            StatusCode::NOT_FOUND,
            "path.unknown",
            "paths are /send/<namespace>/<type>/<id> and /call/<namespace>/<type>/<id>",
        )
    };
    let mut parts = path.trim_start_matches('/').splitn(4, '/');
    let (Some(verb), Some(namespace), Some(name), Some(id)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(not_found());
    };
    let verb = match verb {
        "send" => Verb::Send,
        "call" => Verb::Call,
        _ => return Err(not_found()),
    };
    Ok((
        verb,
        AddressKey::new(&path_part(namespace)?, &path_part(name)?, &path_part(id)?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_rest_of_the_path_and_is_decoded() {
        let (verb, target) = route("/send/example/greeter/a%2Fb/c").ok().unwrap();
        assert!(verb == Verb::Send);
        assert_eq!(target.parts(), ("example", "greeter", "a/b/c"));
        assert_eq!(route("/call/example/greeter/").ok().unwrap().1.id(), "");
    }

    #[test]
    fn other_paths_are_not_found() {
        let status = |path| route(path).err().unwrap().status().as_u16();
        for path in ["/", "/send", "/send/a/b", "/give/a/b/c"] {
            assert_eq!(status(path), 404, "{path}");
        }
        for path in ["/send/a/b/%zz", "/send/a/b/%ff", "/call/%/b/c"] {
            assert_eq!(status(path), 400, "{path}");
        }
    }
}
