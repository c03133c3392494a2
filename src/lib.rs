//! Remote stateful functions in Rust, compatible with Apache Flink StateFun 3.x.

#[cfg(feature = "runtime")]
pub mod admin;
pub mod clock;
#[cfg(feature = "runtime")]
mod connectors;
#[cfg(feature = "pipeline")]
mod document;
#[cfg(feature = "http-client")]
mod elapsed;
pub mod guides;
#[doc(hidden)]
pub mod printable;
pub mod protocol;
pub mod random;
pub mod retry;
mod sdk;
mod time;

pub mod handler;
#[cfg(any(feature = "http", feature = "http-client", feature = "lambda"))]
pub mod transport;

#[cfg(feature = "delivery")]
pub mod delivery;
#[cfg(feature = "runtime")]
pub mod module;
#[cfg(feature = "pipeline")]
pub mod pipeline;
#[cfg(any(feature = "runtime", feature = "testing"))]
pub mod runtime;
#[cfg(any(feature = "embedded", feature = "runtime", feature = "testing"))]
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

// Their names before they were one room.
use time as timestamp;
#[cfg(feature = "delivery")]
use time::{calendar, span as duration};
