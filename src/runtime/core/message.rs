//! A message on its way to an address.

use bytes::Bytes;

use super::keys::{AddressKey, MessageId};
use crate::storage::Position;

/// A message on its way to an address, or several that a source has brought together. Its row is staged already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The target.
    pub target: AddressKey,
    /// Its id, which is the end of its row's key.
    pub id: MessageId,
    /// The encoded `ToFunction.Invocation`, or several as they stand in a request.
    pub invocation: Bytes,
    /// The commit that holds it.
    pub position: Position,
}

impl Message {
    /// The message without its content, which is read from its row when needed.
    #[must_use]
    pub fn without_content(self) -> Self {
        Self {
            invocation: Bytes::new(),
            ..self
        }
    }
}
