//! `HTTPExport`, and the functions of version 1 that post and put.

use std::num::NonZeroUsize;

use serde_json::Value;

use super::super::config;
use super::super::stages::{HttpExport, OnFailure, SecretHeader, StageKind};
use super::parameters::Parameters;
use super::secret;
use crate::delivery::engine::Policy;
use crate::delivery::owner::Circuit;
use crate::document::{Complaint, Value as Tree};
use crate::time::span;

const JSON: &str = "application/json";

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let method = parameters.required("Method").and_then(|method| {
        let known = match method.trim().to_ascii_lowercase().as_str() {
            "post" => Ok("POST"),
            "put" => Ok("PUT"),
            _ => Err(format!("`{method}` is not a method; known: post, put")),
        };
        parameters.check("Method", known)
    });
    let mime_type = parameters.required("MimeType");
    export(parameters, method.unwrap_or("POST"), mime_type)
}

pub(super) fn post(parameters: Parameters<'_>) -> Option<StageKind> {
    let mime_type = parameters.required("MimeType");
    export(parameters, "POST", mime_type)
}

pub(super) fn put(parameters: Parameters<'_>) -> Option<StageKind> {
    let mime_type = parameters.required("MimeType");
    export(parameters, "PUT", mime_type)
}

pub(super) fn post_json(parameters: Parameters<'_>) -> Option<StageKind> {
    export(parameters, "POST", Some(JSON.to_owned()))
}

pub(super) fn put_json(parameters: Parameters<'_>) -> Option<StageKind> {
    export(parameters, "PUT", Some(JSON.to_owned()))
}

pub(super) fn post_xml(parameters: Parameters<'_>) -> Option<StageKind> {
    export(parameters, "POST", Some("application/xml".to_owned()))
}

pub(super) fn put_xml(parameters: Parameters<'_>) -> Option<StageKind> {
    export(parameters, "PUT", Some("application/xml".to_owned()))
}

fn export(
    parameters: Parameters<'_>,
    method: &str,
    mime_type: Option<String>,
) -> Option<StageKind> {
    let url = parameters.filled("Url").unwrap_or_default();
    let mut export = HttpExport::post(url);
    method.clone_into(&mut export.method);
    export.takes_any_url = true;
    if let (false, Some(fault)) = (export.url.is_empty(), export.url_fault()) {
        let remedy = "correct it: until then every record fails";
        parameters.warn_at("Url", Complaint::with_remedy(fault, remedy));
    }
    export.on_failure = on_failure(&parameters);
    export.return_input = parameters.boolean("ReturnInputData");
    let isolates = export.on_failure == OnFailure::Isolate;
    if isolates && parameters.has("ReturnInputData") && !export.return_input {
        parameters.fault(
            "ReturnInputData",
            "must not be false with `Isolate`: the next function gets the data before there is an answer",
        );
    }
    if export.on_failure == OnFailure::Continue && !export.return_input {
        parameters.fault(
            "ContinueOnSendError",
            "needs `ReturnInputData: true`: the next function gets the same data, whether it was sent or not",
        );
        export.return_input = true; // reported
    }
    set_headers(&parameters, &mut export, mime_type);
    for (name, target) in [
        ("Timeout", &mut export.timeout),
        ("ConnectTimeout", &mut export.connect_timeout),
    ] {
        if let Some(given) = parameters.parsed(name, above_zero) {
            *target = given;
        }
    }
    set_retry(&parameters, &mut export.retry, &mut export.circuit);
    if let Some(name) = parameters.text("IdempotencyHeader") {
        export.idempotency_header = name.trim().to_owned();
    }
    set_limits(
        &parameters,
        &mut export.max_payload_bytes,
        &mut export.max_in_flight,
    );
    export.order_key = order_key(&parameters);
    let stage = export.check(|field, text| parameters.fault(parameter_of(field), text));
    parameters.finish(stage)
}

/// The parameter that a setting of the export comes from.
fn parameter_of(field: &str) -> &'static str {
    match field {
        "url" => "Url",
        "timeout" => "Timeout",
        "connectTimeout" => "ConnectTimeout",
        "retry" => "Retry",
        "idempotencyHeader" => "IdempotencyHeader",
        "orderKey" => "OrderKey",
        "headers.content-type" => "MimeType",
        field if field.starts_with("headers.") => "HttpRequestHeaders",
        field if field.starts_with("secretHeader") => "HeaderName",
        _ => "Method",
    }
}

/// What happens to data that cannot be sent. `Isolate` implies `PersistOnError`.
pub(super) fn on_failure(parameters: &Parameters<'_>) -> OnFailure {
    let is_isolated = parameters.boolean("Isolate");
    let persists = parameters.boolean("PersistOnError") || is_isolated;
    let goes_on = parameters.boolean("ContinueOnSendError");
    if persists && goes_on {
        parameters.fault(
            "ContinueOnSendError",
            match is_isolated {
                true => "cannot be used with `Isolate`, which passes data on and keeps it, too",
                false => "cannot be used with `PersistOnError`: data that is passed on is not kept",
            },
        );
    }
    match (persists, goes_on) {
        (true, _) if is_isolated => OnFailure::Isolate,
        (true, _) => OnFailure::Retry,
        (false, true) => OnFailure::Continue,
        (false, false) => OnFailure::GiveUp,
    }
}

fn set_headers(parameters: &Parameters<'_>, export: &mut HttpExport, mime_type: Option<String>) {
    let mime_type = mime_type.unwrap_or_default();
    let mime_type = match mime_type.trim() {
        "" => JSON,
        given => given,
    };
    export.headers = vec![("content-type".to_owned(), mime_type.to_owned())];
    let headers = parameters.text("HttpRequestHeaders");
    for (name, text) in headers
        .filter(|text| !text.trim().is_empty())
        .and_then(|text| parameters.check("HttpRequestHeaders", headers_of(&text)))
        .unwrap_or_default()
    {
        // Later ones win, whatever the case of their names.
        export
            .headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        export.headers.push((name, text));
    }
    export.secret_header = secret_header(parameters);
}

/// A JSON object of texts.
fn headers_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = || "must be a JSON object of texts".to_owned();
    let Ok(Value::Object(headers)) = serde_json::from_str(text) else {
        return Err(wrong());
    };
    let header = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(wrong()),
    };
    headers.into_iter().map(header).collect()
}

/// The header with a secret: all of its three parameters, or none.
fn secret_header(parameters: &Parameters<'_>) -> Option<SecretHeader> {
    let header_name = match parameters.has("SecretHeaderName") {
        true => "SecretHeaderName",
        false => "HeaderName",
    };
    // In version 1 the key in the secret had the name of the header. `SecretName` came with version 2, and is the key there.
    let is_first = header_name == "SecretHeaderName"
        && !parameters.has("SecretName")
        && !parameters.has("SecretValueKey");
    let (name, key) = match is_first {
        true => ("SecretPath", header_name),
        false => secret::names(parameters),
    };
    let names = [header_name, name, key];
    let texts = names.map(|name| parameters.text(name).unwrap_or_default());
    let are_blank = texts.each_ref().map(|text| text.trim().is_empty());
    if are_blank == [true; 3] {
        return None;
    }
    let all = names.join(", ");
    for (name, _) in names.into_iter().zip(are_blank).filter(|(_, blank)| *blank) {
        parameters.fault(name, format_args!("is required: {all} are set together"));
    }
    let [header, secret, key] = texts.map(|text| text.trim().to_owned());
    (are_blank == [false; 3]).then(|| SecretHeader::new(header, secret, key))
}

/// The key in whose order data is sent; blank is none.
pub(super) fn order_key(parameters: &Parameters<'_>) -> Option<String> {
    let key = parameters.text("OrderKey");
    key.filter(|key| !key.trim().is_empty())
}

pub(super) fn above_zero(text: &str) -> Result<std::time::Duration, String> {
    let given = span::parse(text.trim()).map_err(|err| err.to_string())?;
    match given.is_zero() {
        true => Err("must not be zero".to_owned()),
        false => Ok(given),
    }
}

/// The limits of an export, as far as they are given.
pub(super) fn set_limits(
    parameters: &Parameters<'_>,
    max_payload_bytes: &mut usize,
    max_in_flight: &mut NonZeroUsize,
) {
    if let Some(most) = parameters.parsed("MaxPayload", config::bytes) {
        *max_payload_bytes = most.get();
    }
    if let Some(most) = parameters.parsed("MaxInFlight", count) {
        *max_in_flight = most;
    }
}

/// EdgeX's policy, or the one that is named, in the place of its name.
pub(super) fn set_retry(
    parameters: &Parameters<'_>,
    retry: &mut Policy,
    circuit: &mut Option<Circuit>,
) {
    *retry = Policy::edgex();
    let mut is_edgex = true;
    match parameters.given("Retry") {
        Some(at) if matches!(at.node.value, Tree::Map(_)) => {
            let named = parameters.read_with("Retry", |at| config::read_retry(at.clone()));
            if let Some(policy) = named {
                *retry = policy;
            }
            is_edgex = config::is_edgex(at.node);
        }
        Some(_) => {
            let own = parameters.parsed("Retry", |text| match text.trim() {
                "" | "edgex" => Ok(false),
                "default" => Ok(true),
                _ => Err(format!("`{text}` is not a policy; known: edgex, default")),
            });
            if own == Some(true) {
                (*retry, is_edgex) = (Policy::default(), false);
            }
        }
        None => {}
    }
    if is_edgex {
        *circuit = None; // EdgeX tries every item at its time
    }
}

fn count(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.trim().parse::<NonZeroUsize>();
    count.map_err(|_| format!("`{text}` is not a whole number of at least 1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{faults, kind, warnings};
    use super::*;
    use crate::document::{At, Findings, Node};

    fn with(more: &[(&str, &str)]) -> Value {
        let mut parameters =
            json!({"Method": "post", "Url": "http://h/{devicename}", "MimeType": ""});
        for (key, text) in more {
            parameters[*key] = json!(text);
        }
        json!({"HTTPExport": parameters})
    }

    #[test]
    fn pl_18_an_export_builds_with_every_set_of_parameters_without_a_conflict() {
        let triple = [
            ("HeaderName", "x-key"),
            ("SecretName", "s"),
            ("SecretValueKey", "k"),
        ];
        let all = [
            ("ContinueOnSendError", "true"),
            ("ReturnInputData", "T"),
            (
                "HttpRequestHeaders",
                r#"{"Content-Type": "a/b", "x-a": "1"}"#,
            ),
            ("Timeout", "1m"),
            ("OrderKey", "{devicename}"),
        ];
        for more in [
            vec![],
            vec![("PersistOnError", "true")],
            triple.to_vec(),
            all.to_vec(),
        ] {
            for method in ["post", "POST", "put", "PUT"] {
                let mut stage = with(&more);
                stage["HTTPExport"]["Method"] = json!(method);
                assert!(matches!(kind(&stage), StageKind::Export(_)));
            }
        }
        for stage in [
            json!({"HTTPPost": {"Url": "http://h", "MimeType": "a/b"}}),
            json!({"HTTPPutXML": {"Url": "http://h", "SecretHeaderName": "x-key", "SecretPath": "s"}}),
        ] {
            assert!(matches!(kind(&stage), StageKind::Export(_)));
        }
    }

    #[test]
    fn pl_18_missing_wrong_and_conflicting_parameters_are_faults() {
        for (more, key) in [
            (vec![("Method", "get")], "Method"),
            (vec![("PersistOnError", "junk")], "PersistOnError"),
            (vec![("ReturnInputData", "")], "ReturnInputData"),
            (
                vec![("HeaderName", "x"), ("SecretName", "s")],
                "SecretValueKey",
            ),
            (
                vec![("SecretName", "s"), ("SecretValueKey", "k")],
                "HeaderName",
            ),
            (vec![("HttpRequestHeaders", "[]")], "HttpRequestHeaders"),
            (
                vec![("HttpRequestHeaders", r#"{"a": 1}"#)],
                "HttpRequestHeaders",
            ),
            (vec![("Timeout", "0s")], "Timeout"),
            (vec![("Retry", "nope")], "Retry"),
            (
                vec![("Isolate", "true"), ("ReturnInputData", "false")],
                "ReturnInputData",
            ),
            (
                vec![
                    ("Isolate", "true"),
                    ("ReturnInputData", "true"),
                    ("ContinueOnSendError", "true"),
                ],
                "ContinueOnSendError",
            ),
            (vec![("ContinueOnSendError", "true")], "ContinueOnSendError"),
            (
                vec![
                    ("ContinueOnSendError", "1"),
                    ("ReturnInputData", "1"),
                    ("PersistOnError", "1"),
                ],
                "ContinueOnSendError",
            ),
        ] {
            let faults = faults(&with(&more));
            assert_eq!(faults.len(), 1, "{faults:?}");
            let place = format!("stages[0].HTTPExport.{key}: ");
            assert!(faults[0].starts_with(&place), "{faults:?}");
        }
        assert_eq!(faults(&json!({"HTTPExport": {}})).len(), 3);
    }

    #[test]
    fn an_isolated_export_keeps_its_data_and_returns_its_input() {
        let StageKind::Export(exporter) = kind(&with(&[("Isolate", "true")])) else {
            panic!("an export");
        };
        assert_eq!(exporter.on_failure, OnFailure::Isolate);
        assert!(exporter.is_isolated() && exporter.policy.wake);
    }

    #[test]
    fn a_secret_of_version_2_is_found_under_the_name_of_its_key() {
        let pair = json!({"HTTPPost": {
            "Url": "http://h", "MimeType": "a/b",
            "SecretHeaderName": "x-key", "SecretPath": "crm", "SecretName": "token",
        }});
        let found = warnings(&pair);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("as in version 2"), "{found:?}");
        let (tree, findings) = (Node::from_json(&pair["HTTPPost"]), Findings::default());
        let parameters = Parameters::read(At::new(&tree, "", &findings)).unwrap();
        let expected = SecretHeader::new("x-key", "crm", "token");
        assert_eq!(secret_header(&parameters), Some(expected));
    }

    #[test]
    fn a_url_with_an_impossible_port_is_a_fault() {
        for url in ["http://h:99999/{devicename}", "http://h:0"] {
            let stage = with(&[("Url", url)]);
            let found = faults(&stage);
            assert!(
                found.len() == 1 && found[0].starts_with("stages[0].HTTPExport.Url: "),
                "{found:?}"
            );
            assert_eq!(warnings(&stage).len(), 0, "{url}");
        }
    }

    #[test]
    fn an_invalid_url_gives_only_a_warning() {
        let stage = with(&[("Url", "<put your URL here>")]);
        assert!(matches!(kind(&stage), StageKind::Export(_)));
        assert_eq!(warnings(&stage).len(), 1);
        assert_eq!(warnings(&with(&[])).len(), 0);
    }
}
