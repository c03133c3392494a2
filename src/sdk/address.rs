//! Addresses of functions.

use std::fmt;
use std::sync::Arc;

use super::TypeName;

/// A function type and an id: the address of one stateful instance.
///
/// The id may be any text, including empty. An address is written `<namespace>/<name>/<id>`. Cloning is cheap.
///
/// ```
/// use stateful_functions::{Address, TypeName};
///
/// let bob = Address::new(TypeName::new("example/greeter"), "bob");
/// assert_eq!(bob.to_string(), "example/greeter/bob");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    type_name: TypeName,
    id: Arc<str>,
}

impl Address {
    /// The instance `id` of the function type `type_name`.
    pub fn new(type_name: TypeName, id: impl Into<Arc<str>>) -> Self {
        Self {
            type_name,
            id: id.into(),
        }
    }

    /// The address as written by a runtime or a function server: three texts, unchecked.
    pub(crate) fn from_wire(namespace: &str, name: &str, id: &str) -> Self {
        Self::new(TypeName::from_wire(namespace, name), id)
    }

    /// The function type.
    pub const fn type_name(&self) -> &TypeName {
        &self.type_name
    }

    /// The id within the function type.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.id)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
