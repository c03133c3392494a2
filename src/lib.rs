//! Remote stateful functions in Rust, compatible with Apache Flink StateFun 3.x.
//!
//! Small functions, each with an address, state that survives crashes, messages to other functions, and delayed messages that can be
//! cancelled:
//!
//! ```
//! use stateful_functions::{
//!     BoxError, Context, FunctionSpec, Message, SdkError, StatefulFunctions, TypeName, ValueSpec, types,
//! };
//!
//! const GREETER: TypeName = TypeName::new("example/greeter");
//! const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);
//!
//! async fn greet(context: &mut Context, _message: Message) -> Result<(), BoxError> {
//!     let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
//!     context.storage().set(&SEEN, seen)?;
//!     let name = context.address().id();
//!     let greeting = match seen {
//!         1 => format!("Hello, {name}."),
//!         _ => format!("Hello again, {name}: visit {seen}."),
//!     };
//!     context.reply(greeting);
//!     Ok(())
//! }
//!
//! fn functions() -> Result<StatefulFunctions, SdkError> {
//!     StatefulFunctions::new().with(FunctionSpec::new(GREETER, greet).value(SEEN))
//! }
//! # assert!(functions().is_ok());
//! ```
//!
//! The same functions run behind Apache Flink StateFun, on AWS Lambda, on the embedded durable runtime, and in tests without a server. The
//! [`guides`] explain the rest; [writing functions](guides::writing_functions) comes first.
//!
//! # Features
//!
//! | feature | enables |
//! |---|---|
//! | `http` (default) | functions served over HTTP/1.1 and h2c: `transport::http` |
//! | `lambda` | functions on AWS Lambda: `transport::lambda`; use it without default features |
//! | `http-client` | the pooled HTTP client: `transport::http::client` |
//! | `delivery` | policies, retries, history, dead letters: `delivery` |
//! | `pipeline` | records, stages and their builder, store and forward: `pipeline`; events that are delivered as jobs: `jobs` |
//! | `compress` | the gzip and zlib stages |
//! | `edgex` | the functions of EdgeX application services as stages; `legacy-crypto`: with the encryption of versions before 2.4 |
//! | `embedded` | storage on disk |
//! | `runtime` | the embedded durable runtime, module files, the admin API: `runtime`, `module`, `admin` |
//! | `testing` | the test kit, for dev-dependencies: `testing` |
//! | `cli` | the `statefun` binary |
//! | `kafka` | the Kafka ingress and egress of module files; `kafka-tls`: with TLS and SCRAM |
//! | `kinesis` | the Kinesis ingress and egress of module files |
//! | `postgres` | what services of EdgeX left waiting in their database: `edgex::{import_stored, export_stored}` |
//! | `mqtt` | the MQTT ingress and egress of module files, and exports of pipelines to MQTT brokers |
//! | `redis` | the Redis ingress and egress of module files |
//! | `full` | everything but `kafka` and `codegen` |
//! | `codegen` | regenerating the wire types from `proto/` |

#[cfg(feature = "runtime")]
pub mod admin;
pub mod clock;
#[cfg(feature = "runtime")]
mod connectors;
#[cfg(feature = "pipeline")]
#[cfg_attr(
    not(feature = "runtime"),
    allow(
        dead_code,
        unused_imports,
        unreachable_pub,
        reason = "module files use the rest"
    )
)]
mod document;
#[cfg(feature = "runtime")]
pub mod edgex;
#[cfg(feature = "http-client")]
mod elapsed;
#[cfg(feature = "pipeline")]
#[doc(hidden)]
pub mod files;
pub mod guides;
mod json_words;
#[doc(hidden)]
pub mod printable;
pub mod protocol;
#[doc(hidden)]
pub mod random;
#[doc(hidden)]
pub mod retry;
mod sdk;
mod time;
#[cfg(feature = "pipeline")]
#[cfg_attr(
    not(feature = "edgex"),
    allow(dead_code, reason = "sections of EdgeX have topics")
)]
mod topic_filter;

pub mod handler;
#[cfg(any(feature = "http", feature = "http-client", feature = "lambda"))]
pub mod transport;

#[cfg(feature = "delivery")]
pub mod delivery;
#[cfg(feature = "pipeline")]
pub mod jobs;
#[cfg(feature = "runtime")]
pub mod module;
#[cfg(feature = "pipeline")]
pub mod pipeline;
#[cfg(any(feature = "runtime", feature = "testing"))]
pub mod runtime;
#[cfg(any(feature = "embedded", feature = "runtime", feature = "testing"))]
#[doc(hidden)]
pub mod storage;
#[cfg(feature = "testing")]
pub mod testing;

pub use sdk::{
    Address, AddressScopedStorage, BoxError, CallSite, CancellationToken, Context, DeclaredValue,
    EgressMessage, EgressMessageBuilder, Expiration, FailedMessage, FunctionSpec, InvalidTypeName,
    KafkaEgressMessage, KinesisEgressMessage, Message, MessageBuilder, OnFailure, SdkError,
    StatefulFunction, StatefulFunctions, TimeToLive, Type, TypeName, ValueSpec, types,
};
pub use time::Timestamp;
