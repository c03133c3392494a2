//! Destinations that answer as a case says, and note what they are sent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::read::{DestinationAnswer, Payload};
use crate::transport::http::client::{Answering, HttpRequest, HttpResponse, Scripted};

/// Where the last stage of a played pipeline sends what leaves the pipeline.
pub(super) const OUTPUT: &str = "http://output.invalid/";

/// The method of a publication.
const PUBLISH: &str = "PUBLISH";

/// A request or a publication that was sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) struct Destinations {
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    /// The beginnings of URLs, with the answers that are left.
    answers: Vec<(String, Vec<DestinationAnswer>)>,
    requests: Vec<Request>,
    outputs: Vec<Bytes>,
}

impl Destinations {
    pub(super) fn new(answers: &[(String, Vec<DestinationAnswer>)]) -> Self {
        let reversed = answers.iter().map(|(url, answers)| {
            let answers = answers.iter().rev().cloned().collect();
            (url.clone(), answers)
        });
        Self {
            noted: Mutex::new(Noted {
                answers: reversed.collect(),
                ..Noted::default()
            }),
        }
    }

    /// The requests so far, and what has left the pipeline.
    pub(super) fn take(&self) -> (Vec<Request>, Vec<Bytes>) {
        let mut noted = self.locked();
        let requests = std::mem::take(&mut noted.requests);
        (requests, std::mem::take(&mut noted.outputs))
    }

    fn locked(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    /// The next answer to a request for `url`, of those for the longest beginning; 200 if there is none.
    fn next(&mut self, url: &str) -> DestinationAnswer {
        let matching = self.answers.iter_mut();
        let matching = matching
            .filter(|(start, answers)| url.starts_with(start.as_str()) && !answers.is_empty());
        let Some((_, answers)) = matching.max_by_key(|(start, _)| start.len()) else {
            return DestinationAnswer::Status {
                status: 200,
                headers: Vec::new(),
                body: Payload::Bytes(Bytes::new()),
            };
        };
        match answers.as_slice() {
            [last] => last.clone(),
            _ => answers.pop().unwrap_or(DestinationAnswer::Down),
        }
    }

    fn receive(&mut self, request: Request) -> Scripted {
        let answer = self.next(&request.url);
        self.requests.push(request);
        match answer {
            DestinationAnswer::Down => Scripted::NoConnection,
            DestinationAnswer::Timeout => Scripted::NoAnswer,
            DestinationAnswer::Status {
                status,
                headers,
                body,
            } => Scripted::Response(response(status, &headers, body.bytes())),
        }
    }
}

impl Answering for Destinations {
    fn answer(&self, request: &HttpRequest) -> Scripted {
        let mut noted = self.locked();
        let url = request.url.to_string();
        if url == OUTPUT {
            noted.outputs.push(request.body.clone());
            return Scripted::Response(response(200, &[], Bytes::new()));
        }
        noted.receive(Request {
            method: request.method.to_string(),
            url,
            headers: request.headers.clone(),
            body: request.body.clone(),
        })
    }

    fn publication(&self, broker: &str, topic: &str, payload: &Bytes) -> Scripted {
        self.locked().receive(Request {
            method: PUBLISH.to_owned(),
            url: format!("{broker}/{topic}"),
            headers: HeaderMap::new(),
            body: payload.clone(),
        })
    }
}

fn response(status: u16, headers: &[(String, String)], body: Bytes) -> HttpResponse {
    let named = headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::try_from(name.as_str()).ok()?;
        Some((name, HeaderValue::try_from(value.as_str()).ok()?))
    });
    HttpResponse {
        status: StatusCode::from_u16(status).unwrap_or_default(),
        headers: named.collect(),
        body,
    }
}
