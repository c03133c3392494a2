//! `POST /api/v3/trigger`: runs the default pipeline, and answers with its response.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming as Body;
use serde_json::json;
use uuid::Uuid;

use super::super::message::{Answered, incoming};
use super::super::service::entry_of;
use super::{API_VERSION, Desk};
use crate::pipeline::Record;
use crate::runtime::IntakeError;
use crate::runtime::request;
use crate::runtime::respond::{self, FullResponse};

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
        let Some(entry) = entry_of(&self.current.get()) else {
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
        let incoming = match incoming(&entry, &record) {
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
        match Answered::of(value) {
            Answered::Response { content_type, data } => {
                let is_empty = data.is_empty();
                let mut answer = Response::new(Full::new(data));
                if let (false, Ok(content_type)) = (is_empty, HeaderValue::from_str(&content_type))
                {
                    answer.headers_mut().insert(CONTENT_TYPE, content_type);
                }
                answer
            }
            Answered::Stored { id } => self.stored(&id),
            Answered::Refused { status, text } => {
                let status = StatusCode::from_u16(status);
                told(status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), &text)
            }
            Answered::Unreadable => {
                let text = "the answer of the pipeline cannot be read";
                told(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }

    /// The data is kept for another attempt: 202, or an error as in EdgeX, whose callers then send it again.
    fn stored(&self, id: &str) -> FullResponse {
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

/// An answer in one line of text, as EdgeX gives its errors.
fn told(status: StatusCode, text: &str) -> FullResponse {
    respond::with_type(status, TEXT, format!("{text}\n").into())
}
