//! `statefun.http.v1/egress`: a request for each record, tried again until it is delivered or given up.

use crate::delivery::Policy;

use super::super::finding::{Complaint, Finding};
use super::super::yaml::Node;
use super::super::{Draft, Egress, EgressTarget, Secret, fields};
use super::Spec;

/// Sends each record as a request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpEgress {
    /// Where to.
    pub url: String,
    /// `POST`, `PUT` or `PATCH`. Default `POST`.
    pub method: String,
    /// Sent with each request; the values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// How it is tried again, how long one attempt may take, and when it is given up.
    pub policy: Policy,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let mut fields = spec.fields;
    let id = fields.required("id", fields::type_name);
    let url = fields.required("url", url);
    let method = fields.optional("method", method);
    let mut policy = fields.optional("retry", policy).unwrap_or_default();
    if let Some(timeout) = fields.optional("timeout", fields::span) {
        policy.timeout = timeout;
    }
    let mut headers = Vec::new();
    for (key, value) in fields.entries("headers") {
        match header(&key.name, value) {
            Ok(header) => headers.push(header),
            Err(complaint) => {
                let path = fields.path_of(&format!("headers.{}", key.name));
                let place = value.place.clone();
                fields
                    .findings()
                    .fault(Finding::new(place, path, complaint));
            }
        }
    }
    let place = fields.place().clone();
    fields.finish();
    let (Some(id), Some(url)) = (id, url) else {
        return;
    };
    draft.bind_egress(&id, &place);
    let target = HttpEgress {
        url,
        method: method.unwrap_or_else(|| "POST".to_owned()),
        headers,
        policy,
    };
    draft.module.egresses.push(Egress {
        place,
        id,
        target: EgressTarget::Http(target),
    });
}

fn url(node: &Node) -> Result<String, Complaint> {
    let text = fields::filled_text(node)?;
    let uri = http::Uri::try_from(text.as_str())
        .map_err(|err| Complaint::from(format!("`{text}` is not a URL: {err}")))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(text),
        _ => Err(Complaint::with_remedy(
            format!("`{text}` is not an HTTP URL"),
            "write it as http://host:port/path or https://…",
        )),
    }
}

fn method(node: &Node) -> Result<String, Complaint> {
    let method = fields::filled_text(node)?.to_ascii_uppercase();
    match method.as_str() {
        "POST" | "PUT" | "PATCH" => Ok(method),
        _ => Err(format!("method `{method}` sends no body; use POST, PUT or PATCH").into()),
    }
}

fn policy(node: &Node) -> Result<Policy, Complaint> {
    serde_json::from_value(node.to_json()).map_err(|err| err.to_string().into())
}

fn header(name: &str, value: &Node) -> Result<(String, Secret), Complaint> {
    let text = fields::text(value)?;
    http::HeaderName::try_from(name)
        .map_err(|_| Complaint::from(format!("`{name}` is not a header name")))?;
    http::HeaderValue::try_from(text.as_str()).map_err(|_| {
        Complaint::from(format!(
            "the value of header `{name}` has characters that cannot be sent"
        ))
    })?;
    Ok((name.to_owned(), Secret::new(text)))
}
