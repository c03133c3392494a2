//! What the module binds, as a core needs it.

use std::fmt;

use super::watch::ValueWatch;
use crate::sdk::TypeName;

/// The binding of a function type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionBinding {
    /// The function acts on the outside: it is called only once its messages are on disk.
    pub after_durable: bool,
    /// Maximum messages waiting at one address before ingresses are refused; zero for no limit.
    pub max_backlog: u64,
}

/// The functions and egresses of the module, as a core needs them.
pub trait Bindings: fmt::Debug + Send + Sync {
    /// The function bound to a type, by its own name or by its namespace.
    fn function(&self, namespace: &str, name: &str) -> Option<FunctionBinding>;
    /// The egress of this name.
    fn egress(&self, namespace: &str, name: &str) -> Option<EgressBinding>;
    /// Whether some egress has reached a limit of undelivered records.
    fn has_full_egresses(&self) -> bool {
        false
    }
    /// Whether the egress whose rows begin with `egress` has reached its limit, for all functions or for those of type `sender`. Returns a message.
    fn full_egress(&self, _egress: &[u8], _sender: &[u8]) -> Option<String> {
        None
    }
    /// The watch of some values, which is notified of changes.
    fn watch(&self) -> Option<&dyn ValueWatch> {
        None
    }
}

/// The destination of an egress's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressBinding {
    /// To the outbox, from which a driver delivers them.
    Outbox,
    /// To a function of this type, as messages to the sender's id: an egress that is a delivery with a policy.
    Function(TypeName),
}
