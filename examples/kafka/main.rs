//! Counts the orders of each customer from topic to topic, exactly once, against a broker on this machine:
//! `cargo run --features kafka --example kafka -- localhost:9092`. Write records with keys to the topic `orders`, and read `counts`: `docs/kafka.md` has the commands. Kill it and run it again.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::collections::BTreeMap;

use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::Runtime;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KafkaEgressMessage, Message, StatefulFunctions, TypeName,
    ValueSpec, types,
};

const ORDERS: ValueSpec<i64> = ValueSpec::new("orders", types::LONG);
const COUNTS: TypeName = TypeName::new("example/counts");

/// Counts an order of the customer whose name is the id.
async fn count(context: &mut Context, _order: Message) -> Result<(), BoxError> {
    let orders = context.storage().get(&ORDERS)?.unwrap_or(0) + 1;
    context.storage().set(&ORDERS, orders)?;
    let customer = context.address().id().to_owned();
    let record = KafkaEgressMessage::to(COUNTS).topic("counts").key(customer);
    context.send_egress(record.value(orders.to_string())?);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut given = std::env::args().skip(1);
    let broker = given.next().unwrap_or("localhost:9092".to_owned());
    let data = given
        .next()
        .unwrap_or("target/kafka-example-data".to_owned());
    let file = ModuleFile {
        name: "examples/kafka/module.yaml",
        text: include_str!("module.yaml"),
    };
    let placeholders = Placeholders::Replaced(BTreeMap::from([("KAFKA".to_owned(), broker)]));
    let module = Module::parse(&[file], &placeholders)?;
    let counter = FunctionSpec::new(TypeName::new("example/orders-of-customer"), count);
    let runtime = Runtime::builder()
        .functions(StatefulFunctions::new().with(counter.value(ORDERS))?)
        .module(&module)?
        .data(data)
        .start()
        .await?;
    println!("counting orders; Ctrl-C ends it");
    tokio::signal::ctrl_c().await?;
    runtime.shutdown().await;
    Ok(())
}
