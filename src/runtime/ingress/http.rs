//! `statefun.http.v1/ingress`: `POST /send/…` answers when the message is on disk, `POST /call/…` with the function's answer.

use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use hyper::service::service_fn;
use serde_json::json;
use tokio::sync::watch;

use super::{Ingress, Listener, OpenIngress};
use crate::module::HttpIngress;
use crate::runtime::core::AddressKey;
use crate::runtime::door::{Door, Doors, Guard};
use crate::runtime::error::StartError;
use crate::runtime::intake::Intake;
use crate::runtime::request::{self, TYPE_HEADER, Terms, path_part};
use crate::runtime::respond::{self, Answer, Refusal, refuse};
use crate::runtime::values;
use crate::transport::http::BodyReader;

#[async_trait]
impl Ingress for HttpIngress {
    fn largest_body(&self) -> usize {
        self.max_body_bytes
    }

    async fn open(self: Box<Self>, doors: &Doors) -> Result<Box<dyn OpenIngress>, StartError> {
        let token = self.token.clone();
        let door = doors.open("http ingress", &self.listen, token).await?;
        Ok(Box::new(OpenHttpIngress { spec: *self, door }))
    }
}

#[derive(Debug)]
struct OpenHttpIngress {
    spec: HttpIngress,
    door: Door,
}

#[async_trait]
impl OpenIngress for OpenHttpIngress {
    fn listening(&self) -> Listener {
        self.door.listener.clone()
    }

    async fn run(self: Box<Self>, intake: Intake, stop: watch::Receiver<bool>) {
        let desk = Arc::new(Desk {
            guard: self.door.guard.clone(),
            bodies: self.door.bodies.up_to(self.spec.max_body_bytes),
            spec: self.spec,
            intake,
        });
        let service = service_fn(move |request| {
            let desk = Arc::clone(&desk);
            async move {
                Ok::<_, Infallible>(
                    desk.answer(request)
                        .await
                        .unwrap_or_else(|refusal| *refusal),
                )
            }
        });
        self.door.serve(service, stop).await;
    }
}

/// What every request needs.
struct Desk {
    spec: HttpIngress,
    guard: Guard,
    bodies: BodyReader,
    intake: Intake,
}

/// What a path asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Send,
    Call,
}

impl Desk {
    async fn answer(&self, request: Request<Body>) -> Result<Answer, Refusal> {
        self.guard.admit(&request)?;
        let (verb, target) = route(request.uri().path())?;
        if request.method() != Method::POST {
            return Err(refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "send and call are POST",
            ));
        }
        let terms = Terms {
            ingress: &self.spec.id,
            json_type: &self.spec.json_type,
            bodies: &self.bodies,
            record: self.intake.directory.record_of(&target),
            keys_until: self.intake.now() + self.spec.idempotency_window,
        };
        let incoming = request::message(request, target, &terms).await?;
        match verb {
            Verb::Send => {
                let address = incoming.target.to_address().to_string();
                self.intake
                    .send(incoming)
                    .await
                    .map_err(|refusal| Box::new(respond::refused(&refusal)))?;
                Ok(respond::json(
                    StatusCode::ACCEPTED,
                    &json!({ "accepted": true, "address": address }),
                ))
            }
            Verb::Call => {
                let within = self.spec.call_timeout;
                let value = self
                    .intake
                    .call(incoming, within)
                    .await
                    .map_err(|refusal| Box::new(respond::refused(&refusal)))?;
                Ok(self.show(&value))
            }
        }
    }

    /// A function's answer: its typename in a header, built-in types as text.
    fn show(&self, value: &Bytes) -> Answer {
        let (type_name, text, bytes) = values::show(value);
        let (content_type, body) = match text {
            Some(text) => ("text/plain; charset=utf-8", Bytes::from(text)),
            None if type_name == self.spec.json_type.as_str() => ("application/json", bytes),
            None => ("application/octet-stream", bytes),
        };
        let mut answer =
            respond::with_type(StatusCode::OK, HeaderValue::from_static(content_type), body);
        if let Ok(type_name) = HeaderValue::try_from(type_name) {
            answer.headers_mut().insert(TYPE_HEADER, type_name);
        }
        answer
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
