//! Greets each person and counts their visits: `cargo run --example greeter`
//!
//! It serves on 127.0.0.1:8000. Any StateFun runtime can call it; its `module.yaml` says where the function is, and how messages arrive:
//!
//! ```yaml
//! kind: io.statefun.endpoints.v2/http
//! spec:
//!   functions: example/greeter
//!   urlPathTemplate: http://127.0.0.1:8000/
//! ---
//! kind: statefun.http.v1/ingress
//! spec:
//!   listen: 127.0.0.1:8090
//! ```
//!
//! With `statefun run` on that file, greet Bob: `curl -d hello 127.0.0.1:8090/call/example/greeter/bob -H content-type:text/plain`
#![expect(clippy::print_stdout, reason = "it tells where it serves")]

use stateful_functions::transport::http;
use stateful_functions::{
    BoxError, Context, FunctionSpec, Message, SdkError, StatefulFunctions, TypeName, ValueSpec,
    types,
};
use tokio::net::TcpListener;

const GREETER: TypeName = TypeName::new("example/greeter");
const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);

async fn greet(context: &mut Context, _message: Message) -> Result<(), BoxError> {
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
    context.storage().set(&SEEN, seen)?;
    let name = context.address().id();
    let greeting = match seen {
        1 => format!("Hello, {name}."),
        _ => format!("Hello again, {name}: visit {seen}."),
    };
    context.reply(greeting);
    Ok(())
}

pub(crate) fn functions() -> Result<StatefulFunctions, SdkError> {
    StatefulFunctions::new().with(FunctionSpec::new(GREETER, greet).value(SEEN))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    println!("serving {GREETER} on {}", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    http::serve(listener, functions()?)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}
