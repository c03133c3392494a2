//! A durable counter in your own process: `cargo run --features runtime --example embedded_runtime`. Run it more than once.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::time::Duration;

use stateful_functions::runtime::Runtime;
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, TypeName,
    ValueSpec, types,
};

const COUNTER: TypeName = TypeName::new("example/counter");
const TOTAL: ValueSpec<i64> = ValueSpec::new("total", types::LONG);

/// Adds up the numbers it gets, and answers with the total.
async fn count(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let total = context.storage().get(&TOTAL)?.unwrap_or(0) + message.require(&types::LONG)?;
    context.storage().set(&TOTAL, total)?;
    context.reply(total);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().init();
    let functions =
        StatefulFunctions::new().with(FunctionSpec::new(COUNTER, count).value(TOTAL))?;
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "target/embedded-runtime-data".to_owned());
    let runtime = Runtime::builder()
        .functions(functions)
        .data(folder)
        .start()
        .await?;

    let visits = Address::new(COUNTER, "visits");
    for _ in 0..3 {
        let answer = runtime
            .call(
                &MessageBuilder::to(visits.clone()).value(1_i64),
                Duration::from_secs(5),
            )
            .await?;
        println!("visits so far: {}", answer.require(&types::LONG)?);
    }
    runtime.shutdown().await;
    Ok(())
}
