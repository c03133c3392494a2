//! The written form of cases.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value as Json;

use super::{Case, Expected, PipelineTests};
use crate::document::{At, Fields, Value, scalar};

/// Bytes, as they are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Payload {
    /// A JSON document.
    Document(Json),
    /// Text, or bytes that were written as `base64`.
    Bytes(Bytes),
}

/// What a destination does with a request.
#[derive(Debug, Clone)]
pub(super) enum DestinationAnswer {
    /// It answers.
    Status {
        status: u16,
        headers: Vec<(String, String)>,
        body: Payload,
    },
    /// It cannot be reached.
    Down,
    /// It does not answer in time.
    Timeout,
}

/// An expected request.
#[derive(Debug, Default)]
pub(super) struct Export {
    pub(super) method: Option<String>,
    pub(super) url: Option<String>,
    pub(super) body: Option<Payload>,
    pub(super) headers: Vec<(String, String)>,
}

/// An expected dead letter.
#[derive(Debug, Default)]
pub(super) struct Letter {
    pub(super) stage: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) error: Option<String>,
    pub(super) payload: Option<Payload>,
}

impl PipelineTests {
    pub(super) fn of(at: At<'_>) -> Option<Self> {
        let fields = at.fields()?;
        let secrets = fields.get("secrets").map_or(Some(Vec::new()), |at| {
            let entries = at.entries("a mapping of names of secrets")?;
            let read = entries.iter().map(|(name, at)| {
                let texts = texts(at, "a mapping of keys and texts")?;
                Some(((*name).to_owned(), texts))
            });
            read.collect()
        });
        let cases = fields.required("cases").and_then(|at| {
            let items = at.clone().items()?;
            if items.is_empty() {
                return at.fault("there are no cases: write `[{name, input, …}]`");
            }
            let read: Vec<Option<Case>> = items.into_iter().map(case).collect();
            read.into_iter().collect::<Option<Vec<Case>>>()
        });
        fields.finish();
        Some(Self {
            secrets: secrets?,
            cases: cases?,
        })
    }
}

fn case(at: At<'_>) -> Option<Case> {
    let location = at.node.location.clone();
    let fields = at.fields()?;
    let name = fields.required("name").and_then(|at| at.text());
    let (mut to, mut content_type, mut lasts) = (None, None, Duration::ZERO);
    let (mut values, mut answers) = (Vec::new(), Vec::new());
    let mut expected = Expected::default();
    let inputs = inputs(&fields);
    let whole = [
        fields.set("to", &mut to, |at| at.text().map(Some)),
        fields.set("contentType", &mut content_type, |at| at.text().map(Some)),
        fields.set("values", &mut values, |at| {
            texts(at, "a mapping of names and texts")
        }),
        fields.set("answers", &mut answers, all_answers),
        fields.set("for", &mut lasts, At::span),
        fields.set("exports", &mut expected.exports, |at| {
            list(at, export).map(Some)
        }),
        set_outputs(&fields, &mut expected.outputs),
        fields.set("response", &mut expected.response, |at| {
            Some(Some(payload(at)))
        }),
        fields.set("dropped", &mut expected.is_dropped, At::boolean),
        fields.set("waiting", &mut expected.waiting, |at| {
            at.read(scalar::whole)
                .and_then(|count| usize::try_from(count).ok())
        }),
        fields.set("deadLetters", &mut expected.letters, |at| list(at, letter)),
    ];
    let says_nothing = ["exports", "output", "outputs", "outputBase64", "response"];
    let says_nothing = says_nothing.iter().all(|key| !fields.has(key));
    let others = ["dropped", "waiting", "deadLetters"];
    if says_nothing && others.iter().all(|key| !fields.has(key)) {
        fields.fault(
            "",
            "expects nothing: add `exports`, `output`, `response`, `dropped`, `waiting` or `deadLetters`",
        );
        fields.finish();
        return None;
    }
    fields.finish();
    (!whole.contains(&false)).then_some(())?;
    Some(Case {
        name: name?,
        location,
        to,
        inputs: inputs?,
        content_type,
        values,
        answers,
        lasts,
        expected,
    })
}

fn inputs(fields: &Fields<'_>) -> Option<Vec<Payload>> {
    let one = fields.get("input").map(|at| vec![payload(&at)]);
    let encoded = fields.get("inputBase64").map(|at| decoded(&at));
    let several = fields
        .get("inputs")
        .map(|at| list(&at, |at| Some(payload(at))));
    match (one, encoded, several) {
        (Some(one), None, None) => Some(one),
        (None, Some(encoded), None) => Some(vec![encoded?]),
        (None, None, Some(several)) => several,
        (None, None, None) => {
            fields.fault("input", "is required and missing");
            None
        }
        _ => {
            fields.fault(
                "",
                "has more than one of `input`, `inputs` and `inputBase64`",
            );
            None
        }
    }
}

/// False if they have faults.
fn set_outputs(fields: &Fields<'_>, outputs: &mut Option<Vec<Payload>>) -> bool {
    let whole = [
        fields.set("output", outputs, |at| Some(Some(vec![payload(at)]))),
        fields.set("outputBase64", outputs, |at| {
            decoded(at).map(|one| Some(vec![one]))
        }),
        fields.set("outputs", outputs, |at| {
            list(at, |at| Some(payload(at))).map(Some)
        }),
    ];
    !whole.contains(&false)
}

fn list<T>(at: &At<'_>, read: impl Fn(&At<'_>) -> Option<T>) -> Option<Vec<T>> {
    let items = at.clone().items()?;
    let read: Vec<Option<T>> = items.iter().map(read).collect();
    read.into_iter().collect()
}

/// Text is text; everything else is JSON.
fn payload(at: &At<'_>) -> Payload {
    match &at.node.value {
        Value::Text(text) => Payload::Bytes(text.clone().into()),
        _ => Payload::Document(at.node.to_json()),
    }
}

fn decoded(at: &At<'_>) -> Option<Payload> {
    at.parsed(|text| {
        let text: String = text.split_whitespace().collect();
        STANDARD
            .decode(text)
            .map(|bytes| Payload::Bytes(bytes.into()))
    })
}

fn texts(at: &At<'_>, what: &str) -> Option<Vec<(String, String)>> {
    let entries = at.entries(what)?;
    let read = entries
        .iter()
        .map(|(name, at)| Some(((*name).to_owned(), at.text()?)));
    read.collect()
}

/// A list for all requests, or a mapping of the beginnings of URLs and lists.
fn all_answers(at: &At<'_>) -> Option<Vec<(String, Vec<DestinationAnswer>)>> {
    if !matches!(at.node.value, Value::Map(_)) {
        return Some(vec![(String::new(), list(at, answer)?)]);
    }
    let entries = at.entries("a list of answers, or a mapping of URLs and answers")?;
    let read = entries
        .iter()
        .map(|(url, at)| Some(((*url).to_owned(), list(at, answer)?)));
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

fn answer(at: &At<'_>) -> Option<DestinationAnswer> {
    let known = "a status such as 503, `down`, `timeout`, or {status, headers, body}";
    match &at.node.value {
        Value::Text(text) if text == "down" => Some(DestinationAnswer::Down),
        Value::Text(text) if text == "timeout" => Some(DestinationAnswer::Timeout),
        Value::Map(_) => {
            let fields = at.clone().fields()?;
            let (mut status, mut headers) = (Some(200), Vec::new());
            let mut body = Payload::Bytes(Bytes::new());
            let whole = [
                fields.set("status", &mut status, |at| status_of(at, known).map(Some)),
                fields.set("headers", &mut headers, |at| {
                    texts(at, "a mapping of header names and texts")
                }),
                fields.set("body", &mut body, |at| Some(payload(at))),
            ];
            fields.finish();
            (!whole.contains(&false)).then_some(DestinationAnswer::Status {
                status: status?,
                headers,
                body,
            })
        }
        _ => Some(DestinationAnswer::Status {
            status: status_of(at, known)?,
            headers: Vec::new(),
            body: Payload::Bytes(Bytes::new()),
        }),
    }
}

fn status_of(at: &At<'_>, known: &str) -> Option<u16> {
    let status = scalar::whole(at.node).ok();
    let status = status.and_then(|status| u16::try_from(status).ok());
    match status.filter(|status| (100..1000).contains(status)) {
        Some(status) => Some(status),
        None => at.fault(format_args!("is not an answer; write {known}")),
    }
}

fn export(at: &At<'_>) -> Option<Export> {
    let mut export = Export::default();
    let fields = at.clone().fields()?;
    let whole = [
        fields.set("method", &mut export.method, |at| at.text().map(Some)),
        fields.set("url", &mut export.url, |at| at.text().map(Some)),
        fields.set("body", &mut export.body, |at| Some(Some(payload(at)))),
        fields.set("bodyBase64", &mut export.body, |at| decoded(at).map(Some)),
        fields.set("headers", &mut export.headers, |at| {
            texts(at, "a mapping of header names and texts")
        }),
    ];
    fields.finish();
    (!whole.contains(&false)).then_some(export)
}

fn letter(at: &At<'_>) -> Option<Letter> {
    let mut letter = Letter::default();
    let fields = at.clone().fields()?;
    let whole = [
        fields.set("stage", &mut letter.stage, |at| at.text().map(Some)),
        fields.set("reason", &mut letter.reason, |at| at.text().map(Some)),
        fields.set("error", &mut letter.error, |at| at.text().map(Some)),
        fields.set("payload", &mut letter.payload, |at| Some(Some(payload(at)))),
    ];
    fields.finish();
    (!whole.contains(&false)).then_some(letter)
}
