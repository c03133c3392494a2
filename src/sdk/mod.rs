//! What people who write functions use: names, values, messages, the context of an invocation and the registry.
//!
//! No I/O, no clock, no async runtime. May import `protocol`. Its names are re-exported at the crate root.

mod address;
mod type_name;

pub use address::Address;
pub use type_name::{InvalidTypeName, TypeName};

/// The error of a user's function: `?` works on anything.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
