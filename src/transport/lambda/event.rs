//! The events that carry HTTP requests into a Lambda function, and the answers they expect: four senders, two shapes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::transport::exchange::HandlerResponse;

/// An event, with the fields of all shapes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Event {
    /// Payload format 1.0 (REST and HTTP APIs) and load balancers.
    http_method: Option<String>,
    path: Option<String>,
    /// Payload format 2.0 (HTTP APIs and function URLs).
    raw_path: Option<String>,
    request_context: Context,
    headers: Option<BTreeMap<String, String>>,
    /// In addition to `headers` in format 1.0; instead of them from a load balancer whose target group is configured so.
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    body: Option<String>,
    is_base64_encoded: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    http: Option<HttpContext>,
    elb: Option<serde::de::IgnoredAny>,
    stage: Option<String>,
}

#[derive(Debug, Deserialize)]
struct HttpContext {
    method: String,
}

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Payload format 1.0.
    Format1,
    /// Payload format 2.0.
    Format2,
    LoadBalancer {
        multi_value_headers: bool,
    },
}

/// An HTTP request, from any of the events.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) shape: Shape,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) content_type: Option<String>,
    pub(super) is_compressed: bool,
    body: String,
    is_base64: bool,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the event does not come from an API Gateway, a function URL or a load balancer; call the function through one of them"
)]
pub(super) struct UnknownEvent;

impl Request {
    pub(super) fn body(&self) -> Result<Bytes, base64::DecodeError> {
        if self.is_base64 {
            STANDARD.decode(&self.body).map(Bytes::from)
        } else {
            Ok(Bytes::copy_from_slice(self.body.as_bytes()))
        }
    }
}

impl TryFrom<Event> for Request {
    type Error = UnknownEvent;

    fn try_from(event: Event) -> Result<Self, UnknownEvent> {
        let content_type = event.header("content-type").map(str::to_owned);
        let encoding = event.header("content-encoding").unwrap_or_default();
        let is_compressed = !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity");
        let context = event.request_context;
        let (shape, method, path) = match (context.http, event.http_method) {
            (Some(http), _) => {
                let path = without_stage(event.raw_path.unwrap_or_default(), context.stage);
                (Shape::Format2, http.method, path)
            }
            (None, Some(method)) => {
                let shape = match context.elb {
                    None => Shape::Format1,
                    Some(_) => Shape::LoadBalancer {
                        multi_value_headers: event.multi_value_headers.is_some(),
                    },
                };
                (shape, method, event.path.unwrap_or_default())
            }
            (None, None) => return Err(UnknownEvent),
        };
        Ok(Self {
            shape,
            method,
            path,
            content_type,
            is_compressed,
            body: event.body.unwrap_or_default(),
            is_base64: event.is_base64_encoded,
        })
    }
}

impl Event {
    /// The header `name`, given in lower case; REST APIs keep the client's spelling.
    fn header(&self, name: &str) -> Option<&str> {
        let single = self
            .headers
            .iter()
            .flatten()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        let multi = self
            .multi_value_headers
            .iter()
            .flatten()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = single.map(|(_, value)| value);
        value.or_else(|| multi?.1.last()).map(String::as_str)
    }
}

/// Format 2.0 puts the name of the stage before the path, unless it is the default one.
fn without_stage(path: String, stage: Option<String>) -> String {
    let rest = stage.and_then(|stage| {
        path.strip_prefix('/')?
            .strip_prefix(&stage)
            .map(str::to_owned)
    });
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

/// The answer to Lambda.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    status_code: u16,
    /// For load balancers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<&'static str, &'static str>>,
    /// For load balancers that sent such headers; they then ignore the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<&'static str, [&'static str; 1]>>,
    /// For format 2.0 only, where local emulators require them.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<[String; 0]>,
    is_base64_encoded: bool,
    body: String,
}

impl Response {
    /// Bytes are sent as base64, text as it is: a REST API decodes base64 only for its binary media types.
    pub(super) fn new(answer: HandlerResponse, shape: Shape) -> Self {
        let mut headers = BTreeMap::from([("content-type", answer.content_type)]);
        headers.extend(answer.allow.map(|methods| ("allow", methods)));
        let (headers, multi_value_headers) = match shape {
            Shape::LoadBalancer {
                multi_value_headers: true,
            } => (
                None,
                Some(
                    headers
                        .into_iter()
                        .map(|(name, value)| (name, [value]))
                        .collect(),
                ),
            ),
            _ => (Some(headers), None),
        };
        let status_description = match shape {
            Shape::Format1 | Shape::Format2 => None,
            Shape::LoadBalancer { .. } => Some(description(answer.status)),
        };
        let is_base64_encoded = !answer.content_type.starts_with("text/");
        Self {
            status_code: answer.status,
            status_description,
            headers,
            multi_value_headers,
            cookies: (shape == Shape::Format2).then_some([]),
            is_base64_encoded,
            body: if is_base64_encoded {
                STANDARD.encode(&answer.body)
            } else {
                String::from_utf8_lossy(&answer.body).into_owned()
            },
        }
    }
}

/// The status with its phrase.
fn description(status: u16) -> String {
    let phrase = match status {
        200 => "OK",
        400 => "Bad Request",
        405 => "Method Not Allowed",
        415 => "Unsupported Media Type",
        _ => "Internal Server Error",
    };
    format!("{status} {phrase}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(event: Value) -> Result<Request, UnknownEvent> {
        serde_json::from_value::<Event>(event).unwrap().try_into()
    }

    fn document(name: &str) -> Request {
        let path = format!(
            "{}/tests/data/lambda/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        request(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn each_documented_event_is_one_request() {
        let one_by_one = Shape::LoadBalancer {
            multi_value_headers: false,
        };
        let many = Shape::LoadBalancer {
            multi_value_headers: true,
        };
        for (name, shape, method, path) in [
            ("rest_api", Shape::Format1, "POST", "/statefun"),
            ("http_api", Shape::Format2, "POST", "/statefun"),
            ("http_api_format_1", Shape::Format1, "POST", "/statefun"),
            ("function_url", Shape::Format2, "POST", "/"),
            ("load_balancer", one_by_one, "POST", "/statefun"),
            ("load_balancer_multi_value", many, "POST", "/statefun"),
        ] {
            let request = document(name);
            assert_eq!(
                (request.shape, &*request.method, &*request.path),
                (shape, method, path),
                "{name}"
            );
            assert_eq!(
                request.content_type.as_deref(),
                Some("application/octet-stream"),
                "{name}"
            );
            assert!(request.body().unwrap().starts_with(&[0xA2, 0x06]), "{name}");
            assert!(!request.is_compressed, "{name}");
        }
    }

    #[test]
    fn stage_is_not_part_of_the_path() {
        for (raw, stage, path) in [
            ("/prod/health", Some("prod"), "/health"),
            ("/prod", Some("prod"), ""),
            ("/production/health", Some("prod"), "/production/health"),
            ("/health", Some("$default"), "/health"),
            ("/health", None, "/health"),
        ] {
            assert_eq!(
                without_stage(raw.to_owned(), stage.map(str::to_owned)),
                path
            );
        }
    }

    #[test]
    fn bodies_are_base64_only_where_the_event_says_so() {
        let event = |body: Value, is_base64: bool| {
            let event = json!({"httpMethod": "POST", "body": body, "isBase64Encoded": is_base64});
            request(event).unwrap().body()
        };
        assert_eq!(event(json!("aGk="), false).unwrap(), "aGk=");
        assert_eq!(event(json!("aGk="), true).unwrap(), "hi");
        assert_eq!(event(Value::Null, true).unwrap(), "");
        assert!(event(json!("?"), true).is_err());
    }

    #[test]
    fn compressed_bodies_are_noticed() {
        let is_compressed = |headers: Value| {
            request(json!({"httpMethod": "POST", "headers": headers}))
                .unwrap()
                .is_compressed
        };
        assert!(is_compressed(json!({"Content-Encoding": "gzip"})));
        assert!(!is_compressed(json!({"content-encoding": "identity"})));
        assert!(!is_compressed(Value::Null));
    }

    #[test]
    fn other_events_are_refused() {
        assert!(request(json!({"Records": [{"eventSource": "aws:sqs"}]})).is_err());
    }
}
