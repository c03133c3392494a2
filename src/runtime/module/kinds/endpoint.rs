//! `io.statefun.endpoints.v2/http` and `io.statefun.endpoints.v1/http`: where functions are served.

use std::fmt;
use std::num::NonZeroU32;

use crate::sdk::TypeName;

use super::super::Draft;
use super::super::fields::{self, Fields};
use super::super::finding::{Complaint, Place};
use super::super::yaml::Value;
use super::transport::{self, Lazy, LazyFaults};
use super::{Spec, Transport};

/// Stands for the name of the function in a URL.
const FUNCTION_NAME: &str = "{function.name}";

/// Functions that are served over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// Where the document's `spec` stands.
    pub place: Place,
    /// Which functions.
    pub functions: FunctionPattern,
    /// The URL, with `{function.name}` where the name of the function goes. See [`Endpoint::url`].
    pub url_template: String,
    /// Back-pressure begins when an address has so many messages waiting; `None`: no bound. Default 1000.
    pub max_batch_requests: Option<NonZeroU32>,
    /// How it is called.
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
    /// StateFun's name of the binding.
    fn key(&self) -> String {
        match self {
            Self::Exact(name) => super::super::function_key(name),
            Self::Namespace(namespace) => namespace.clone(),
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
    let mut fields = spec
        .fields
        .when_missing("Error parsing a HttpFunctionEndpointSpec. ");
    let (transport, lazy) = transport::read_v2(&mut fields);
    let max = fields.optional("maxNumBatchRequests", fields::integer);
    read(fields, transport, lazy, max, draft);
}

pub(super) fn read_v1(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let mut fields = spec.fields;
    let (transport, lazy) = transport::read_v1(&mut fields);
    let max = fields.optional("maxNumBatchRequests", |node| match &node.value {
        Value::Number(number) if number.is_i64() => fields::integer(node),
        _ => Err("Wrong type for key /maxNumBatchRequests not an integer".into()),
    });
    read(fields, transport, lazy, max, draft);
}

fn read(
    mut fields: Fields<'_>,
    transport: Transport,
    lazy: Lazy,
    max_batch_requests: Option<i64>,
    draft: &mut Draft<'_>,
) {
    let functions = fields.required("functions", fields::filled_text);
    let functions = functions.and_then(|text| pattern(&text, &fields));
    let url_template = fields.required("urlPathTemplate", fields::filled_text);
    let place = fields.place().clone();
    let mut faults = LazyFaults::new("");
    if let Some(url) = &url_template {
        if let Err(complaint) = check_url(url, &transport) {
            faults.add(&fields, "urlPathTemplate", complaint);
        }
        if matches!(transport, Transport::Async(_)) && url.contains('%') {
            let text = "StateFun's async transport decodes `%` sequences of the URL before it sends them; here they are sent as written";
            let finding = fields.finding("urlPathTemplate", text);
            fields.findings().not_for_flink(finding);
        }
    }
    let key_at = fields.finding("functions", "");
    fields.finish();
    let (Some(functions), Some(url_template)) = (functions, url_template) else {
        return;
    };
    draft.bind(functions.key(), key_at);
    draft.module.endpoints.push(Endpoint {
        place,
        functions,
        url_template,
        max_batch_requests: positive(max_batch_requests.unwrap_or(1000)),
        transport,
        lazy_fault: lazy.or(faults.first),
    });
}

/// Zero and less: no bound.
fn positive(max: i64) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(max.max(0)).unwrap_or(u32::MAX))
}

/// StateFun's grammar, which takes trailing slashes.
fn pattern(text: &str, fields: &Fields<'_>) -> Option<FunctionPattern> {
    let trimmed = text.trim_end_matches('/');
    match pattern_of(trimmed) {
        Ok(pattern) => {
            if trimmed.len() < text.len() {
                let warning = format!("the slash at the end of `{text}` is ignored");
                let finding = fields.finding("functions", warning);
                fields.findings().warning(finding);
            }
            Some(pattern)
        }
        Err(complaint) => {
            fields.fault("functions", complaint);
            None
        }
    }
}

fn pattern_of(text: &str) -> Result<FunctionPattern, Complaint> {
    let malformed = |_| fields::invalid_type_name(text);
    let name: TypeName = text.parse().map_err(malformed)?;
    match (name.namespace().contains('*'), name.name()) {
        (false, "*") => Ok(FunctionPattern::Namespace(name.namespace().to_owned())),
        (false, plain) if !plain.contains('*') => Ok(FunctionPattern::Exact(name)),
        _ => Err("Invalid syntax for target functions. Only <namespace>/<name> or <namespace>/* are supported.".into()),
    }
}

fn check_url(template: &str, transport: &Transport) -> Result<(), Complaint> {
    let url = template.replace(FUNCTION_NAME, "name");
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(unknown_scheme(&url));
    };
    match scheme {
        "http" | "https" => http::Uri::try_from(url.as_str())
            .map_err(|err| format!("`{template}` is not a URL: {err}").into())
            .and_then(|uri| match uri.host() {
                Some(host) if !host.is_empty() => Ok(()),
                _ => Err("hostname can't be null".into()),
            }),
        "http+unix" | "https+unix" => match transport {
            Transport::Async(_) => Err(Complaint::with_remedy(
                "hostname can't be null",
                "UNIX sockets need transport io.statefun.transports.v1/okhttp",
            )),
            Transport::OkHttp(_) if rest.split('/').any(|part| part.ends_with(".sock")) => Ok(()),
            Transport::OkHttp(_) => Err("no part of the path ends in `.sock`".into()),
        },
        _ => Err(unknown_scheme(&url)),
    }
}

fn unknown_scheme(url: &str) -> Complaint {
    let scheme = url.split(':').next().unwrap_or_default();
    Complaint::with_remedy(
        format!("unknown scheme `{scheme}`"),
        "a URL begins with http://, https://, http+unix:// or https+unix://",
    )
}
