//! The requests of the function server, as lines that can be compared.

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::protocol::reqreply::{Address, TypedValue};

use crate::support::scripted::{Seen, text};

/// The requests of one address, a line each. Those of other connections and times are the same.
pub(super) fn requests(seen: &[Seen]) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, request) in seen.iter().enumerate() {
        let before = number.checked_sub(1).and_then(|before| seen.get(before));
        let line = match before {
            Some(before) if before.raw == request.raw => "the same again".to_owned(),
            _ => format!(
                "[{}] {}",
                states(request).join(", "),
                messages(request).join(", ")
            ),
        };
        lines.push(line);
    }
    lines
}

/// The states that went with a request, as a set.
pub(super) fn states(request: &Seen) -> Vec<String> {
    let mut states: Vec<String> = request
        .batch
        .state
        .iter()
        .map(|state| {
            let value = state.state_value.as_ref();
            format!(
                "{}={}",
                state.state_name,
                value.map_or_else(|| "none".to_owned(), shown)
            )
        })
        .collect();
    states.sort_unstable();
    states
}

/// Its messages with their callers, in order.
pub(super) fn messages(request: &Seen) -> Vec<String> {
    let message = |invocation: &stateful_functions::protocol::reqreply::to_function::Invocation| {
        let caller = invocation.caller.clone();
        let caller = caller.map_or_else(String::new, |caller| {
            format!("{} says ", text(&Address::decode(caller).unwrap()))
        });
        let argument = invocation.argument.as_ref();
        caller + &argument.map_or_else(|| "nothing".to_owned(), shown)
    };
    request.batch.invocations.iter().map(message).collect()
}

/// The first line and the headers of a request, without what differs between two servers.
pub(super) fn head(request: &Seen) -> String {
    let line = |line: &str| match line.split_once(": ") {
        Some((name, _)) if name.eq_ignore_ascii_case("host") => format!("{name}: …\n"),
        Some((name, _)) if name.eq_ignore_ascii_case("content-length") => format!("{name}: …\n"),
        _ => format!("{line}\n"),
    };
    request.raw.head.lines().map(line).collect()
}

/// A value of type `test/text` that is as usual by its text, any other one by its bytes.
fn shown(raw: &Bytes) -> String {
    let value = TypedValue::decode(raw.clone()).unwrap();
    let is_usual =
        value.has_value && value.typename == "test/text" && value.encode_to_vec() == raw[..];
    match std::str::from_utf8(&value.value) {
        Ok(text) if is_usual => format!("`{text}`"),
        _ => format!("{raw:?}"),
    }
}
