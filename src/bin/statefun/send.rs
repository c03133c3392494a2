//! `statefun send`: a message to a function.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use http::{HeaderValue, Method};

use crate::admin::{self, AddressArg, Admin, AdminArgs};
use crate::json::field;
use crate::output;
use crate::value::ValueArgs;
use stateful_functions::transport::http::client::HttpRequest;

/// Send a message to a function of a running runtime. It is on disk when the command ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun send statefun.samples/greeter/bob hello
  statefun send statefun.samples/counter/bob 5 --type io.statefun.types/int
  statefun send example/events/e1 '{\"temperature\": 21}'
  statefun send example/images/i1 --type example/png --file image.png
  statefun send statefun.samples/counter/bob 5 --key order-17    takes effect once, however often it is repeated")]
pub(crate) struct SendArgs {
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A message: its target and its value.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// The address of the function: `<namespace>/<type>/<id>`.
    #[arg(value_name = "ADDRESS")]
    target: AddressArg,
    #[command(flatten)]
    value: ValueArgs,
    /// An idempotency key: a repeat with the same key has no effect.
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
}

impl MessageArgs {
    /// The request that sends the message to `/api/<verb>/…`.
    pub(crate) fn request(&self, admin: &Admin, verb: &str) -> anyhow::Result<HttpRequest> {
        let path = format!("/api/{verb}/{}", self.target.path());
        let mut request = admin.request(Method::POST, &path)?;
        self.value.put_into_message(&mut request)?;
        if let Some(key) = &self.key {
            let key = HeaderValue::try_from(key).context("--key cannot be sent as a header")?;
            request.headers.insert("idempotency-key", key);
        }
        Ok(request)
    }
}

pub(crate) async fn run(args: SendArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = args.admin.connect()?;
    let request = args.message.request(&admin, "send")?;
    let answer = admin::read_json(&admin.send(request).await?.body)?;
    if as_json {
        output::json(&answer)?;
    } else {
        output::line(format_args!("accepted by {}", field(&answer, "address")))?;
    }
    Ok(ExitCode::SUCCESS)
}
