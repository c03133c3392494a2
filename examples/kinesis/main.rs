//! Counts the clicks of each user from stream to stream: `cargo run --features kinesis --example kinesis -- http://localhost:4567` against a
//! kinesalite on this machine, or without an address against AWS, with its usual variables of the environment. Make the streams `clicks` and `counts` (`docs/kinesis.md` has
//! the commands), write records to `clicks`, read `counts`; kill it and run it again.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::{Environment, Runtime};
use stateful_functions::{
    BoxError, Context, FunctionSpec, KinesisEgressMessage, Message, StatefulFunctions, TypeName,
    ValueSpec, types,
};

const CLICKS: ValueSpec<i64> = ValueSpec::new("clicks", types::LONG);
const COUNTS: TypeName = TypeName::new("example/counts");

/// Counts a click of the user whose name is the id.
async fn count(context: &mut Context, _click: Message) -> Result<(), BoxError> {
    let clicks = context.storage().get(&CLICKS)?.unwrap_or(0) + 1;
    context.storage().set(&CLICKS, clicks)?;
    let user = context.address().id().to_owned();
    let record = KinesisEgressMessage::to(COUNTS)
        .stream("counts")
        .partition_key(user);
    context.send_egress(record.value(clicks.to_string())?);
    Ok(())
}

/// The environment of the process, or that of a server that takes any credentials.
fn environment() -> Environment {
    let local = std::env::args().nth(1).map(|address| {
        [
            ("AWS_ENDPOINT_URL", address),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    });
    std::env::vars()
        .chain(local.into_iter().flatten())
        .collect()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let data = std::env::args().nth(2);
    let data = data.unwrap_or("target/kinesis-example-data".to_owned());
    let file = ModuleFile {
        name: "examples/kinesis/module.yaml",
        text: include_str!("module.yaml"),
    };
    let module = Module::parse(&[file], &Placeholders::Literal)?;
    let counter = FunctionSpec::new(TypeName::new("example/clicks-of-user"), count);
    let runtime = Runtime::builder()
        .functions(StatefulFunctions::new().with(counter.value(CLICKS))?)
        .environment(environment())
        .module(&module)?
        .data(data)
        .start()
        .await?;
    println!("counting clicks; Ctrl-C ends it");
    tokio::signal::ctrl_c().await?;
    runtime.shutdown().await;
    Ok(())
}
