//! `io.statefun.playground.v1/ingress`: `/<namespace>/<type>/<id>` sends a message, as StateFun's playground does.

use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming as Body;
use hyper::service::service_fn;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Ingress, Listener, OpenIngress, listen, stopped};
use crate::protocol::reqreply::TypedValue;
use crate::runtime::core::AddressKey;
use crate::runtime::error::StartError;
use crate::runtime::intake::{Incoming, Intake};
use crate::runtime::module::PlaygroundIngress;
use crate::runtime::request::percent_decoded;
use crate::runtime::respond::{self, Answer};
use crate::runtime::values;
use crate::transport::http::{ServerLimits, serve_connections};

/// Larger bodies are refused.
const MAX_BODY_BYTES: usize = 8 << 20;
const STRING: &str = "io.statefun.types/string";

#[async_trait]
impl Ingress for PlaygroundIngress {
    async fn open(self: Box<Self>) -> Result<Box<dyn OpenIngress>, StartError> {
        let address = format!("{}:{}", self.host, self.port);
        let (socket, listener) = listen("playground ingress", &address).await?;
        Ok(Box::new(OpenPlaygroundIngress {
            wraps_text: self.wraps_text,
            socket,
            listener,
        }))
    }
}

#[derive(Debug)]
struct OpenPlaygroundIngress {
    wraps_text: bool,
    socket: TcpListener,
    listener: Listener,
}

#[async_trait]
impl OpenIngress for OpenPlaygroundIngress {
    fn listening(&self) -> Listener {
        self.listener.clone()
    }

    async fn run(self: Box<Self>, intake: Intake, stop: watch::Receiver<bool>) {
        let intake = Arc::new(intake);
        let wraps_text = self.wraps_text;
        let service = service_fn(move |request| {
            let intake = Arc::clone(&intake);
            async move {
                Ok::<_, Infallible>(with_status_header(
                    answer(&intake, wraps_text, request).await,
                ))
            }
        });
        serve_connections(self.socket, service, ServerLimits::default(), stopped(stop)).await;
    }
}

async fn answer(intake: &Intake, wraps_text: bool, request: Request<Body>) -> Answer {
    let Some(target) = target(request.uri().path()) else {
        return respond::error(
            StatusCode::BAD_REQUEST,
            "path.invalid",
            "the path is /<namespace>/<type>/<id>",
        );
    };
    let type_name = type_name(request.headers());
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY_BYTES)
        .collect()
        .await
    else {
        let text = format!("the body is larger than {MAX_BODY_BYTES} bytes, or ended early");
        return respond::error(StatusCode::PAYLOAD_TOO_LARGE, "body.too_large", &text);
    };
    let argument = match typed(&type_name, body.to_bytes(), wraps_text) {
        Ok(argument) => argument,
        Err(fault) => return respond::error(StatusCode::BAD_REQUEST, "value.invalid", &fault),
    };
    match intake
        .send(Incoming {
            target,
            argument,
            key: None,
        })
        .await
    {
        Ok(()) => Answer::default(),
        Err(refusal) => respond::refused(&refusal),
    }
}

/// The body is the value's bytes as they are, unless text is to be wrapped.
fn typed(type_name: &str, body: Bytes, wraps_text: bool) -> Result<Bytes, String> {
    if wraps_text && type_name == STRING {
        return values::parse(type_name, &body);
    }
    Ok(TypedValue {
        typename: type_name.to_owned(),
        has_value: true,
        value: body,
    }
    .encode_to_vec()
    .into())
}

/// `application/vnd.<typename>`; anything else is text.
fn type_name(headers: &HeaderMap) -> String {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .and_then(|value| value.trim().strip_prefix("application/vnd."))
        .unwrap_or(STRING)
        .to_owned()
}

fn target(path: &str) -> Option<AddressKey> {
    let mut parts = path.trim_start_matches('/').split('/');
    let mut next = || percent_decoded(parts.next().filter(|part| !part.is_empty())?);
    let (namespace, name, id) = (next()?, next()?, next()?);
    parts
        .next()
        .is_none()
        .then(|| AddressKey::new(&namespace, &name, &id))
}

/// StateFun's playground wrote the status to a header of this name; readers of it still find it.
pub(crate) fn with_status_header(mut answer: Answer) -> Answer {
    let status = HeaderValue::from(answer.status().as_u16());
    answer
        .headers_mut()
        .insert(HeaderName::from_static("status"), status);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_has_exactly_three_segments() {
        assert_eq!(target("/a/b/c").unwrap().parts(), ("a", "b", "c"));
        assert!(
            target("/a/b").is_none() && target("/a/b/c/d").is_none() && target("/a//c").is_none()
        );
    }

    #[test]
    fn the_typename_comes_from_the_content_type() {
        let mut headers = HeaderMap::new();
        assert_eq!(type_name(&headers), STRING);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/vnd.shop/order"),
        );
        assert_eq!(type_name(&headers), "shop/order");
    }
}
