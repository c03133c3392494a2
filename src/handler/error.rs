//! Why a request has no reply.

use std::error::Error;

use crate::sdk::{Address, BoxError, TypeName, WireError};

/// Why a request has no reply. Every variant has a status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The body is empty. Any reply to it would look like success.
    #[error("the request body is empty; a ToFunction message is expected")]
    Empty,
    /// The body is not a `ToFunction`; sending it again cannot help.
    #[error("request body is not a ToFunction message")]
    Malformed(#[source] BoxError),
    /// No function of this type is registered here.
    #[error("function {function} is not registered here; known: {}", list(known))]
    UnknownFunction {
        /// The requested type.
        function: TypeName,
        /// The registered types.
        known: Vec<TypeName>,
    },
    /// The function returned an error or panicked; nothing of the batch is kept.
    #[error("function {address} failed on message {message} of {batch}")]
    Function {
        /// The address of the function.
        address: Address,
        /// The number of the message in the batch, from one.
        message: usize,
        /// The number of messages in the batch.
        batch: usize,
        /// The function's error, or the text of its panic.
        #[source]
        source: BoxError,
    },
}

impl HandlerError {
    /// The HTTP status: 400 if the request is at fault, otherwise 500.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Empty | Self::Malformed(_) => 400,
            Self::UnknownFunction { .. } | Self::Function { .. } => 500,
        }
    }

    /// The error and its causes on one line, cut to a few hundred characters: the body of the answer.
    pub fn to_line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line = format!("{line}: {error}");
            cause = error.source();
        }
        let flat = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        flat.take(MAX_LINE).collect()
    }
}

impl From<WireError> for HandlerError {
    fn from(error: WireError) -> Self {
        Self::Malformed(error.into())
    }
}

const MAX_LINE: usize = 600;

fn list(known: &[TypeName]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = known.iter().map(TypeName::as_str).collect();
    names.join(", ")
}
