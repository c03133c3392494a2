//! A value on the command line: what a message or a state holds.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use http::HeaderValue;
use stateful_functions::TypeName;
use stateful_functions::transport::http::client::HttpRequest;

use crate::input;

/// The admin API takes no larger ones.
const MAX_VALUE_BYTES: u64 = 8 << 20;

/// The value and its type.
#[derive(Debug, Args)]
pub(crate) struct ValueArgs {
    /// The value; `-` reads it from standard input. Text for the built-in types (`41`, `true`, `hello`).
    #[arg(
        value_name = "VALUE",
        allow_negative_numbers = true,
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    value: Option<String>,
    /// The value is what stands in this file.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The value's type, such as `io.statefun.types/int`.
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<TypeName>,
}

impl ValueArgs {
    /// Makes the value the body of `request`. Without a type it is text, or whatever `untyped` says.
    pub(crate) fn put_into(
        &self,
        request: &mut HttpRequest,
        untyped: Option<&'static str>,
    ) -> anyhow::Result<()> {
        if let Some(name) = &self.type_name {
            let value = HeaderValue::try_from(name.as_str())
                .context("the type cannot be sent as a header")?;
            request.headers.insert("statefun-type", value);
        } else if let Some(content_type) = untyped {
            request
                .headers
                .insert("content-type", HeaderValue::from_static(content_type));
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
