//! Counts the logins of each user, and sends greetings to Kafka: `cargo run --example behind_statefun`
//!
//! The files in this folder run it behind Apache Flink StateFun (`module.yaml`, `Containerfile`, `compose.yaml`, `kubernetes.yaml`), or on the
//! embedded runtime (`embedded.yaml`); `docs/behind-statefun.md` explains them. It serves on 127.0.0.1:8000, or on the address in `LISTEN`.
#![expect(clippy::print_stdout, reason = "it tells where it serves")]

use std::time::Duration;

use stateful_functions::transport::http;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KafkaEgressMessage, Message, SdkError, StatefulFunctions,
    TypeName, ValueSpec, types,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const LOGINS: TypeName = TypeName::new("example/logins");
const GREETINGS: TypeName = TypeName::new("example/greetings");
/// Expires when a user has not logged in for 30 days.
const SEEN: ValueSpec<i64> =
    ValueSpec::new("seen", types::LONG).expire_after_write(Duration::from_secs(30 * 24 * 3600));

async fn greet(context: &mut Context, _login: Message) -> Result<(), BoxError> {
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
    context.storage().set(&SEEN, seen)?;
    let user = context.address().id().to_owned();
    let greeting = format!("welcome {user}, login {seen}");
    let record = KafkaEgressMessage::to(GREETINGS)
        .topic("greetings")
        .key(user)
        .value(greeting)?;
    context.send_egress(record);
    Ok(())
}

pub(crate) fn functions() -> Result<StatefulFunctions, SdkError> {
    StatefulFunctions::new().with(FunctionSpec::new(LOGINS, greet).value(SEEN))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(listen).await?;
    println!("serving {LOGINS} on {}", listener.local_addr()?);
    // The signal that stops a container.
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    http::serve(listener, functions()?)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
