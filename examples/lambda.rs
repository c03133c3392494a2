//! A counter as an AWS Lambda function, behind a function URL, an API Gateway or a load balancer.
//!
//! On this machine, [cargo-lambda](https://www.cargo-lambda.info) plays AWS: `cargo lambda watch --only-lambda-apis`. The function takes its work from there, in a second terminal:
//!
//! ```sh
//! export AWS_LAMBDA_FUNCTION_NAME=_ AWS_LAMBDA_FUNCTION_VERSION=1 AWS_LAMBDA_FUNCTION_MEMORY_SIZE=4096
//! export AWS_LAMBDA_RUNTIME_API=http://localhost:9000/.rt
//! cargo run --example lambda --no-default-features --features lambda
//! ```
//!
//! In a third, `statefun run examples/lambda.yaml` calls it. In a fourth, send a message and look at the count:
//!
//! ```sh
//! curl -d hello -H content-type:text/plain 127.0.0.1:8090/send/example/counter/bob
//! statefun state list example/counter
//! ```
//!
//! In your own crate, whose function is a binary, `cargo lambda watch` alone serves it at `http://localhost:9000/lambda-url/<name>/`, and
//! `cargo lambda build --release` builds the file to upload.

use stateful_functions::transport::lambda;
use stateful_functions::{
    BoxError, Context, FunctionSpec, Message, SdkError, StatefulFunctions, TypeName, ValueSpec,
    types,
};

const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);

async fn count(context: &mut Context, _message: Message) -> Result<(), BoxError> {
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
    context.storage().set(&SEEN, seen)?;
    Ok(())
}

/// The functions of this example.
pub(crate) fn functions() -> Result<StatefulFunctions, SdkError> {
    let counter = FunctionSpec::new(TypeName::new("example/counter"), count).value(SEEN);
    StatefulFunctions::new().with(counter)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().init();
    lambda::run(functions()?).await
}
