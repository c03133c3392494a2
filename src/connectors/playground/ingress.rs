//! `io.statefun.playground.v1/ingress`: `/<namespace>/<type>/<id>` sends a message, as StateFun's playground does.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming as Body;
use prost::Message as _;

use super::status::with_status_header;
use crate::module::PlaygroundIngress;
use crate::protocol::reqreply::TypedValue;
use crate::runtime::http_listeners::{HttpListeners, HttpServer};
use crate::runtime::intake::{AddressKey, Incoming};
use crate::runtime::request::{self, no_query, path_part};
use crate::runtime::respond::{self, FullResponse, Refusal, refuse};
use crate::runtime::{Inlet, Listener, Source, StartError, values};
use crate::sdk::BoxError;
use crate::transport::http::BodyReader;

const STRING: &str = "io.statefun.types/string";

/// Answers requests.
#[derive(Debug)]
pub(crate) struct PlaygroundSource {
    spec: PlaygroundIngress,
    /// From opening until serving.
    server: Option<HttpServer>,
}

impl PlaygroundSource {
    pub(crate) const fn new(spec: PlaygroundIngress) -> Self {
        Self { spec, server: None }
    }
}

#[async_trait]
impl Source for PlaygroundSource {
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let address = format!("{}:{}", self.spec.host, self.spec.port);
        let server = listeners.open("playground ingress", &address, None).await?;
        let listener = server.listener.clone();
        self.server = Some(server);
        Ok(Some(listener))
    }

    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let server = self.server.take().ok_or("the listener is closed")?;
        let desk = Arc::new(Desk {
            bodies: server.bodies.clone(),
            wraps_text: self.spec.wraps_text,
            inlet: inlet.clone(),
        });
        let answer = move |request| {
            let desk = Arc::clone(&desk);
            async move { desk.answer(request).await }
        };
        server
            .answer(answer, with_status_header, inlet.stopped())
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
    bodies: BodyReader,
    wraps_text: bool,
    inlet: Inlet,
}

impl Desk {
    async fn answer(&self, request: Request<Body>) -> Result<FullResponse, Refusal> {
        let target = target(request.uri().path())?;
        no_query(request.uri())?;
        let type_name = type_name(request.headers())?;
        if self.wraps_text && type_name == STRING {
            request::check_charset(request.headers())?;
        }
        let body = request::body(request, &self.bodies).await?;
        let argument = typed(&type_name, body, self.wraps_text)
            .map_err(|fault| refuse(StatusCode::BAD_REQUEST, "value.invalid", &fault))?;
        let incoming = Incoming {
            target,
            argument,
            key: None,
        };
        match self.inlet.intake().send(incoming).await {
            Ok(()) => Ok(FullResponse::default()),
            Err(refusal) => Ok(respond::refused(&refusal)),
        }
    }
}

/// The body is the value's raw bytes, unless text is to be wrapped.
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
fn type_name(headers: &HeaderMap) -> Result<String, Refusal> {
    let content_type = request::content_type(headers)?.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.strip_prefix("application/vnd.") {
        None => Ok(STRING.to_owned()),
        Some(type_name) => {
            request::check_type_name(type_name, "`content-type`")?;
            Ok(type_name.to_owned())
        }
    }
}

fn target(path: &str) -> Result<AddressKey, Refusal> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match *parts.as_slice() {
        [namespace, name, id] if parts.iter().all(|part| !part.is_empty()) => Ok(AddressKey::new(
            &path_part(namespace)?,
            &path_part(name)?,
            &path_part(id)?,
        )),
        _ => Err(refuse(
            StatusCode::BAD_REQUEST,
            "path.invalid",
            "the path is /<namespace>/<type>/<id>",
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_TYPE, HeaderValue};

    use super::*;

    #[test]
    fn the_path_has_exactly_three_segments() {
        assert_eq!(target("/a/b/c").ok().unwrap().parts(), ("a", "b", "c"));
        for wrong in ["/a/b", "/a/b/c/d", "/a//c", "/a/b/%zz"] {
            assert_eq!(target(wrong).err().unwrap().status(), 400, "{wrong}");
        }
    }

    #[test]
    fn the_typename_comes_from_the_content_type() {
        let mut headers = HeaderMap::new();
        let name = |headers: &HeaderMap| type_name(headers).ok();
        assert_eq!(name(&headers).as_deref(), Some(STRING));
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/vnd.shop/order"),
        );
        assert_eq!(name(&headers).as_deref(), Some("shop/order"));
        for wrong in [
            "application/vnd.",
            "application/vnd.order",
            "application/vnd./x",
        ] {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(wrong));
            assert_eq!(name(&headers), None, "{wrong}");
        }
    }
}
