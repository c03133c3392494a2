//! `http-export: {url, …}`: sends each record as an HTTP request. What cannot be delivered waits and is tried again.

mod connection;
mod requests;
mod secret_header;
mod url;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HOST, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Method};

#[cfg(feature = "runtime")]
pub(crate) use self::connection::read_tls;
pub use self::connection::{ExportProxy, ExportTls};
pub(crate) use self::requests::Requests;
pub use self::secret_header::SecretHeader;
use self::url::{Target, redacted};
use super::super::record::Record;
use super::super::secrets::Secrets;
use super::StageKind;
use super::export::{Channel, Common, IN_RETRY, OnFailure, read_size};
use crate::delivery::engine::Policy;
use crate::delivery::owner::Circuit;
use crate::document::{At, Complaint};
use crate::transport::http::client::{HttpClient, HttpClientConfig, framing};

/// Maximum unused connections of an export to all its destinations, or the maximum of one destination if that is more.
const MAX_IDLE: usize = 256;

/// Sends records as HTTP requests: the settings of one export.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpExport {
    /// The URL; `{name}` stands for a value of the record or a field of its JSON payload.
    pub url: String,
    /// `POST`, `PUT`, `PATCH` or `DELETE`. Default `POST`.
    pub method: String,
    /// Sent with each request, instead of those that the export would send under the same names.
    pub headers: Vec<(String, String)>,
    /// Time after which an attempt without an answer has failed. It should be at most half of the time limit of a function call. Default 30 s.
    pub timeout: Duration,
    /// Time limit for opening a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// When a failed export is tried again, and for how long.
    pub retry: Policy,
    /// A field, or a text with `{field}` placeholders: records with equal keys arrive in order. None: any order.
    pub order_key: Option<String>,
    /// Whether the unchanged record goes to the next stage, instead of the body of the answer. Default false.
    pub return_input: bool,
    /// What happens to a record that could not be sent. Default: it is kept and tried again.
    pub on_failure: OnFailure,
    /// A header whose value is a secret; it gives way to one of `headers` with the same name. Default none.
    pub secret_header: Option<SecretHeader>,
    /// The header that carries the item's id, equal in all attempts. Empty: none. Default `idempotency-key`.
    pub idempotency_header: String,
    /// Maximum concurrent requests to one destination from this process. Default 64.
    pub max_in_flight: NonZeroUsize,
    /// When a destination that keeps failing gets fewer requests. `None`: never. Default after 5 failures in a row.
    pub circuit: Option<Circuit>,
    /// Larger payloads become dead letters. Default 16 MiB.
    pub max_payload_bytes: usize,
    /// The body of a larger answer is left out. Default 1 MiB.
    pub max_response_bytes: usize,
    /// Certificates and keys. Default: the public authorities are trusted.
    pub tls: ExportTls,
    /// Which proxy requests go through. Default: that of the process.
    pub proxy: ExportProxy,
    /// What the body is made with; the payload if there is nothing.
    pub(crate) body: Option<Arc<dyn RequestBody>>,
    /// A URL that is none is a failure of each record, not a fault of the settings.
    pub(crate) takes_any_url: bool,
}

/// Makes the body of a request from a record, which stays as it is.
pub(crate) trait RequestBody: fmt::Debug + Send + Sync {
    /// The body, or why there can be none.
    fn body(&self, record: &mut Record) -> Result<Bytes, String>;
}

impl HttpExport {
    /// `POST`s to `url`.
    pub fn post(url: impl Into<String>) -> Self {
        let common = Common::default();
        Self {
            url: url.into(),
            method: "POST".to_owned(),
            headers: Vec::new(),
            timeout: common.timeout,
            connect_timeout: Duration::from_secs(5),
            retry: common.retry,
            order_key: common.order_key,
            return_input: false,
            on_failure: common.on_failure,
            secret_header: None,
            idempotency_header: "idempotency-key".to_owned(),
            max_in_flight: common.max_in_flight,
            circuit: common.circuit,
            max_payload_bytes: common.max_payload_bytes,
            max_response_bytes: 1024 * 1024,
            tls: ExportTls::default(),
            proxy: ExportProxy::default(),
            body: None,
            takes_any_url: false,
        }
    }

    /// `PUT`s to `url`.
    pub fn put(url: impl Into<String>) -> Self {
        Self {
            method: "PUT".to_owned(),
            ..Self::post(url)
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With another retry policy.
    #[must_use]
    pub fn retry(mut self, policy: Policy) -> Self {
        self.retry = policy;
        self
    }

    /// With an order key.
    #[must_use]
    pub fn order_key(mut self, key: impl Into<String>) -> Self {
        self.order_key = Some(key.into());
        self
    }

    /// With another limit for one attempt.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With a header whose value is a secret.
    #[must_use]
    pub fn secret_header(mut self, header: SecretHeader) -> Self {
        self.secret_header = Some(header);
        self
    }

    /// With another treatment of records that could not be sent.
    #[must_use]
    pub const fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// Whether the unchanged record goes to the next stage, instead of the body of the answer.
    #[must_use]
    pub const fn return_input(mut self, return_input: bool) -> Self {
        self.return_input = return_input;
        self
    }

    /// Why every record will fail with the URL, if it is taken nevertheless.
    #[cfg(feature = "edgex")]
    pub(crate) fn url_fault(&self) -> Option<String> {
        let fault = Target::parse(&self.url).err();
        fault.filter(|_| Target::any(&self.url).is_ok())
    }

    /// Checks the settings; `fault` gets the field and the fault.
    pub(crate) fn check(self, fault: impl Fn(&str, &dyn fmt::Display)) -> Option<StageKind> {
        let faults = std::cell::Cell::new(0);
        let fault = |field: &str, text: &dyn fmt::Display| {
            faults.set(faults.get() + 1);
            fault(field, text);
        };
        let url = match self.takes_any_url {
            true => Target::any(&self.url),
            false => Target::parse(&self.url),
        };
        let url = url.map_err(|text| fault("url", &text));
        let secret = self.secret_header.as_ref();
        let secret = secret.and_then(|header| header.check(&fault));
        let common = self.common();
        if self.on_failure == OnFailure::Continue && !self.return_input {
            fault(
                "returnInput",
                &"must be true where records go on after a failure: the next stage gets the same in both cases",
            );
        }
        let method = method(&self.method).map_err(|text| fault("method", &text));
        let headers = headers(&self.headers, &fault);
        let idempotency = match self.idempotency_header.as_str() {
            "" => None,
            name => match header_name(name) {
                Ok(name) => Some(name),
                Err(text) => {
                    fault("idempotencyHeader", &text);
                    None
                }
            },
        };
        if self.connect_timeout.is_zero() {
            fault("connectTimeout", &"must not be zero");
        }
        let mut config = HttpClientConfig {
            connect_timeout: self.connect_timeout,
            max_idle_per_host: self.max_in_flight.get(),
            max_idle: self.max_in_flight.get().max(MAX_IDLE),
            max_response_body_bytes: self.max_response_bytes,
            decompress: false,
            ..HttpClientConfig::default()
        };
        self.tls.read_into(&mut config, &fault);
        let proxies = self.proxy.check(&fault);
        config.proxies = proxies.clone().unwrap_or_default();
        let client = HttpClient::new(config.clone()).map_err(|err| fault("", &err));
        let whole = url.ok().zip(method.ok()).zip(client.ok());
        let channel = whole.map(|((url, method), client)| {
            Channel::Http(Box::new(Requests {
                url,
                method,
                head: requests::head(&headers, idempotency.as_ref()),
                headers,
                idempotency,
                client,
                config,
                has_own_proxy: proxies.is_some(),
                body: self.body,
                return_input: self.return_input || self.on_failure == OnFailure::Isolate,
                secret,
                secrets: Secrets::default(),
            }))
        });
        let exporter = common.check(channel, &fault)?;
        (faults.get() == 0).then(|| StageKind::Export(Arc::new(exporter)))
    }

    fn common(&self) -> Common {
        Common {
            timeout: self.timeout,
            retry: self.retry.clone(),
            order_key: self.order_key.clone(),
            on_failure: self.on_failure,
            max_in_flight: self.max_in_flight,
            circuit: self.circuit,
            max_payload_bytes: self.max_payload_bytes,
        }
    }
}

/// The names of headers, never their values.
impl fmt::Debug for HttpExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| (name, "***")).collect();
        f.debug_struct("HttpExport")
            .field("url", &redacted(&self.url))
            .field("method", &self.method)
            .field("headers", &headers)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("order_key", &self.order_key)
            .finish_non_exhaustive()
    }
}

pub(super) fn read(node: At<'_>) -> Option<StageKind> {
    let place = node.clone();
    let fields = node.fields()?.elsewhere(IN_RETRY);
    let mut export = HttpExport::post("");
    let mut common = export.common();
    let url = fields.required("url").and_then(|node| node.text());
    let whole = [
        url.is_some(),
        fields.set("method", &mut export.method, At::text),
        fields.set("headers", &mut export.headers, header_fields),
        fields.set("connectTimeout", &mut export.connect_timeout, At::span),
        common.read(&place, &fields),
        fields.set("returnInput", &mut export.return_input, At::boolean),
        fields.set(
            "secretHeader",
            &mut export.secret_header,
            secret_header::read,
        ),
        fields.set(
            "idempotencyHeader",
            &mut export.idempotency_header,
            At::text,
        ),
        fields.set("maxResponseBytes", &mut export.max_response_bytes, |node| {
            read_size(node).map(NonZeroUsize::get)
        }),
        fields.set("tls", &mut export.tls, connection::read_tls),
        fields.set("proxy", &mut export.proxy, connection::read_proxy),
    ];
    let isolates = common.on_failure == OnFailure::Isolate;
    if isolates && fields.has("returnInput") && !export.return_input {
        place.fault_at(
            "returnInput",
            "must not be false with `onFailure: isolate`: the next stage gets the record before there is an answer",
        );
    }
    fields.finish();
    (export.timeout, export.retry) = (common.timeout, common.retry);
    (export.order_key, export.on_failure) = (common.order_key, common.on_failure);
    (export.max_in_flight, export.circuit) = (common.max_in_flight, common.circuit);
    export.max_payload_bytes = common.max_payload_bytes;
    // The settings that could be read are checked even if others could not, so that all faults are reported at once. A missing URL
    // has already been reported.
    export.url = url.map_or_else(|| "http://missing".to_owned(), |url| url.trim().to_owned());
    let checked = export.check(|field, text| place.fault_at(field, text));
    checked.filter(|_| !whole.contains(&false))
}

fn header_fields(node: &At<'_>) -> Option<Vec<(String, String)>> {
    let map = node.entries("a mapping of header names and texts")?;
    let read: Vec<_> = map
        .into_iter()
        .map(|(name, place)| {
            let text = place.text()?;
            if let Some(placeholder) = placeholder(&text) {
                place.warn(Complaint::with_remedy(
                    format!("`{placeholder}` is sent literally: placeholders are replaced in `url` and in keys only"),
                    "put the value into the URL or into the document",
                ));
            }
            Some((name.to_owned(), text))
        })
        .collect();
    read.into_iter().collect()
}

/// The first part of a text that would be a placeholder in a template.
fn placeholder(text: &str) -> Option<&str> {
    let from = text.get(text.find('{')?..)?;
    let found = from.get(..=from.find('}')?)?;
    let name = found.trim_start_matches('{').trim_end_matches('}');
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!name.is_empty() && name.chars().all(is_name)).then_some(found)
}

fn method(text: &str) -> Result<Method, String> {
    match text.to_ascii_uppercase().as_str() {
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        _ => Err(format!(
            "`{text}` is not a method that can be used here; known: POST, PUT, PATCH, DELETE"
        )),
    }
}

fn headers(given: &[(String, String)], fault: &impl Fn(&str, &dyn fmt::Display)) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (written, text) in given {
        let key = format!("headers.{written}");
        let name = header_name(written).map_err(|text| fault(&key, &text));
        let value = header_value(text).map_err(|text| fault(&key, &text));
        let (Ok(name), Ok(mut value)) = (name, value) else {
            continue;
        };
        if name == HOST && Authority::try_from(text.as_str()).is_err() {
            fault(&key, &"is not a host, such as `example.org:8080`");
        }
        value.set_sensitive(true);
        if headers.insert(name, value).is_some() {
            fault(
                &key,
                &"is given twice: names are compared without regard to case",
            );
        }
    }
    headers
}

/// The name of a header that a setting may choose.
fn header_name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(text).map_err(|_| {
        format!(
            "`{}` is not the name of a header: letters, digits and `-` make one",
            text.escape_debug()
        )
    })?;
    let reason = if name == CONTENT_ENCODING {
        // The stages `gzip` and `zlib` set it, and a record that came compressed has it.
        Some("says how the body is compressed, which the record knows")
    } else {
        framing::reserved(&name)
    };
    reason.map_or(Ok(name), |reason| Err(format!("can't be set: it {reason}")))
}

/// The value of a header; never shown, since it may be a secret.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(text).map_err(|_| {
        let is_wrong = |c: char| c.is_control() && c != '\t';
        let at = text.chars().position(is_wrong).map_or(0, |at| at + 1);
        let what = match text.chars().find(|c| is_wrong(*c)) {
            Some('\r' | '\n') => "a line end",
            _ => "a control character",
        };
        format!("its value has {what} at position {at}, which would begin another header")
    })
}
