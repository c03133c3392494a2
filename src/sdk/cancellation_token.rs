//! The name under which a delayed message can be cancelled.

use std::fmt;
use std::sync::Arc;

use super::{Address, SdkError};

/// Names a delayed message, so that it can be cancelled before it is delivered.
///
/// StateFun scopes tokens by *id*, across all function types: two types that share an id must not share a token, and arming a
/// pending token again kills a Flink job. [`CancellationToken::of`] includes the type, so that tokens of two types differ. A token may
/// be used again once its message was delivered or cancelled.
///
/// ```
/// use stateful_functions::{Address, CancellationToken, TypeName};
///
/// let bob = Address::new(TypeName::new("example/reminder"), "bob");
/// assert_eq!(CancellationToken::of(&bob, "due").as_str(), "example/reminder/bob/due");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CancellationToken(Arc<str>);

impl CancellationToken {
    /// The token `<namespace>/<type>/<id>/<name>` of the function at `address`. Within a function this is
    /// [`context.token(name)`](crate::Context::token); one with several pending messages gives each its own `name`, which may be a number.
    pub fn of(address: &Address, name: impl fmt::Display) -> Self {
        Self(format!("{address}/{name}").into())
    }

    /// The token `text`, as it is. Two function types that share ids must not use the same text.
    ///
    /// # Errors
    /// If `text` is empty.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, SdkError> {
        let text = text.into();
        if text.is_empty() {
            return Err(SdkError::EmptyToken);
        }
        Ok(Self(text))
    }

    /// The text of the token on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancellationToken({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::TypeName;

    #[test]
    fn sf_17_tokens_of_two_types_that_share_an_id_differ() {
        let of = |type_name| {
            CancellationToken::of(&Address::new(TypeName::new(type_name), "bob"), "due")
        };
        assert_ne!(of("example/reminder"), of("example/invoice"));
    }

    #[test]
    fn sf_16_an_empty_token_cannot_be_built() {
        let err = CancellationToken::new("").unwrap_err();
        assert_eq!(err.to_string(), "a cancellation token must not be empty");
    }
}
