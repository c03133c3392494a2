//! Mistakes in the use of the SDK. Each message names the thing and what to do.

use std::fmt;
use std::panic::Location;

use super::{Address, BoxError, TypeName};

/// A mistake in declaring functions and values, or in using the context of an invocation.
///
/// A function passes it on with `?`: the batch then fails and leaves no effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SdkError {
    /// Two functions of the same type.
    #[error("function {function} is registered twice")]
    DuplicateFunction {
        /// The type.
        function: TypeName,
    },
    /// Two values with the same name.
    #[error("value `{value}` of {function} is declared twice")]
    DuplicateValue {
        /// The declaring function.
        function: TypeName,
        /// The name.
        value: String,
    },
    /// A name reserved by the Flink runtime.
    #[error(
        "value name `{value}` of {function} is reserved: the Flink runtime keeps its own state under it; choose another"
    )]
    ReservedValueName {
        /// The declaring function.
        function: TypeName,
        /// The name.
        value: String,
    },
    /// An invalid name of a value.
    #[error(
        "invalid value name `{value}`: must be letters, digits and `_`, and not begin with a digit"
    )]
    InvalidValueName {
        /// The name, cut when it is long.
        value: String,
    },
    /// An invalid time to live.
    #[error("an expiration must be positive and at most i64::MAX milliseconds")]
    InvalidExpiration,
    /// The function did not declare this value.
    #[error("value `{value}` is not declared by {function}; declared: {declared}")]
    UndeclaredValue {
        /// The calling function.
        function: TypeName,
        /// The name.
        value: String,
        /// All declared values, in order.
        declared: String,
    },
    /// The function declared this value with another type.
    #[error("value `{value}` of {function} is declared as {declared}, and used as {used}")]
    ValueDeclaredOtherwise {
        /// The calling function.
        function: TypeName,
        /// The name.
        value: String,
        /// The declared type.
        declared: TypeName,
        /// The type in the call.
        used: TypeName,
    },
    /// The bytes have another type than requested.
    #[error("{what}: expected {expected}, got {found}")]
    TypeMismatch {
        /// Where the bytes come from.
        what: String,
        /// The requested type.
        expected: TypeName,
        /// The type name of the bytes.
        found: String,
    },
    /// A message without a value, where one is required.
    #[error("the message carries no value; expected {expected}")]
    NoValue {
        /// The requested type.
        expected: TypeName,
    },
    /// The value does not fit its type.
    #[error("cannot write a value of type {type_name}: {cause}")]
    Encode {
        /// The type.
        type_name: TypeName,
        /// The error of its encoder.
        cause: BoxError,
    },
    /// The bytes do not fit their type.
    #[error("cannot read a value of type {type_name}: {cause}")]
    Decode {
        /// The type.
        type_name: TypeName,
        /// The error of its decoder: what is wrong, and where.
        cause: BoxError,
    },
    /// A delay beyond the range of the protocol.
    #[error("a delay must be at most i64::MAX milliseconds")]
    DelayTooLong,
    /// An empty token.
    #[error("a cancellation token must not be empty")]
    EmptyToken,
    /// A token that is armed twice. On the Flink runtime this kills the job.
    #[error(
        "cancellation token `{token}` of {address} is armed twice in one batch, at {first} and at {second}, without a cancellation between; cancel it first or use another token"
    )]
    TokenArmedTwice {
        /// The token.
        token: String,
        /// The function that armed it.
        address: Address,
        /// The first call.
        first: CallSite,
        /// The second call.
        second: CallSite,
    },
    /// An egress record lacks a required part.
    #[error("a {record} needs {missing}")]
    EgressPartMissing {
        /// The kind of record.
        record: &'static str,
        /// The part.
        missing: &'static str,
    },
}

/// A location in the user's program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CallSite(pub(crate) &'static Location<'static>);

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.file(), self.0.line())
    }
}

impl fmt::Debug for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallSite({self})")
    }
}
