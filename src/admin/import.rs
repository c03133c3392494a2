//! `POST /api/state/import`: values as an export wrote them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use prost::Message as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::params::Params;
use super::state::readable;
use super::{Admin, Change, Reply, ok};
use crate::json_words;
use crate::printable::counted;
use crate::protocol::reqreply::TypedValue;
use crate::runtime::core::{AddressKey, AdminChange};
use crate::runtime::request;
use crate::runtime::respond::{Refusal, refuse};
use crate::runtime::values;
use crate::sdk::TypeName;

/// Changes that are on their way to disk at the same time; they share its syncs.
const IN_FLIGHT: usize = 256;

/// Some programs write it at the beginning of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A line of an export.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    address: String,
    state: String,
    typename: String,
    base64: String,
    /// The same value, for people.
    value: Option<Value>,
}

/// What an export has in place of a value that could not be read.
#[derive(Deserialize)]
struct Lost {
    #[serde(default)]
    address: String,
    #[serde(default)]
    name: String,
    #[serde(rename = "damaged")]
    _why: String,
}

impl Line {
    fn value(&self) -> Result<(AddressKey, Bytes), String> {
        let mut parts = self.address.splitn(3, '/');
        let (Some(namespace), Some(name), Some(id)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(format!(
                "address `{}` is not <namespace>/<type>/<id>",
                self.address
            ));
        };
        TypeName::from_parts(namespace, name).map_err(|error| error.to_string())?;
        self.typename
            .parse::<TypeName>()
            .map_err(|error| error.to_string())?;
        if self.state.is_empty() {
            return Err("`state` is empty; it is the name of the value".to_owned());
        }
        let value = STANDARD
            .decode(&self.base64)
            .map_err(|error| format!("`base64` is not: {error}"))?;
        let value = Bytes::from(value);
        values::check(&self.typename, &value).map_err(|text| format!("`base64`: {text}"))?;
        let value = TypedValue {
            typename: self.typename.clone(),
            has_value: true,
            value,
        };
        self.must_show(&value)?;
        Ok((
            AddressKey::new(namespace, name, id),
            value.encode_to_vec().into(),
        ))
    }

    /// Who changes the readable form of a value, and not its bytes, would find the old value written.
    fn must_show(&self, bytes: &TypedValue) -> Result<(), String> {
        let Some(told) = &self.value else {
            return Ok(());
        };
        let shown = readable(bytes);
        if shown.as_ref().is_some_and(|shown| is_same(shown, told)) {
            return Ok(());
        }
        Err(match shown {
            Some(shown) => format!(
                "`value` is {}, and `base64` is {}; make both the same, or leave `value` out",
                short(told),
                short(&shown)
            ),
            None => format!(
                "`value` is {}, and the bytes of `base64` are neither JSON nor of a built-in type; leave `value` out",
                short(told)
            ),
        })
    }
}

/// Whether two values are the same; 1 and 1.0 are.
fn is_same(one: &Value, other: &Value) -> bool {
    let is_float = |value: &Value| value.is_f64();
    one == other
        || ((is_float(one) || is_float(other))
            && one.as_f64().is_some()
            && one.as_f64() == other.as_f64())
}

/// A value in a message, cut.
fn short(value: &Value) -> String {
    value.to_string().chars().take(SHOWN_CHARACTERS).collect()
}

/// A value is shown up to this length.
const SHOWN_CHARACTERS: usize = 40;

impl Admin {
    /// Writes all values of the body, or none if a line of it can't be read. A value that is refused later, because the function declared
    /// another type, is reported with its line; the others are written, and the same body may be sent again.
    pub(super) async fn import_states(
        &self,
        request: Request<Body>,
        params: &Params,
    ) -> Result<Reply, Refusal> {
        params.only(&["first_line"])?;
        let first = params.first_line()?;
        let body = request::body(request, &self.bodies).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            let text = "the body is empty; send lines of an export";
            return Err(refuse(StatusCode::BAD_REQUEST, "body.empty", text));
        }
        let changes = changes(&body, first)
            .map_err(|text| refuse(StatusCode::BAD_REQUEST, "import.malformed", &text))?;
        let count = changes.len();
        let made = stream::iter(changes).map(|(line, address, change)| async move {
            Ok::<_, Refusal>(match self.change(&address, change).await? {
                Change::Made => None,
                Change::Refused(text) => Some(format!("line {line}: {text}")),
            })
        });
        let made: Vec<_> = made.buffered(IN_FLIGHT).collect().await;
        let faults: Result<Vec<_>, Refusal> = made.into_iter().collect();
        let faults: Vec<String> = faults?.into_iter().flatten().collect();
        match faults.first() {
            None => Ok(ok(&json!({"imported": count}))),
            Some(first) => {
                let (refused, all) = (faults.len(), counted(count, "value"));
                let text = format!("{refused} of {all} refused; {first}");
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Err(refuse(status, "state.type_conflict", &text))
            }
        }
    }
}

/// What the lines say, of which the first has the number `first`; lines without anything are skipped.
fn changes(body: &Bytes, first: usize) -> Result<Vec<(usize, AddressKey, AdminChange)>, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("not UTF-8: {error}"))?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let lines = text.lines().enumerate();
    let lines = lines.map(|(n, line)| (first.saturating_add(n), line));
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let read = |(n, line): (usize, &str)| {
        if let Ok(Lost { address, name, .. }) = serde_json::from_str(line) {
            return Err(format!(
                "value `{name}` of {address} was damaged when it was exported; write it from another source, and remove this line"
            ));
        }
        if !line.trim_start().starts_with('{') {
            return Err("it is not a JSON object, as the lines of an export are".to_owned());
        }
        let line: Line = serde_json::from_str(line).map_err(|error| in_one_line(&error))?;
        let (address, value) = line.value()?;
        let change = AdminChange::SetState {
            address: address.clone(),
            name: line.state,
            value: Some(value),
        };
        Ok((n, address, change))
    };
    lines
        .map(|(n, line)| read((n, line)).map_err(|text: String| format!("line {n}: {text}")))
        .collect()
}

/// What is wrong, and where in the line: the number that the parser gives a line is that of no file.
fn in_one_line(error: &serde_json::Error) -> String {
    format!("{} (in column {})", json_words::what(error), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_1: &str = r#"{"address":"a/b/c","state":"total","typename":"io.statefun.types/long","base64":"CQEAAAAAAAAA"}"#;

    #[test]
    fn the_readable_form_of_a_value_says_the_same_as_its_bytes() {
        for value in ["1", "1.0", "null"] {
            let line = LONG_1.replace("\"total\"", &format!("\"total\", \"value\": {value}"));
            let read = changes(&Bytes::from(line), 1);
            assert_eq!(read.map(|changes| changes.len()), Ok(1), "{value}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_reported_with_its_number() {
        let good = r#"{"address":"a/b/c/d","state":"seen","typename":"x/y","base64":"AAE="}"#;
        assert_eq!(
            changes(&Bytes::from(format!("\u{feff}{good}")), 1)
                .unwrap()
                .len(),
            1
        );
        let read = |text: String| changes(&Bytes::from(text), 1);
        let found = read(format!("{good}\n\n{good}\n")).unwrap();
        let lines: Vec<usize> = found.iter().map(|(line, ..)| *line).collect();
        assert_eq!(lines, [1, 3]);
        assert_eq!(found[0].1.id(), "c/d");
        for (bad, word) in [
            (good.replace("a/b/c/d", "a/b"), "<namespace>/<type>/<id>"),
            (good.replace("AAE=", "?"), "base64"),
            (good.replace("x/y", "xy"), "xy"),
            (good.replace("\"seen\"", "\"\""), "`state` is empty"),
            (
                good.replace("x/y", "io.statefun.types/long"),
                "not a value of",
            ),
            ("{}".to_owned(), "field `address` is missing"),
            (
                "[\"a/b/c\", \"seen\", \"x/y\", \"AAE=\"]".to_owned(),
                "not a JSON object",
            ),
            (
                good.replace("\"seen\"", "\"seen\", \"extra\": 1"),
                "`extra`",
            ),
            (
                good.replace("\"seen\"", "\"seen\", \"value\": 7"),
                "leave `value` out",
            ),
            (
                LONG_1.replace("\"total\"", "\"total\", \"value\": 99"),
                "`value` is 99, and `base64` is 1",
            ),
            (
                r#"{"address":"a/b/c","name":"seen","damaged":"…"}"#.to_owned(),
                "value `seen` of a/b/c was damaged when it was exported",
            ),
        ] {
            let fault = read(format!("{good}\n{bad}")).unwrap_err();
            assert!(
                fault.starts_with("line 2: ") && fault.contains(word),
                "{fault}"
            );
        }
    }
}
