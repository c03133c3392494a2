//! `statefun.http.v1/ingress`: `POST /send/…` and `POST /call/…`.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::document::{Complaint, Location, Node, scalar};
use crate::sdk::TypeName;

use super::super::draft::{Binding, Draft};
use super::super::listeners::Listening;
use super::super::{Ingress, Token, coerce};
use super::Spec;
use super::exposed::is_exposed;

const DEFAULT_ID: TypeName = TypeName::new("statefun.http/ingress");
const DEFAULT_JSON_TYPE: TypeName = TypeName::new("statefun/json");

/// Takes messages over HTTP, with and without waiting for the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpIngress {
    /// The location of the document's `spec`.
    pub location: Location,
    /// Its name, under which its idempotency keys are stored. Default `statefun.http/ingress`.
    pub id: TypeName,
    /// `host:port` to listen on.
    pub listen: String,
    /// Requests must carry it as `authorization: Bearer …`. Without it web pages of other origins are refused, and on a loopback
    /// address so is every host name but `localhost` and that of `listen`.
    pub token: Option<Token>,
    /// Larger bodies are refused with 413. Default 8 MiB.
    pub max_body_bytes: usize,
    /// A call without an answer after this time is 504. Default 30 s.
    pub call_timeout: Duration,
    /// The type of a value with content type `application/json`. Default `statefun/json`.
    pub json_type: TypeName,
    /// How long an `idempotency-key` is valid. Default 24 h.
    pub idempotency_window: Duration,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = fields.optional("id", coerce::own_name);
    let listen = fields.must("listen", listen);
    let token = fields.optional("token", token_of);
    let max_body_bytes = fields.optional("maxBodyBytes", scalar::count_of::<NonZeroUsize>);
    let call_timeout = fields.optional("callTimeout", scalar::span);
    let json_type = fields.optional("jsonType", coerce::own_name);
    let idempotency_window = fields.optional("idempotencyWindow", scalar::span);
    let host = listen.as_deref().and_then(|listen| listen.rsplit_once(':'));
    if !fields.has("token") && host.is_some_and(|(host, _)| is_exposed(host)) {
        let warning = Complaint::with_remedy(
            "anyone who reaches this address can send messages and call functions",
            "set `token`, or listen on 127.0.0.1",
        );
        fields.warn("listen", warning);
    }
    let (location, at) = (fields.location().clone(), fields.at());
    if let Some(listen) = &listen {
        let at = fields.finding("listen", "");
        let listening = Listening::new("http ingress", listen, at);
        draft.module.listeners.extend(listening);
    }
    fields.finish();
    let id = id.unwrap_or(DEFAULT_ID);
    draft.bind(Binding::Ingress(id.clone()), at);
    let Some(listen) = listen else { return };
    draft.module.ingresses.push(Ingress::Http(HttpIngress {
        location,
        id,
        listen,
        token,
        max_body_bytes: max_body_bytes.map_or(8 * 1024 * 1024, NonZeroUsize::get),
        call_timeout: call_timeout.unwrap_or(Duration::from_secs(30)),
        json_type: json_type.unwrap_or(DEFAULT_JSON_TYPE),
        idempotency_window: idempotency_window.unwrap_or(Duration::from_secs(24 * 3600)),
    }));
}

fn token_of(node: &Node) -> Result<Token, Complaint> {
    Ok(Token::parse(&scalar::text(node)?).map_err(|fault| fault.to_string())?)
}

/// `host:port`.
fn listen(node: &Node) -> Result<String, Complaint> {
    let text = scalar::filled_text(node)?;
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(text),
        _ => Err(Complaint::with_remedy(
            format!("`{text}` is not an address to listen on"),
            "write host and port, such as 127.0.0.1:8090",
        )),
    }
}
