//! The API for writing functions: names, values, messages, the context of an invocation and the registry.
//!
//! No I/O, no clock, no async runtime. May import `protocol`. Its names are re-exported at the crate root.

mod address;
mod cancellation_token;
mod context;
mod effects;
mod egress;
mod error;
mod failure_hook;
mod function;
mod function_spec;
mod message;
mod stateful_functions;
mod storage;
mod type_name;
mod typed_bytes;
pub mod types;
mod value_spec;
mod wire;
mod wire_address;

pub use address::Address;
pub use cancellation_token::CancellationToken;
pub use context::Context;
pub use egress::{EgressMessage, EgressMessageBuilder, KafkaEgressMessage, KinesisEgressMessage};
pub use error::{CallSite, SdkError};
pub use failure_hook::{FailedMessage, OnFailure};
pub use function::StatefulFunction;
pub use function_spec::FunctionSpec;
pub use message::{Message, MessageBuilder};
pub use stateful_functions::StatefulFunctions;
pub use storage::AddressScopedStorage;
pub use type_name::{InvalidTypeName, TypeName};
pub use types::Type;
pub use value_spec::{DeclaredValue, Expiration, TimeToLive, ValueSpec};

pub(crate) use failure_hook::FailureHook;
pub(crate) use function::{BoxedReply, Invocations};
pub(crate) use storage::Cell;
pub(crate) use typed_bytes::{TypedBytes, TypedParts};
#[cfg(any(feature = "runtime", feature = "testing"))]
pub(crate) use wire::field_len;
#[cfg(feature = "pipeline")]
pub(crate) use wire::{Field, close_header, put_open_header};
pub(crate) use wire::{Fields, Span, WireError, put_varint, text, varint_len};
#[cfg(any(feature = "runtime", feature = "testing", feature = "pipeline"))]
pub(crate) use wire::{put_bytes, put_header, put_text, text_len};
pub(crate) use wire_address::{WireAddress, is_same};

/// The error of a user's function: `?` converts any error into it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_hold_may_cross_threads() {
        fn shared<T: Send + Sync + std::fmt::Debug>() {}
        shared::<Context>();
        shared::<Message>();
        shared::<EgressMessage>();
        shared::<StatefulFunctions>();
        shared::<SdkError>();
        shared::<ValueSpec<std::cell::Cell<u8>>>();
    }

    #[test]
    fn debug_output_never_shows_values() {
        let typed = TypedBytes::of_bytes("a/b", b"secret");
        let address = Address::new(TypeName::new("a/b"), "c");
        let message = Message::new(address.clone(), typed.clone());
        let mut storage = AddressScopedStorage::new(TypeName::new("a/b"), [].into(), Vec::new());
        storage.restore(vec![Cell::Written(b"secret".to_vec())]);
        let mut context = Context::new(address, storage);
        context.send(message.clone());
        let record = KafkaEgressMessage::to(TypeName::new("a/b"))
            .topic("t")
            .value("secret")
            .unwrap();
        let text = format!("{message:?} {context:?} {record:?} {typed:?}");
        assert!(
            !text.contains("secret") && !text.contains("115, 101"),
            "{text}"
        );
    }
}
