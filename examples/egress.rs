//! Sends each order to Kafka and to Kinesis: `cargo run --example egress`
//!
//! It serves on 127.0.0.1:8000. In a second terminal, `statefun run examples/egress.yaml` calls it and writes the records: to a Kafka broker on
//! port 9092 (the binary needs the feature `kafka`), and to a kinesalite on port 4567, in which `docs/kinesis.md` shows how to make a stream. Without them the records
//! wait, and `statefun queues` shows why. In a third terminal, send an order:
//!
//! ```sh
//! curl -d '{"item":"tea","pieces":2}' -H content-type:application/json 127.0.0.1:8090/send/example/orders/bob
//! ```
#![expect(clippy::print_stdout, reason = "it tells where it serves")]

use serde::{Deserialize, Serialize};
use stateful_functions::transport::http;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KafkaEgressMessage, KinesisEgressMessage, Message, SdkError,
    StatefulFunctions, Type, TypeName, types,
};
use tokio::net::TcpListener;

const ORDERS: TypeName = TypeName::new("example/orders");
const KAFKA: TypeName = TypeName::new("example/kafka");
const KINESIS: TypeName = TypeName::new("example/kinesis");
pub(crate) const ORDER: Type<Order> = types::json("example/order");

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) item: String,
    pub(crate) pieces: u32,
}

async fn pass_on(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let order = message.require(&ORDER)?;
    let customer = context.address().id().to_owned();
    let record = KafkaEgressMessage::to(KAFKA)
        .topic("orders")
        .key(customer.as_str())
        .value_as(&ORDER, &order)?;
    context.send_egress(record);
    let record = KinesisEgressMessage::to(KINESIS)
        .stream("pieces")
        .partition_key(customer)
        .value(order.pieces.to_be_bytes())?;
    context.send_egress(record);
    Ok(())
}

pub(crate) fn functions() -> Result<StatefulFunctions, SdkError> {
    StatefulFunctions::new().with(FunctionSpec::new(ORDERS, pass_on))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    println!("serving {ORDERS} on {}", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    http::serve(listener, functions()?)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
