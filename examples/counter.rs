//! Adds up numbers, refuses those that exceed a limit, and forgets inactive ids: `cargo run --example counter`
//!
//! Shows a struct with dependencies as a function, a JSON type, an expiring value, and messages that fail without failing their batch.
//! It serves on 127.0.0.1:8000; `examples/greeter.rs` shows the module file with which a runtime calls it.
#![expect(clippy::print_stdout, reason = "it tells where it serves")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stateful_functions::transport::http;
use stateful_functions::{
    BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, OnFailure, SdkError,
    StatefulFunction, StatefulFunctions, Type, TypeName, ValueSpec, types,
};
use tokio::net::TcpListener;

const COUNTER: TypeName = TypeName::new("example/counter");
const REFUSED: TypeName = TypeName::new("example/refused");
pub(crate) const ADD: Type<Add> = types::json("example/add");
const TOTAL: ValueSpec<i64> =
    ValueSpec::new("total", types::LONG).expire_after_call(Duration::from_secs(30 * 24 * 3600));

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Add {
    pub(crate) amount: i64,
}

struct Counter {
    limit: i64,
}

impl StatefulFunction for Counter {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let amount = message.require(&ADD)?.amount;
        let total = context.storage().get(&TOTAL)?.unwrap_or(0) + amount;
        if total > self.limit {
            return Err(format!("{total} is above the limit of {}", self.limit).into());
        }
        context.storage().set(&TOTAL, total)?;
        context.reply(total);
        Ok(())
    }
}

pub(crate) fn functions() -> Result<StatefulFunctions, SdkError> {
    let counter = FunctionSpec::new(COUNTER, Counter { limit: 100 })
        .value(TOTAL)
        .on_failure(|failed| {
            let reason = format!("{}: {}", failed.address, failed.error);
            OnFailure::Emit(EgressMessageBuilder::to(REFUSED).value(reason))
        });
    StatefulFunctions::new().with(counter)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    println!("serving {COUNTER} on {}", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    http::serve(listener, functions()?)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
