//! `io.statefun.endpoints.v2/http` and `io.statefun.endpoints.v1/http`: where functions are served.

use std::fmt;
use std::num::NonZeroU32;

use crate::document::{Complaint, Fields, Location, Node, Value};
use crate::sdk::TypeName;

use super::super::coerce;
use super::super::draft::{Binding, Draft};
use super::super::uri::{self, Uri};
use super::transport::{self, Lazy, LazyFaults};
use super::{Spec, Transport};

/// Stands for the name of the function in a URL.
const FUNCTION_NAME: &str = "{function.name}";

/// Functions that are served over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The location of the document's `spec`.
    pub location: Location,
    /// Which functions.
    pub functions: FunctionPattern,
    /// The URL, with `{function.name}` where the name of the function goes. See [`Endpoint::url`].
    pub url_template: String,
    /// Back-pressure begins when this many messages wait at an address; `None`: no limit. Default 1000.
    pub max_batch_requests: Option<NonZeroU32>,
    /// The transport.
    pub transport: Transport,
    /// What every call fails with: a fault that StateFun finds only then.
    pub lazy_fault: Option<String>,
}

impl Endpoint {
    /// Where `function` is called: as it is written, without a fragment.
    pub fn url(&self, function: &TypeName) -> String {
        let url = self.url_template.replace(FUNCTION_NAME, function.name());
        match url.split_once('#') {
            Some((before, _)) => before.to_owned(),
            None => url,
        }
    }

    /// Whether it is called over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        is_tls(Some(&self.url_template))
    }

    /// The UNIX socket in the template: its path up to the first part that ends in `.sock`.
    pub(in super::super) fn socket(&self) -> Option<&str> {
        let (scheme, rest) = self.url_template.split_once("://")?;
        let is_unix = scheme.to_ascii_lowercase().ends_with("+unix");
        let path = rest.split('?').next().filter(|_| is_unix)?;
        let end = path.match_indices(".sock").find_map(|(at, sock)| {
            let end = at + sock.len();
            let after = path.get(end..)?;
            (after.is_empty() || after.starts_with('/')).then_some(end)
        });
        path.get(..end?)
    }
}

/// Which functions an endpoint serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FunctionPattern {
    /// This one: `<namespace>/<name>`.
    Exact(TypeName),
    /// All of a namespace: `<namespace>/*`.
    Namespace(String),
}

impl FunctionPattern {
    fn binding(&self) -> Binding {
        match self {
            Self::Exact(name) => Binding::Function(name.clone()),
            Self::Namespace(namespace) => Binding::Namespace(namespace.clone()),
        }
    }

    /// The name of one of the functions.
    fn example(&self) -> &str {
        match self {
            Self::Exact(name) => name.name(),
            Self::Namespace(_) => "name",
        }
    }
}

impl fmt::Display for FunctionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Namespace(namespace) => write!(f, "{namespace}/*"),
        }
    }
}

pub(super) fn read_v2(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields.elsewhere(IN_TRANSPORT);
    let functions = fields.needed("functions", functions_of);
    let url_template = fields.needed("urlPathTemplate", url_of);
    let (transport, lazy) = transport::read_v2(&fields, is_tls(url_template.as_deref()));
    // Nothing is zero here: no bound.
    let max = fields.value("maxNumBatchRequests", coerce::int);
    let max = max.map_or(DEFAULT_MAX, Option::unwrap_or_default);
    let transport = (transport, lazy);
    bind(fields, functions, url_template, transport, max, draft);
}

/// Settings of a transport that are easily misplaced beside it.
const IN_TRANSPORT: &[(&str, &str)] = &[
    ("type", "into `transport`"),
    ("call", "into `transport`"),
    ("connect", "into `transport`"),
    ("timeouts", "into `transport`"),
    ("pool_size", "into `transport`"),
    ("pool_ttl", "into `transport`"),
    ("payload_max_bytes", "into `transport`"),
    ("trust_cacerts", "into `transport`"),
    ("client_cert", "into `transport`"),
    ("client_key", "into `transport`"),
    ("client_key_password", "into `transport`"),
];

pub(super) fn read_v1(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let text_of = |key: &'static str| {
        move |node: &Node| {
            coerce::only_text(node).map_err(|complaint| Complaint {
                message: format!("Wrong type for key /{key} not a string"),
                ..complaint
            })
        }
    };
    let functions = fields.needed("functions", |node| {
        let text = text_of("functions")(node)?;
        pattern(&text)
    });
    let url_template = fields.needed("urlPathTemplate", text_of("urlPathTemplate"));
    let transport = transport::read_v1(&fields);
    let max = fields.value("maxNumBatchRequests", |node| match &node.value {
        Value::Number(number) if !number.is_f64() => {
            let number = number.as_i64().and_then(|n| i32::try_from(n).ok());
            number.ok_or_else(|| NOT_AN_INTEGER.into())
        }
        _ => Err(NOT_AN_INTEGER.into()),
    });
    let max = max.unwrap_or(DEFAULT_MAX);
    bind(fields, functions, url_template, transport, max, draft);
}

/// Reads the number of messages at which back-pressure begins.
const DEFAULT_MAX: i32 = 1000;
const NOT_AN_INTEGER: &str = "Wrong type for key /maxNumBatchRequests not an integer";

/// A pattern, and what to say about how it is written.
type Functions = (FunctionPattern, Option<String>);

fn functions_of(node: &Node) -> Result<Functions, Complaint> {
    match &node.value {
        Value::Null => Err("missing key /functions: it has no value".into()),
        Value::List(_) | Value::Map(_) => Err(coerce::invalid_type_name(node.kind())),
        _ => pattern(&coerce::as_text(node)),
    }
}

/// The template; anything other than text cannot be called.
fn url_of(node: &Node) -> Result<String, Complaint> {
    match &node.value {
        Value::Null => Err("missing key /urlPathTemplate: it has no value".into()),
        Value::List(_) => Ok("[".to_owned()),
        Value::Map(_) => Ok("{".to_owned()),
        _ => Ok(coerce::as_text(node)),
    }
}

fn is_tls(url_template: Option<&str>) -> bool {
    let scheme = url_template.and_then(|url| url.get(..6));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

fn bind(
    fields: Fields<'_>,
    functions: Option<Functions>,
    url_template: Option<String>,
    (transport, lazy): (Transport, Lazy),
    max: i32,
    draft: &mut Draft<'_>,
) {
    let location = fields.location().clone();
    let key_at = fields.finding("functions", "");
    if let Some((_, Some(remark))) = &functions {
        fields.warn("functions", remark.as_str());
    }
    let (Some((functions, _)), Some(url_template)) = (functions, url_template) else {
        return fields.finish();
    };
    // StateFun reads the URL first, then the transport, then looks whether the one can be called by the other.
    let mut faults = LazyFaults::new("");
    let url = url_template.replace(FUNCTION_NAME, functions.example());
    let checked = match uri::parse(&url) {
        Ok(uri) => check_url(&url, &uri, &transport).map_err(|complaint| (false, complaint)),
        Err(text) => Err((true, unreadable(text, &url_template))),
    };
    let mut lazy = lazy;
    if let Err((comes_first, complaint)) = checked {
        faults.add(&fields, "urlPathTemplate", complaint);
        lazy = match comes_first {
            true => faults.first,
            false => lazy.or(faults.first),
        };
    } else if matches!(transport, Transport::Async(_)) {
        sent_otherwise(&url_template, &fields);
    }
    fields.finish();
    draft.bind(functions.binding(), key_at);
    draft.module.endpoints.push(Endpoint {
        location,
        functions,
        url_template,
        max_batch_requests: positive(max),
        transport,
        lazy_fault: lazy,
    });
}

/// What StateFun's async transport sends otherwise than it is written.
fn sent_otherwise(url_template: &str, fields: &Fields<'_>) {
    for (mark, text) in [
        (
            '%',
            "StateFun's async transport decodes `%` sequences of the URL before it sends them; here they are sent as written",
        ),
        (
            '#',
            "StateFun's async transport sends the fragment of the URL with it; here it is left out",
        ),
    ] {
        if url_template.contains(mark) {
            let finding = fields.finding("urlPathTemplate", text);
            fields.findings().not_for_flink(finding);
        }
    }
}

/// Zero and less: no bound.
fn positive(max: i32) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(max).unwrap_or_default())
}

fn pattern(text: &str) -> Result<Functions, Complaint> {
    let (name, remark) = coerce::type_name_of(text)?;
    let pattern = match (name.namespace().contains('*'), name.name()) {
        (false, "*") => FunctionPattern::Namespace(name.namespace().to_owned()),
        (false, plain) if !plain.contains('*') => FunctionPattern::Exact(name),
        _ => return Err("Invalid syntax for target functions. Only <namespace>/<name> or <namespace>/* are supported.".into()),
    };
    Ok((pattern, remark))
}

fn unreadable(text: String, template: &str) -> Complaint {
    match template.contains("${") {
        true => Complaint::with_remedy(text, "nothing replaces the placeholder"),
        false => text.into(),
    }
}

/// Whether the transport can call `url`.
fn check_url(url: &str, uri: &Uri, transport: &Transport) -> Result<(), Complaint> {
    let scheme = uri.scheme.as_deref().map(str::to_ascii_lowercase);
    match (scheme.as_deref(), transport) {
        (Some("http" | "https"), _) => check_server(url, uri, transport),
        (Some("http+unix" | "https+unix"), Transport::Async(_)) => Err(Complaint::with_remedy(
            "hostname can't be null",
            "UNIX sockets need transport io.statefun.transports.v1/okhttp",
        )),
        (Some("http+unix" | "https+unix"), Transport::OkHttp(_)) => {
            let is_socket = |part: &str| part.ends_with(".sock");
            match uri.rest.split(['/', '?']).any(is_socket) {
                true => Ok(()),
                false => Err("Unix Domain Socket path should contain a .sock file".into()),
            }
        }
        (scheme, _) => {
            let message = match scheme {
                Some(_) if uri.host.is_none() => format!("hostname can't be null in `{url}`"),
                Some(scheme) => format!("unknown scheme `{scheme}`"),
                None => format!("`{url}` has no scheme"),
            };
            Err(Complaint::with_remedy(
                message,
                "a URL begins with http://, https://, http+unix:// or https+unix://",
            ))
        }
    }
}

fn check_server(url: &str, uri: &Uri, transport: &Transport) -> Result<(), Complaint> {
    match (&uri.no_server, transport) {
        // The other transport takes names that Java does not, with `_` for instance.
        (Some(why), Transport::Async(_)) => return Err(why.as_str().into()),
        (None, _) if uri.host.is_none() => return Err("hostname can't be null".into()),
        _ => {}
    }
    let lowest = i64::from(matches!(transport, Transport::OkHttp(_)));
    if let Some(port) = uri.port.filter(|port| !(lowest..=65_535).contains(port)) {
        return Err(format!("port out of range:{port}").into());
    }
    let called = http::Uri::try_from(url).map_err(|err| format!("`{url}` is not a URL: {err}"))?;
    match called.host() {
        Some(host) if host.starts_with('.') || host.contains("..") => {
            Err(format!("the host of `{url}` has an empty part").into())
        }
        Some(host) if !host.is_empty() => Ok(()),
        _ => Err("hostname can't be null".into()),
    }
}
