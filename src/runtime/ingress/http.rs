//! `statefun.http.v1/ingress`: `POST /send/…` answers when the message is on disk, `POST /call/…` with the function's answer.

use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming as Body;
use hyper::service::service_fn;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Ingress, Listener, OpenIngress, listen, stopped};
use crate::runtime::bearer::is_authorised;
use crate::runtime::core::keys::{put_bytes, put_text};
use crate::runtime::core::{AddressKey, IdempotencyKey};
use crate::runtime::error::StartError;
use crate::runtime::intake::{Incoming, Intake};
use crate::runtime::module::HttpIngress;
use crate::runtime::respond::{self, Answer};
use crate::runtime::values;
use crate::transport::http::{ServerLimits, serve_connections};

const TYPE_HEADER: HeaderName = HeaderName::from_static("statefun-type");
const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Longer keys are refused.
const MAX_KEY_BYTES: usize = 256;
const STRING: &str = "io.statefun.types/string";

#[async_trait]
impl Ingress for HttpIngress {
    async fn open(self: Box<Self>) -> Result<Box<dyn OpenIngress>, StartError> {
        let (socket, listener) = listen("http ingress", &self.listen).await?;
        Ok(Box::new(OpenHttpIngress {
            spec: *self,
            socket,
            listener,
        }))
    }
}

#[derive(Debug)]
struct OpenHttpIngress {
    spec: HttpIngress,
    socket: TcpListener,
    listener: Listener,
}

#[async_trait]
impl OpenIngress for OpenHttpIngress {
    fn listening(&self) -> Listener {
        self.listener.clone()
    }

    async fn run(self: Box<Self>, intake: Intake, stop: watch::Receiver<bool>) {
        let door = Arc::new(Door {
            spec: self.spec,
            intake,
        });
        let service = service_fn(move |request| {
            let door = Arc::clone(&door);
            async move {
                Ok::<_, Infallible>(
                    door.answer(request)
                        .await
                        .unwrap_or_else(|refusal| *refusal),
                )
            }
        });
        serve_connections(self.socket, service, ServerLimits::default(), stopped(stop)).await;
    }
}

/// What every request needs.
struct Door {
    spec: HttpIngress,
    intake: Intake,
}

/// A request that ends here: boxed, because answers are large and this is the rare way.
type Refusal = Box<Answer>;

/// What a path asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Send,
    Call,
}

impl Door {
    async fn answer(&self, request: Request<Body>) -> Result<Answer, Refusal> {
        if let Some(token) = &self.spec.token
            && !is_authorised(request.headers().get(AUTHORIZATION), token.expose())
        {
            return Err(refuse(
                StatusCode::UNAUTHORIZED,
                "unauthorised",
                "a bearer token is needed: `authorization: Bearer …`",
            ));
        }
        let (verb, target) = route(request.uri().path())?;
        if request.method() != Method::POST {
            return Err(refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "send and call are POST",
            ));
        }
        let type_name = self.type_name(request.headers())?;
        let key = idempotency_key(request.headers())?;
        let body = self.body(request).await?;
        let argument = values::parse(&type_name, &body)
            .map_err(|fault| refuse(StatusCode::BAD_REQUEST, "value.invalid", &fault))?;
        let key = key.map(|key| self.keyed(&target, &key, &type_name, &body));
        let incoming = Incoming {
            target,
            argument,
            key,
        };
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

    /// What type the body is a value of.
    fn type_name(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        if let Some(name) = headers.get(TYPE_HEADER) {
            return match name.to_str() {
                Ok(name) if !name.is_empty() => Ok(name.to_owned()),
                _ => Err(refuse(
                    StatusCode::BAD_REQUEST,
                    "type.invalid",
                    "`statefun-type` is no typename",
                )),
            };
        }
        let content_type = headers
            .get(CONTENT_TYPE)
            .map_or(&b"text/plain"[..], HeaderValue::as_bytes);
        let essence = content_type
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if essence.eq_ignore_ascii_case(b"text/plain") {
            Ok(STRING.to_owned())
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            Ok(self.spec.json_type.to_string())
        } else {
            let shown: String = String::from_utf8_lossy(essence).chars().take(100).collect();
            let text = format!(
                "content type `{shown}` says nothing of the value's type: send `text/plain`, `application/json`, or name the type in `statefun-type`"
            );
            Err(refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "type.unknown",
                &text,
            ))
        }
    }

    async fn body(&self, request: Request<Body>) -> Result<Bytes, Refusal> {
        let limit = self.spec.max_body_bytes;
        match Limited::new(request.into_body(), limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body.too_large",
                &format!("the body is larger than {limit} bytes (`maxBodyBytes`)"),
            )),
            Err(_) => Err(refuse(
                StatusCode::BAD_REQUEST,
                "body.broken",
                "the body ended early",
            )),
        }
    }

    fn keyed(
        &self,
        target: &AddressKey,
        key: &str,
        type_name: &str,
        body: &Bytes,
    ) -> IdempotencyKey {
        let mut row = BytesMut::new();
        put_text(&mut row, self.spec.id.as_str());
        put_bytes(&mut row, target.as_bytes());
        row.put_slice(key.as_bytes());
        let content = [type_name.as_bytes(), &[0], body].concat();
        IdempotencyKey {
            row: row.freeze(),
            digest: Uuid::new_v5(&Uuid::NAMESPACE_OID, &content).as_u128(),
            until: self.intake.now() + self.spec.idempotency_window,
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
    let decode = |part| percent_decoded(part).ok_or_else(not_found);
    Ok((
        verb,
        AddressKey::new(&decode(namespace)?, &decode(name)?, &decode(id)?),
    ))
}

/// The text behind `%xx` sequences; `None` when it is not UTF-8 or a sequence is broken.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(out).ok()
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(key) = headers.get(KEY_HEADER) else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY_BYTES => Ok(Some(key.to_owned())),
        _ => Err(refuse(
            StatusCode::BAD_REQUEST,
            "idempotency.invalid",
            &format!("`idempotency-key` is 1 to {MAX_KEY_BYTES} visible ASCII characters"),
        )),
    }
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Refusal {
    Box::new(respond::error(status, code, message))
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
        for path in [
            "/",
            "/send",
            "/send/a/b",
            "/give/a/b/c",
            "/send/a/b/%zz",
            "/send/a/b/%ff",
        ] {
            assert_eq!(
                route(path).err().unwrap().status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }
}
