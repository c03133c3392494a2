//! `statefun call`: a message to a function, and its answer.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use http::HeaderValue;
use serde_json::{Value, json};

use crate::admin::AdminArgs;
use crate::output;
use crate::send::MessageArgs;

/// Send a message to a function of a running runtime, and print its answer.
///
/// Waits up to 30 s for the answer. The message stays accepted when none comes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun call statefun.samples/greeter/bob hello
  statefun call statefun.samples/counter/bob 5 --type io.statefun.types/int
  statefun call shop/cart/bob '{\"add\": {\"name\": \"tea\", \"cents\": 350}}'
  statefun call shop/cart/bob --type shop/command --file command.json
  statefun call statefun.samples/counter/bob 5 --key order-17    a repeat gets the first answer")]
pub(crate) struct CallArgs {
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(crate) async fn run(args: CallArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = args.admin.connect()?;
    let request = args.message.request(&admin, "call")?;
    let answer = admin.send(request).await?;
    let type_name = answer.headers.get("statefun-type");
    let type_name = type_name.map_or("", |name| HeaderValue::to_str(name).unwrap_or_default());
    let text = std::str::from_utf8(&answer.body);
    match (as_json, text) {
        (false, Ok(text)) => output::line(text)?,
        (false, Err(_)) => output::line(format_args!("base64 {}", STANDARD.encode(&answer.body)))?,
        (true, Ok(text)) => {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
            output::json(&json!({"typename": type_name, "value": value}))?;
        }
        (true, Err(_)) => {
            let base64 = STANDARD.encode(&answer.body);
            output::json(&json!({"typename": type_name, "base64": base64}))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
