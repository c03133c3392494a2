//! Compares what came of a case with what was expected.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use super::read::{Export, Letter, Payload};
use super::script::Request;
use super::{Expected, Played, PlayedLetter};

/// Longer texts are cut in messages.
const MAX_SHOWN: usize = 300;

impl Payload {
    pub(super) fn bytes(&self) -> Bytes {
        match self {
            Self::Document(document) => document.to_string().into(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }

    /// Whether the bytes are these. JSON documents are compared as such.
    fn is(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Document(expected) => {
                let found: Result<Value, _> = serde_json::from_slice(bytes);
                found.is_ok_and(|found| found == *expected)
            }
            Self::Bytes(expected) => *expected == bytes,
        }
    }
}

/// Bytes for messages: text, or how many there are.
fn shown(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if text.chars().nth(MAX_SHOWN).is_some() => {
            let start: String = text.chars().take(MAX_SHOWN).collect();
            format!("`{start}…`")
        }
        Ok(text) => format!("`{text}`"),
        Err(_) => format!("{} bytes that are not text", bytes.len()),
    }
}

/// What is not as expected.
pub(super) fn compare(expected: &Expected, played: &Played) -> Vec<String> {
    let mut mismatches = Vec::new();
    if let Some(exports) = &expected.exports {
        compare_exports(exports, &played.requests, &mut mismatches);
    }
    if let Some(outputs) = &expected.outputs {
        compare_outputs(outputs, &played.outputs, &mut mismatches);
    }
    if let Some(response) = &expected.response {
        match played.responses.as_slice() {
            [] => mismatches.push("response: the pipeline has not answered".to_owned()),
            [(_, found), ..] if response.is(found) => {}
            [(_, found), ..] => mismatches.push(differ("response", response, found)),
        }
    }
    if expected.is_dropped {
        let requests = played.requests.iter().map(ToString::to_string);
        let outputs = played
            .outputs
            .iter()
            .map(|output| format!("output {}", shown(output)));
        let found: Vec<String> = requests.chain(outputs).collect();
        if !found.is_empty() {
            mismatches.push(format!("dropped: the record went on: {}", found.join(", ")));
        }
    }
    if played.waiting.len() != expected.waiting {
        let stages = match played.waiting.as_slice() {
            [] => String::new(),
            stages => format!(", at {}", stages.join(", ")),
        };
        mismatches.push(format!(
            "waiting: expected {}, found {}{stages}",
            expected.waiting,
            played.waiting.len()
        ));
    }
    compare_letters(&expected.letters, &played.letters, &mut mismatches);
    mismatches
}

fn compare_exports(expected: &[Export], found: &[Request], mismatches: &mut Vec<String>) {
    if expected.len() != found.len() {
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        mismatches.push(format!(
            "exports: expected {}, found {}: {}",
            expected.len(),
            found.len(),
            shown.join(", ")
        ));
        return;
    }
    for (n, (export, request)) in expected.iter().zip(found).enumerate() {
        let mut differs = |what: &str, wanted: &str, found: &str| {
            if wanted != found {
                mismatches.push(format!(
                    "exports[{n}].{what}: expected `{wanted}`, found `{found}`"
                ));
            }
        };
        if let Some(method) = &export.method {
            differs("method", &method.to_ascii_uppercase(), &request.method);
        }
        if let Some(url) = &export.url {
            differs("url", url, &request.url);
        }
        for (name, wanted) in &export.headers {
            let value = request.headers.get(name.as_str());
            let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            differs(
                &format!("headers.{name}"),
                wanted,
                value.as_deref().unwrap_or("nothing"),
            );
        }
        if let Some(body) = export.body.as_ref().filter(|body| !body.is(&request.body)) {
            mismatches.push(differ(&format!("exports[{n}].body"), body, &request.body));
        }
    }
}

fn compare_outputs(expected: &[Payload], found: &[Bytes], mismatches: &mut Vec<String>) {
    if expected.len() != found.len() {
        let shown: Vec<String> = found.iter().map(|output| shown(output)).collect();
        mismatches.push(format!(
            "output: expected {}, found {}: {}",
            expected.len(),
            found.len(),
            shown.join(", ")
        ));
        return;
    }
    for (n, (output, found)) in expected.iter().zip(found).enumerate() {
        if !output.is(found) {
            mismatches.push(differ(&format!("outputs[{n}]"), output, found));
        }
    }
}

fn compare_letters(expected: &[Letter], found: &[PlayedLetter], mismatches: &mut Vec<String>) {
    let mut left: Vec<&PlayedLetter> = found.iter().collect();
    for letter in expected {
        match left.iter().position(|found| letter.is(found)) {
            Some(at) => drop(left.remove(at)),
            None => {
                let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
                let shown = match shown.as_slice() {
                    [] => "there is none".to_owned(),
                    shown => format!("found: {}", shown.join(", ")),
                };
                mismatches.push(format!("deadLetters: {letter} is missing; {shown}"));
                return;
            }
        }
    }
    let unexpected = left.iter();
    mismatches.extend(unexpected.map(|letter| format!("deadLetters: {letter} is not expected")));
}

fn differ(what: &str, expected: &Payload, found: &[u8]) -> String {
    format!(
        "{what}: expected {}, found {}",
        shown(&expected.bytes()),
        shown(found)
    )
}

impl Letter {
    fn is(&self, found: &PlayedLetter) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        let error = self
            .error
            .as_deref()
            .is_none_or(|error| found.error.contains(error));
        let payload = self
            .payload
            .as_ref()
            .is_none_or(|payload| payload.is(&found.payload));
        is(&self.stage, &found.stage) && is(&self.reason, &found.reason) && error && payload
    }
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = "any";
        let stage = self.stage.as_deref().unwrap_or(any);
        let reason = self.reason.as_deref().unwrap_or(any);
        write!(f, "one of stage `{stage}` with reason `{reason}`")?;
        match &self.error {
            Some(error) => write!(f, " and error `{error}`"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PlayedLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "one of stage `{}` with reason `{}`: {}",
            self.stage, self.reason, self.error
        )
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.url, shown(&self.body))
    }
}
