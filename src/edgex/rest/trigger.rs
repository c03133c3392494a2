//! `POST /api/v3/trigger`: runs the default pipeline, and answers with its response.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming as Body;
use prost::Message as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{API_VERSION, Desk};
use crate::pipeline::{RECORD, REFUSAL, Record, STORED};
use crate::protocol::reqreply::TypedValue;
use crate::runtime::IntakeError;
use crate::runtime::intake::{AddressKey, Incoming};
use crate::runtime::request;
use crate::runtime::respond::{self, FullResponse};
use crate::runtime::values;
use crate::sdk::TypeName;

/// The header with the id of a request, in both directions.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Desk {
    pub(super) async fn trigger(&self, request: Request<Body>) -> FullResponse {
        let given = request.headers().get(CORRELATION_ID);
        let id = given.and_then(|id| id.to_str().ok());
        let id = id.filter(|id| !id.trim().is_empty());
        let id = id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        let mut answer = self.run_pipeline(request, &id).await;
        if let Ok(id) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert(CORRELATION_ID, id);
        }
        answer
    }

    async fn run_pipeline(&self, request: Request<Body>, id: &str) -> FullResponse {
        let Some(entry) = &self.entry else {
            let text = "the service has no functions: `Writable.Pipeline.ExecutionOrder` is empty";
            return told(StatusCode::INTERNAL_SERVER_ERROR, text);
        };
        let content_type = request.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|text| text.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = match request::body(request, &self.bodies).await {
            Ok(body) => body,
            Err(refusal) => return *refusal,
        };
        let record = Record::new(body)
            .with_content_type(content_type)
            .with_correlation_id(id);
        let incoming = match incoming(entry, &record) {
            Ok(incoming) => incoming,
            Err(text) => return told(StatusCode::INTERNAL_SERVER_ERROR, &text),
        };
        let within = self.configuration.settings.service.request_timeout;
        match self.runtime.call(incoming, within).await {
            Ok(value) => self.answered(value),
            Err(IntakeError::Timeout { .. }) => {
                told(StatusCode::SERVICE_UNAVAILABLE, "Request timed out")
            }
            Err(refusal) => respond::refused(&refusal),
        }
    }

    /// The response of the pipeline, or what it says instead.
    fn answered(&self, value: Bytes) -> FullResponse {
        let Ok(TypedValue {
            typename, value, ..
        }) = values::read(value)
        else {
            let text = "the answer of the pipeline cannot be read";
            return told(StatusCode::INTERNAL_SERVER_ERROR, text);
        };
        match typename.as_str() {
            REFUSAL => refused(&value),
            STORED => self.stored(&value),
            content_type => {
                let mut answer = Response::new(Full::new(value.clone()));
                if let (false, Ok(content_type)) =
                    (value.is_empty(), HeaderValue::from_str(content_type))
                {
                    answer.headers_mut().insert(CONTENT_TYPE, content_type);
                }
                answer
            }
        }
    }

    /// The data is kept for another attempt: 202, or an error as in EdgeX, whose callers then send it again.
    fn stored(&self, value: &[u8]) -> FullResponse {
        let stored: Value = serde_json::from_slice(value).unwrap_or_default();
        let id = stored.get("id").and_then(Value::as_str).unwrap_or_default();
        let text = "the data could not be sent; it is stored, and will be sent again";
        match self.configuration.settings.stored_status {
            422 => told(StatusCode::UNPROCESSABLE_ENTITY, text),
            _ => respond::json(
                StatusCode::ACCEPTED,
                &json!({"apiVersion": API_VERSION, "statusCode": 202, "message": text, "id": id}),
            ),
        }
    }
}

/// The message to the pipeline. Each request has an address of its own, so none waits for another.
fn incoming(entry: &TypeName, record: &Record) -> Result<Incoming, String> {
    let value = RECORD.encode(record).map_err(|err| err.to_string())?;
    let value = TypedValue {
        typename: RECORD.name().to_string(),
        has_value: true,
        value,
    };
    let id = Uuid::new_v4().to_string();
    Ok(Incoming {
        target: AddressKey::new(entry.namespace(), entry.name(), &id),
        argument: value.encode_to_vec().into(),
        key: None,
    })
}

/// An answer in one line of text, as EdgeX gives its errors.
fn told(status: StatusCode, text: &str) -> FullResponse {
    respond::with_type(status, TEXT, format!("{text}\n").into())
}

/// The answer to data that the pipeline refused.
fn refused(value: &[u8]) -> FullResponse {
    let refusal: Value = serde_json::from_slice(value).unwrap_or_default();
    let status = refusal.get("statusCode").and_then(Value::as_u64);
    let status = status.and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let text = refusal.get("message").and_then(Value::as_str);
    told(
        status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
        text.unwrap_or("the pipeline has failed"),
    )
}
