//! Sends a reminder after some time, unless it is cancelled: `cargo run --example delayed_reminder`
//!
//! A text sets the reminder, another one replaces it, `stop` cancels it. When it is due, the text is sent to an egress.
//! It serves on 127.0.0.1:8000. In a second terminal, `statefun run examples/delayed_reminder.yaml` calls it and prints the reminders; in a third:
//!
//! ```sh
//! curl -d tea -H content-type:text/plain 127.0.0.1:8090/send/example/reminder/bob
//! ```
#![expect(clippy::print_stdout, reason = "it tells where it serves")]

use std::time::Duration;

use stateful_functions::transport::http;
use stateful_functions::{
    BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder, SdkError,
    StatefulFunctions, Type, TypeName, ValueSpec, types,
};
use tokio::net::TcpListener;

const REMINDER: TypeName = TypeName::new("example/reminder");
const REMINDERS: TypeName = TypeName::new("example/reminders");
/// The message that the function sends to itself: the number of the reminder that is due.
pub(crate) const DUE: Type<i64> = Type::new(
    TypeName::new("example/due"),
    |number, out| {
        out.extend_from_slice(&number.to_be_bytes());
        Ok(())
    },
    |bytes| Ok(i64::from_be_bytes(bytes.try_into()?)),
);
const NUMBER: ValueSpec<i64> = ValueSpec::new("number", types::LONG);
const TEXT: ValueSpec<String> = ValueSpec::new("text", types::STRING);
const WAIT: Duration = Duration::from_secs(10);

async fn remind(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let number = context.storage().get(&NUMBER)?.unwrap_or(0);
    if message.is(&DUE) {
        // A message that is already due can no longer be cancelled; its number shows whether it is still valid.
        if message.require(&DUE)? == number
            && let Some(text) = context.storage().get(&TEXT)?
        {
            context.storage().remove(&TEXT)?;
            context.send_egress(EgressMessageBuilder::to(REMINDERS).value(text));
        }
        return Ok(());
    }

    let token = context.token("due");
    context.cancel_delayed_message(&token);
    let text = message.require(&types::STRING)?;
    if text == "stop" {
        context.storage().remove(&TEXT)?;
        return Ok(());
    }
    context.storage().set(&TEXT, text)?;
    context.storage().set(&NUMBER, number + 1)?;
    let due = MessageBuilder::to(context.address().clone()).value_as(&DUE, number + 1)?;
    context.send_after_with_token(WAIT, token, due)?;
    Ok(())
}

pub(crate) fn functions() -> Result<StatefulFunctions, SdkError> {
    let reminder = FunctionSpec::new(REMINDER, remind)
        .value(NUMBER)
        .value(TEXT);
    StatefulFunctions::new().with(reminder)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    println!("serving {REMINDER} on {}", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    http::serve(listener, functions()?)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
