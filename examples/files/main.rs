//! Counts the orders of each customer from file to file, exactly once: `cargo run --features runtime --example files`. It writes some orders to
//! `target/files-example/orders.jsonl` and prints the counts; append further lines, kill it and run it again.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::Runtime;
use stateful_functions::{
    BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, StatefulFunctions, TypeName,
    ValueSpec, types,
};

const ORDERS: ValueSpec<i64> = ValueSpec::new("orders", types::LONG);
const COUNTS: TypeName = TypeName::new("example/counts");

/// Counts an order of the customer whose name is the id.
async fn count(context: &mut Context, _order: Message) -> Result<(), BoxError> {
    let orders = context.storage().get(&ORDERS)?.unwrap_or(0) + 1;
    context.storage().set(&ORDERS, orders)?;
    let line = format!("{}: {orders}", context.address().id());
    context.send_egress(EgressMessageBuilder::to(COUNTS).value(line));
    Ok(())
}

/// A runtime whose files are in `folder`.
async fn start(folder: &Path) -> Result<Runtime, BoxError> {
    let file = ModuleFile {
        name: "examples/files/module.yaml",
        text: include_str!("module.yaml"),
    };
    let name = folder.display().to_string();
    let placeholders = Placeholders::Replaced(BTreeMap::from([("FOLDER".to_owned(), name)]));
    let module = Module::parse(&[file], &placeholders)?;
    let counter = FunctionSpec::new(TypeName::new("example/orders-of-customer"), count);
    let runtime = Runtime::builder()
        .functions(StatefulFunctions::new().with(counter.value(ORDERS))?)
        .module(&module)?
        .data(folder.join("data"))
        .start()
        .await?;
    Ok(runtime)
}

/// Appends three orders, and returns all counts once they have arrived.
pub(crate) async fn run(folder: &Path) -> Result<String, BoxError> {
    fs::create_dir_all(folder)?;
    let (orders, counts) = (folder.join("orders.jsonl"), folder.join("counts.jsonl"));
    let mut file = OpenOptions::new().create(true).append(true).open(orders)?;
    for customer in ["bob", "amy", "bob"] {
        let target = format!("example/orders-of-customer/{customer}");
        let order = serde_json::json!({"target": target, "value": {"item": "tea"}});
        writeln!(file, "{order}")?;
    }
    let before = fs::read_to_string(&counts).unwrap_or_default();
    let runtime = start(folder).await?;
    let after = loop {
        let after = fs::read_to_string(&counts).unwrap_or_default();
        if after.lines().count() >= before.lines().count() + 3 {
            break after;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    runtime.shutdown().await;
    Ok(after)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    println!("{}", run(Path::new("target/files-example")).await?);
    Ok(())
}
