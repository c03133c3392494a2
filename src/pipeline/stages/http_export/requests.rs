//! Makes requests from records, sends them, and reports the result.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use http::{HeaderMap, Method, StatusCode, Uri};

use super::super::super::record::{Record, content_type};
use super::super::super::secrets::Secrets;
use super::super::super::template::Unfilled;
use super::super::export::{Load, Prepared, Sent};
use super::secret_header::Secret;
use super::url::{Target, absolute, filled, redacted};
use super::{RequestBody, header_value};
use crate::delivery::engine::{Failure, FailureKind, Policy};
use crate::printable;
use crate::time::Timestamp;
use crate::transport::http::client::{
    HttpClient, HttpClientConfig, HttpError, HttpRequest, HttpResponse, Network,
};

const MAX_TOLD_CHARS: usize = 300;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What a request with a JSON document begins with: its headers in their order, with an empty one in the place of the idempotency key.
pub(super) fn head(declared: &HeaderMap, idempotency: Option<&HeaderName>) -> HeaderMap {
    const JSON: HeaderValue = HeaderValue::from_static(content_type::JSON);
    let mut head = HeaderMap::with_capacity(declared.len() + 2);
    head.insert(CONTENT_TYPE, JSON);
    if let Some(name) = idempotency {
        head.insert(name, HeaderValue::from_static(""));
    }
    for (name, value) in declared {
        head.insert(name, value.clone());
    }
    head
}

/// The requests of an [`HttpExport`](super::HttpExport), after its check.
#[derive(Clone)]
pub(crate) struct Requests {
    pub(super) url: Target,
    pub(in crate::pipeline::stages) method: Method,
    /// Those that were declared.
    pub(super) headers: HeaderMap,
    /// What most requests begin with, see [`head`].
    pub(super) head: HeaderMap,
    pub(super) idempotency: Option<HeaderName>,
    pub(super) client: HttpClient,
    /// What `client` was made with.
    pub(super) config: HttpClientConfig,
    pub(super) has_own_proxy: bool,
    pub(super) body: Option<Arc<dyn RequestBody>>,
    pub(super) return_input: bool,
    pub(super) secret: Option<Secret>,
    pub(in crate::pipeline::stages) secrets: Secrets,
}

impl Requests {
    /// The same requests from a process that knows its network.
    pub(crate) fn within(&self, network: &Network) -> Result<Self, HttpError> {
        let mut config = self.config.clone().network(network);
        if self.has_own_proxy {
            config.proxies.clone_from(&self.config.proxies);
        }
        Ok(Self {
            client: HttpClient::new(config.clone())?,
            config,
            ..self.clone()
        })
    }

    /// Makes the request for `record`, with `item` as its idempotency key.
    pub(crate) fn prepare(
        &self,
        record: &mut Record,
        item: &str,
    ) -> Result<Prepared, Box<Failure>> {
        let unmade = |text: String| Box::new(Failure::permanent("template", text));
        let (url, destination) = match &self.url {
            Target::Fixed(url, destination) => (url.clone(), Arc::clone(destination)),
            Target::Filled(template) => {
                let url = template
                    .fill_url(record)
                    .map_err(|err| unmade(err.to_string()))?;
                filled(&url).map_err(unmade)?
            }
        };
        let body = match &self.body {
            Some(made) => made
                .body(record)
                .map_err(|text| Box::new(Failure::permanent("stage_error", text)))?,
            None => record.payload(),
        };
        let mut headers = self.headers_for(record, item).map_err(unmade)?;
        if let Some(secret) = &self.secret
            && !self.headers.contains_key(&secret.header)
        {
            headers.insert(&secret.header, secret.value(&self.secrets)?);
        }
        Ok(Prepared {
            destination,
            load: Load::Request(HttpRequest {
                method: self.method.clone(),
                url,
                headers,
                body,
            }),
        })
    }

    /// The headers of a request: the stage's own, which win, and those that follow from the record.
    fn headers_for(&self, record: &Record, item: &str) -> Result<HeaderMap, String> {
        let value = |what: &str, text: &str| {
            header_value(text).map_err(|text| format!("the record's {what} can't be sent: {text}"))
        };
        let mut headers = self.head.clone();
        let own = |name: &HeaderName| self.headers.contains_key(name);
        if record.content_type() != content_type::JSON && !own(&CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, value("content type", record.content_type())?);
        }
        if !record.content_encoding().is_empty() {
            let encoding = value("content encoding", record.content_encoding())?;
            headers.insert(CONTENT_ENCODING, encoding);
        }
        if let Some(name) = self.idempotency.as_ref().filter(|name| !own(name)) {
            headers.insert(name, value("id", item)?);
        }
        // The trace of the record continues at the destination.
        for name in [TRACEPARENT, TRACESTATE] {
            if let (Some(text), false) = (record.value(name.as_str()), own(&name)) {
                let value = value(name.as_str(), text)?;
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }

    /// Sends the request and returns the result.
    pub(crate) async fn send(
        &self,
        request: HttpRequest,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Sent, Box<Failure>> {
        let url = request.url.clone();
        match self.client.send(request, policy.timeout).await {
            Ok(response) if response.status.is_success() => Ok(self.sent(response)),
            Ok(response) => {
                let told = printable::first_line_of(&response.body, MAX_TOLD_CHARS);
                let (status, headers) = (response.status, &response.headers);
                let failure = self.failure_of(&url, status, headers, &told, policy, now);
                Err(Box::new(failure))
            }
            Err(err) => self.unanswered(&url, &err, policy, now),
        }
    }

    fn sent(&self, response: HttpResponse) -> Sent {
        if self.return_input {
            return Sent::Input;
        }
        let header = |name| {
            let value = response.headers.get(name);
            value.and_then(|value: &HeaderValue| value.to_str().ok())
        };
        Sent::Answer {
            content_type: header(CONTENT_TYPE)
                .unwrap_or(content_type::BYTES)
                .to_owned(),
            content_encoding: header(CONTENT_ENCODING).unwrap_or_default().to_owned(),
            payload: response.body,
        }
    }

    /// What an answer's status, its headers and its first words say.
    fn failure_of(
        &self,
        url: &Uri,
        status: StatusCode,
        headers: &HeaderMap,
        told: &str,
        policy: &Policy,
        now: Timestamp,
    ) -> Failure {
        let shown = url.to_string();
        let header = |name| headers.get(name).map(HeaderValue::as_bytes);
        let mut text = format!("{} {}: {}", self.method, redacted(&shown), status.as_u16());
        if let Some(to) = header(LOCATION).filter(|_| status.is_redirection()) {
            // Redirects are not followed: the body would be sent to an undeclared destination.
            let to = printable::first_line_of(to, MAX_TOLD_CHARS);
            text.push_str(&format!(" to {}", redacted(&to)));
        }
        if !told.is_empty() {
            text.push_str(&format!(" {told}"));
        }
        let failure = Failure::of_answer(policy, status.as_u16(), &text)
            .unwrap_or_else(|| Failure::retry("http", text));
        match header(RETRY_AFTER).and_then(|value| str::from_utf8(value).ok()) {
            Some(after) => failure.with_retry_after(after, now),
            None => failure,
        }
    }

    /// No whole answer. When its head was there and said 2xx, the record was taken: sending it again would be wrong.
    fn unanswered(
        &self,
        url: &Uri,
        err: &HttpError,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Sent, Box<Failure>> {
        match err.status() {
            Some(status) if status.is_success() => {
                tracing::warn!(error = %err, "an export was accepted, but the answer's body could not be read");
                return Ok(match self.return_input {
                    true => Sent::Input,
                    false => Sent::Answer {
                        payload: Bytes::new(),
                        content_type: content_type::BYTES.to_owned(),
                        content_encoding: String::new(),
                    },
                });
            }
            Some(status) => {
                let (headers, told) = (err.headers(), err.to_string());
                let failure = self.failure_of(url, status, headers, &told, policy, now);
                return Err(Box::new(failure));
            }
            None => {}
        }
        let kind = match err {
            err if err.is_timeout() => FailureKind::Timeout,
            err if err.is_invalid_request() => FailureKind::Encode,
            err if err.is_dns() => FailureKind::Dns,
            err if err.is_tls() => FailureKind::Tls,
            _ => FailureKind::Connect,
        };
        let mut text = err.to_string();
        let mut source = std::error::Error::source(err);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Err(Box::new(Failure::of_kind(policy.classes, kind, text)))
    }

    /// Where all records go; `None` when that depends on the record.
    pub(crate) fn destination(&self) -> Option<Arc<str>> {
        match &self.url {
            Target::Fixed(_, destination) => Some(Arc::clone(destination)),
            Target::Filled(_) => None,
        }
    }

    /// The order key, with the destination in front where that depends on the record: each destination has its own lanes, or one that is
    /// down would hold up the others.
    pub(crate) fn placed(&self, key: String, record: &mut Record) -> Result<String, Unfilled> {
        let Target::Filled(url) = &self.url else {
            return Ok(key);
        };
        let url = url.fill_url(record)?;
        let destination = absolute(&url).map_or_else(|_| Arc::from(""), |(_, place)| place);
        Ok(format!("{destination} {key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::StageKind;
    use super::super::HttpExport;
    use super::*;

    #[test]
    fn a_content_type_that_would_begin_another_header_is_a_failure_for_good() {
        let checked = HttpExport::post("http://h/").check(|field, text| panic!("{field}: {text}"));
        let Some(StageKind::Export(exporter)) = checked else {
            panic!("an export");
        };
        let mut record = Record::new("x").with_content_type("a/b\r\nx-admin: yes");
        let failure = exporter.prepare(&mut record, "item").unwrap_err();
        assert_eq!(failure.class, crate::delivery::engine::Class::Permanent);
        assert_eq!(
            failure.message,
            "the record's content type can't be sent: its value has a line end at position 4, which would begin another header"
        );
    }
}
