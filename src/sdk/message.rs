//! Messages between functions.

use std::borrow::Borrow;

use bytes::Bytes;

use super::types::{self, BuiltIn};
use super::{Address, SdkError, Type, TypedBytes};

/// A value addressed to a function.
///
/// A received message keeps the bytes it came with: forwarding it loses nothing, not even fields that this crate does not know.
/// Cloning is cheap.
///
/// ```
/// use stateful_functions::{Address, MessageBuilder, TypeName, types};
///
/// let bob = Address::new(TypeName::new("example/greeter"), "bob");
/// let message = MessageBuilder::to(bob).value("hello");
/// assert!(message.is(&types::STRING));
/// assert_eq!(message.require(&types::STRING)?, "hello");
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    target: Address,
    typed: TypedBytes,
}

impl Message {
    pub(crate) const fn new(target: Address, typed: TypedBytes) -> Self {
        Self { target, typed }
    }

    /// The address it goes to; the receiver, if it was received.
    pub const fn target(&self) -> &Address {
        &self.target
    }

    /// Whether the value is of type `ty`.
    pub fn is<T>(&self, ty: &Type<T>) -> bool {
        self.typed.is_of(ty.name().as_str())
    }

    /// The value as a `T`, or `None` for a message without value.
    ///
    /// # Errors
    /// If the value has another type, or its bytes are invalid for the type.
    pub fn get<T>(&self, ty: &Type<T>) -> Result<Option<T>, SdkError> {
        ty.read(&self.typed, || format!("message to {}", self.target))
    }

    /// The value as a `T`; a message without a value is an error.
    ///
    /// # Errors
    /// See [`Message::get`]; also if there is no value.
    pub fn require<T>(&self, ty: &Type<T>) -> Result<T, SdkError> {
        self.get(ty)?.ok_or_else(|| SdkError::NoValue {
            expected: ty.name().clone(),
        })
    }

    /// Whether there is a value. An empty value is one.
    pub const fn has_value(&self) -> bool {
        self.typed.has_value()
    }

    /// The name of the value's type as it is on the wire; it may be any text.
    pub fn value_type_name(&self) -> &str {
        self.typed.type_name()
    }

    /// The bytes of the value, whatever its type; `None` when there is no value.
    pub fn raw_value(&self) -> Option<Bytes> {
        self.has_value().then(|| self.typed.shared_value())
    }

    /// The whole `TypedValue` as on the wire.
    pub(crate) const fn typed(&self) -> &TypedBytes {
        &self.typed
    }
}

/// Makes a [`Message`] to an address.
///
/// ```
/// use stateful_functions::{Address, MessageBuilder, TypeName, types};
///
/// let bob = Address::new(TypeName::new("example/greeter"), "bob");
/// let visits = MessageBuilder::to(bob.clone()).value(7);
/// let long = MessageBuilder::to(bob).value_as(&types::LONG, 7)?;
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a message is made by one of the `value` methods or by `forward`"]
pub struct MessageBuilder {
    target: Address,
}

impl MessageBuilder {
    /// A message to `target`.
    pub const fn to(target: Address) -> Self {
        Self { target }
    }

    /// With a value of a built-in type: `bool`, `i32`, `i64`, `f32`, `f64` or text.
    #[must_use]
    pub fn value<T: BuiltIn>(self, value: T) -> Message {
        Message::new(self.target, types::typed(&value))
    }

    /// With a value of type `ty`, or a reference to one.
    ///
    /// # Errors
    /// If the type's encoder refuses the value.
    pub fn value_as<T>(self, ty: &Type<T>, value: impl Borrow<T>) -> Result<Message, SdkError> {
        Ok(Message::new(self.target, ty.typed(value.borrow())?))
    }

    /// With bytes that are a value of type `type_name`: any text, unchecked.
    #[must_use]
    pub fn raw(self, type_name: &str, value: impl AsRef<[u8]>) -> Message {
        Message::new(self.target, TypedBytes::of_bytes(type_name, value.as_ref()))
    }

    /// With the whole content of `message`, unread and unchanged.
    #[must_use]
    pub fn forward(self, message: &Message) -> Message {
        Message::new(self.target, message.typed.clone())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::protocol::reqreply::TypedValue;
    use crate::sdk::TypeName;

    fn bob() -> Address {
        Address::new(TypeName::new("example/greeter"), "bob")
    }

    fn received(typed: Vec<u8>) -> Message {
        Message::new(bob(), TypedBytes::parse(typed.into()).unwrap())
    }

    #[test]
    fn sf_04_forwarding_keeps_fields_that_this_crate_does_not_know() {
        let mut wire = TypedValue {
            typename: "io.statefun.types/int".to_owned(),
            has_value: true,
            value: types::INT.encode(&7).unwrap(),
        }
        .encode_to_vec();
        wire.extend_from_slice(&[0x22, 0x02, b'h', b'd', 0x98, 0x06, 0x01]); // fields 4 and 99

        let there = Address::new(TypeName::new("example/other"), "amy");
        let forwarded = MessageBuilder::to(there.clone()).forward(&received(wire.clone()));
        assert_eq!(forwarded.target(), &there);
        assert_eq!(forwarded.typed().raw(), &wire);
        assert_eq!(forwarded.require(&types::INT).unwrap(), 7);
    }

    #[test]
    fn sf_13_reading_a_message_as_another_type_names_both() {
        let err = MessageBuilder::to(bob())
            .value(7)
            .get(&types::STRING)
            .unwrap_err();
        assert_eq!(
            err.to_string(),
            "message to example/greeter/bob: expected io.statefun.types/string, got io.statefun.types/int"
        );
    }

    #[test]
    fn json_without_a_name_of_its_own_is_read_as_any_json_type_and_as_no_other() {
        let list: Type<Vec<u8>> = types::json("example/list");
        let untyped = MessageBuilder::to(bob()).raw(types::UNTYPED_JSON, b"[1, 2]");
        assert_eq!(untyped.require(&list).unwrap(), [1, 2]);
        assert!(!untyped.is(&list), "its name is another one");
        assert!(untyped.require(&types::STRING).is_err());
        let other = MessageBuilder::to(bob()).raw("example/other", b"[1, 2]");
        assert!(other.require(&list).is_err(), "a name of its own counts");
    }

    #[test]
    fn sf_14_a_message_without_value_reads_as_none_whatever_its_type() {
        let none = received(
            TypedValue {
                typename: "io.statefun.types/int".to_owned(),
                ..TypedValue::default()
            }
            .encode_to_vec(),
        );
        assert_eq!(none.get(&types::INT).unwrap(), None);
        assert_eq!(none.get(&types::STRING).unwrap(), None);
        assert_eq!(none.raw_value(), None);
        assert!(none.require(&types::INT).is_err());
    }

    #[test]
    fn sf_14_raw_access_works_for_any_type_name() {
        let odd = MessageBuilder::to(bob()).raw("no slash at all", b"abc");
        assert_eq!(odd.value_type_name(), "no slash at all");
        assert_eq!(odd.raw_value().unwrap(), "abc");
    }

    #[test]
    fn sf_03_an_empty_value_is_a_value() {
        let zero = MessageBuilder::to(bob()).value(0);
        assert!(zero.has_value());
        assert_eq!(zero.raw_value().unwrap(), "");
        assert_eq!(zero.get(&types::INT).unwrap(), Some(0));
    }
}
