//! `statefun send`: a message to a function.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use http::{HeaderValue, Method};

use crate::admin::{self, AddressArg, AdminArgs};
use crate::json::field;
use crate::output;
use crate::value::ValueArgs;

/// Send a message to a function of a running runtime. It is on disk when the command ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun send statefun.samples/greeter/bob hello
  statefun send statefun.samples/counter/bob 5 --type io.statefun.types/int
  statefun send example/events/e1 --type statefun/json '{\"temperature\": 21}'
  statefun send example/images/i1 --type example/png --file image.png
  statefun send statefun.samples/counter/bob 5 --key order-17    once, however often it is called")]
pub(crate) struct SendArgs {
    /// Whom to: `<namespace>/<type>/<id>`.
    #[arg(value_name = "ADDRESS")]
    target: AddressArg,
    #[command(flatten)]
    value: ValueArgs,
    /// An idempotency key: a repeat with the same key does nothing.
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(crate) async fn run(args: SendArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = args.admin.connect()?;
    let mut request = admin.request(Method::POST, &format!("/api/send/{}", args.target.path()))?;
    args.value.put_into(&mut request, Some("text/plain"))?;
    if let Some(key) = &args.key {
        let key = HeaderValue::try_from(key).context("the key cannot be sent as a header")?;
        request.headers.insert("idempotency-key", key);
    }
    let answer = admin::read_json(&admin.send(request).await?.body)?;
    if as_json {
        output::json(&answer)?;
    } else {
        output::line(format_args!("accepted by {}", field(&answer, "address")))?;
    }
    Ok(ExitCode::SUCCESS)
}
