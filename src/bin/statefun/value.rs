//! A value on the command line, for a message or a state.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use http::HeaderValue;
use stateful_functions::TypeName;
use stateful_functions::transport::http::client::HttpRequest;

use crate::input;

/// The maximum size for the admin API.
const MAX_VALUE_BYTES: u64 = 8 << 20;

/// The value and its type.
#[derive(Debug, Args)]
pub(crate) struct ValueArgs {
    /// The value: JSON if it is an object or a list, otherwise text (`hello`, `41`, `true`); `-` reads it from standard input.
    #[arg(
        value_name = "VALUE",
        allow_negative_numbers = true,
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    value: Option<String>,
    /// Read the value from this file.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The value's type, such as `io.statefun.types/int`.
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<TypeName>,
}

impl ValueArgs {
    /// Makes the value the body of `request`, for a function: without a type, JSON objects and lists are JSON, all else is text.
    pub(crate) fn put_into_message(&self, request: &mut HttpRequest) -> anyhow::Result<()> {
        self.put_into(request)?;
        if self.type_name.is_none() {
            let content_type = match is_json(&request.body) {
                true => HeaderValue::from_static("application/json"),
                false => HeaderValue::from_static("text/plain"),
            };
            request.headers.insert("content-type", content_type);
        }
        Ok(())
    }

    /// Makes the value the body of `request`; without a type the server uses the declared one.
    pub(crate) fn put_into(&self, request: &mut HttpRequest) -> anyhow::Result<()> {
        if let Some(name) = &self.type_name {
            let value = HeaderValue::try_from(name.as_str())
                .context("the type cannot be sent as a header")?;
            request.headers.insert("statefun-type", value);
        }
        request.body = self.bytes()?.into();
        Ok(())
    }

    fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.file, self.value.as_deref()) {
            (Some(path), _) => input::file(path, MAX_VALUE_BYTES)
                .with_context(|| format!("cannot read {}", path.display())),
            (None, Some("-")) => input::standard(MAX_VALUE_BYTES),
            (None, text) => Ok(text.unwrap_or_default().as_bytes().to_vec()),
        }
    }
}

/// Whether the bytes are a JSON object or list; a number, a word or a quoted text is text that is sent as it is.
fn is_json(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_lists_are_json_and_all_else_is_text() {
        for json in [r#"{"add": 1}"#, " [1]\n", "{}"] {
            assert!(is_json(json.as_bytes()), "{json}");
        }
        for text in ["hello", "41", "\"hello\"", "{torn", "[1] 2", ""] {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
    }
}
