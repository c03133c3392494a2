//! Encodes requests by hand from stored rows: invocations and values are copied as the bytes in which they arrived.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message as _;

use super::keys::{AddressKey, Parts};
use crate::protocol::reqreply::{TypedValue, to_function};
use crate::sdk::{field_len, put_bytes, put_header, put_text, put_varint, text_len, varint_len};

/// Key of `ToFunction.invocation`: field 100.
const INVOCATION: [u8; 2] = [0xA2, 0x06];

fn address_len(parts: Parts<'_>) -> usize {
    text_len(parts.0) + text_len(parts.1) + text_len(parts.2)
}

/// Writes an `Address`; empty parts take no bytes.
fn put_address(out: &mut Vec<u8>, (namespace, name, id): Parts<'_>) {
    put_text(out, 1, namespace);
    put_text(out, 2, name);
    put_text(out, 3, id);
}

/// An encoded `ToFunction.Invocation`. `argument` is an encoded `TypedValue`.
pub fn invocation(caller: Option<Parts<'_>>, argument: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(invocation_len(caller, argument));
    put_invocation(&mut out, caller, argument);
    out.into()
}

/// The number of bytes that [`put_invocation`] writes.
pub(super) fn invocation_len(caller: Option<Parts<'_>>, argument: &[u8]) -> usize {
    caller.map_or(0, |parts| field_len(address_len(parts))) + field_len(argument.len())
}

/// Writes the result of [`invocation`].
pub(super) fn put_invocation(out: &mut Vec<u8>, caller: Option<Parts<'_>>, argument: &[u8]) {
    if let Some(parts) = caller {
        put_header(out, 1, address_len(parts));
        put_address(out, parts);
    }
    put_bytes(out, 2, argument);
}

/// Key of `InvocationBatchRequest.invocations`: field 3. No encoded invocation begins with it.
const INVOCATIONS: u8 = 0x1A;

/// Appends an invocation without caller as it stands in a request. Several of them are the content of one message.
pub(super) fn pack(out: &mut Vec<u8>, argument: &[u8]) {
    put_header(out, 3, field_len(argument.len()));
    put_bytes(out, 2, argument);
}

/// The same with the parts of its `TypedValue`.
pub(super) fn pack_value(out: &mut Vec<u8>, typename: &str, value: &[u8]) {
    // An empty value is one, too, and takes no bytes.
    let value_len = match value.is_empty() {
        true => 0,
        false => field_len(value.len()),
    };
    let typed = text_len(typename) + HAS_VALUE.len() + value_len;
    put_header(out, 3, field_len(typed));
    put_header(out, 2, typed);
    put_text(out, 1, typename);
    out.extend_from_slice(&HAS_VALUE);
    if !value.is_empty() {
        put_bytes(out, 3, value);
    }
}

/// `TypedValue.has_value`: field 2.
const HAS_VALUE: [u8; 2] = [0x10, 1];

/// Drops the header of the only packed invocation, so that it is an encoded `ToFunction.Invocation`.
pub(super) fn unpack_one(packed: &mut Bytes) {
    let mut content = packed.get(1..).unwrap_or_default();
    _ = prost::encoding::decode_varint(&mut content);
    *packed = packed.slice_ref(content);
}

/// The arguments of packed invocations.
pub(super) fn arguments(mut packed: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        packed = packed.strip_prefix(&[INVOCATIONS])?;
        let invocation = super::keys::take_bytes(&mut packed)?;
        let mut argument = invocation.strip_prefix(&[0x12])?;
        super::keys::take_bytes(&mut argument)
    })
}

/// How many invocations the content of a message is: one, or as many as are packed in it. `None` if it is damaged.
pub(super) fn count(content: &[u8]) -> Option<u32> {
    if content.first() != Some(&INVOCATIONS) {
        return Some(1);
    }
    let (mut rest, mut count) = (content, 0);
    while let Some((&INVOCATIONS, tail)) = rest.split_first() {
        rest = tail;
        super::keys::take_bytes(&mut rest)?;
        count += 1;
    }
    rest.is_empty().then_some(count)
}

/// The encoded `TypedValue` in an encoded `ToFunction.Invocation`; empty if there is none.
///
/// # Errors
/// If the bytes are something else.
pub fn argument(invocation: &Bytes) -> Result<Bytes, prost::DecodeError> {
    let invocation = to_function::Invocation::decode(invocation.clone())?;
    Ok(invocation.argument.unwrap_or_default())
}

/// A state as sent with a request: its name, and its encoded `TypedValue` if there is one.
pub type AttachedState<'a> = (&'a str, Option<Bytes>);

/// An encoded `ToFunction` for one batch. `invocations` are the contents of its messages.
pub fn request<'a>(
    target: &AddressKey,
    states: &[AttachedState<'_>],
    invocations: impl Iterator<Item = &'a Bytes> + Clone,
) -> Bytes {
    let parts = target.parts();
    let state_len = |(name, value): &AttachedState<'_>| {
        field_len(name.len()) + value.as_ref().map_or(0, |value| field_len(value.len()))
    };
    let length = field_len(address_len(parts))
        + states
            .iter()
            .map(|state| field_len(state_len(state)))
            .sum::<usize>()
        + invocations
            .clone()
            .map(|bytes| match bytes.first() {
                Some(&INVOCATIONS) => bytes.len(),
                _ => field_len(bytes.len()),
            })
            .sum::<usize>();
    let mut out = Vec::with_capacity(INVOCATION.len() + varint_len(length) + length);
    out.extend_from_slice(&INVOCATION);
    put_varint(&mut out, length);
    put_header(&mut out, 1, address_len(parts));
    put_address(&mut out, parts);
    for state in states {
        put_header(&mut out, 2, state_len(state));
        put_bytes(&mut out, 1, state.0.as_bytes());
        if let Some(value) = &state.1 {
            put_bytes(&mut out, 2, value);
        }
    }
    for bytes in invocations {
        match bytes.first() {
            Some(&INVOCATIONS) => out.extend_from_slice(bytes),
            _ => put_bytes(&mut out, 3, bytes),
        }
    }
    out.into()
}

/// The typename of an encoded `TypedValue`, and the value to be stored.
///
/// StateFun ignores `has_value` of a written state: the value exists, even if it is empty. A value with the flag set is
/// stored unchanged, with all its fields.
pub fn stored_value(raw: Option<&Bytes>) -> Result<(String, Bytes), prost::DecodeError> {
    let raw = raw.cloned().unwrap_or_default();
    let mut value = TypedValue::decode(raw.clone())?;
    if value.has_value {
        return Ok((value.typename, raw));
    }
    value.has_value = true;
    let bytes = Bytes::from(value.encode_to_vec());
    Ok((value.typename, bytes))
}

/// The typename of an encoded `TypedValue`, without decoding the rest if it comes first, as all SDKs write it.
pub fn typename(value: &Bytes) -> Option<Cow<'_, str>> {
    if let Some((0x0A, rest)) = value.split_first().map(|(tag, rest)| (*tag, rest)) {
        let mut rest = rest;
        let name = super::keys::take_text(&mut rest)?;
        // If a field occurs twice, the last one counts.
        if rest.first().is_none_or(|tag| *tag == 0x10 || *tag == 0x1A) {
            return Some(Cow::Borrowed(name));
        }
    }
    let decoded = TypedValue::decode(value.clone()).ok()?;
    Some(Cow::Owned(decoded.typename))
}

/// A stored value with another form of its typename.
pub fn retyped(value: Bytes, typename: &str) -> Bytes {
    let mut typed = TypedValue::decode(value).unwrap_or_default();
    typename.clone_into(&mut typed.typename);
    typed.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::reqreply::{Address, ToFunction};

    #[test]
    fn a_request_written_by_hand_equals_the_generated_encoding() {
        let target = AddressKey::new("example", "greeter", "bob");
        let caller = AddressKey::new("example", "door", "");
        let argument = Bytes::from(
            TypedValue {
                typename: "a/b".into(),
                has_value: true,
                value: Bytes::from_static(b"hi"),
            }
            .encode_to_vec(),
        );
        let sent = [
            invocation(Some(caller.parts()), &argument),
            invocation(None, &[]),
        ];
        let bytes = request(
            &target,
            &[("seen", Some(argument.clone())), ("last", None)],
            sent.iter(),
        );

        let caller = Address {
            namespace: "example".into(),
            r#type: "door".into(),
            id: String::new(),
        };
        let expected = ToFunction {
            request: Some(to_function::Request::Invocation(
                to_function::InvocationBatchRequest {
                    target: Some(Address {
                        namespace: "example".into(),
                        r#type: "greeter".into(),
                        id: "bob".into(),
                    }),
                    state: vec![
                        to_function::PersistedValue {
                            state_name: "seen".into(),
                            state_value: Some(argument.clone()),
                        },
                        to_function::PersistedValue {
                            state_name: "last".into(),
                            state_value: None,
                        },
                    ],
                    invocations: vec![
                        to_function::Invocation {
                            caller: Some(Bytes::from(caller.encode_to_vec())),
                            argument: Some(argument),
                        },
                        to_function::Invocation {
                            caller: None,
                            argument: Some(Bytes::new()),
                        },
                    ],
                },
            )),
        };
        assert_eq!(bytes, expected.encode_to_vec());
        assert!(bytes.starts_with(&[0xA2, 0x06]));
    }

    #[test]
    fn packed_invocations_stand_in_a_request_like_single_ones() {
        let typed = |value: &'static [u8]| TypedValue {
            typename: "a/b".into(),
            has_value: true,
            value: Bytes::from_static(value),
        };
        let (one, two, three) = (typed(b"1"), typed(b""), typed(&[7; 200]));
        let mut packed = Vec::new();
        pack_value(&mut packed, "a/b", &one.value);
        pack_value(&mut packed, "a/b", &two.value);
        pack(&mut packed, &three.encode_to_vec());
        let packed = Bytes::from(packed);
        let single = |value: &TypedValue| invocation(None, &value.encode_to_vec());
        let singles = [single(&one), single(&two), single(&three)];
        let target = AddressKey::new("a", "f", "1");
        assert_eq!(
            request(&target, &[], [packed.clone()].iter()),
            request(&target, &[], singles.iter())
        );
        assert_eq!((count(&packed), count(&singles[0])), (Some(3), Some(1)));
        for cut in [1, 5, packed.len() - 1] {
            assert_eq!(count(&packed[..cut]), None, "cut at {cut}");
        }
        let mut alone = Vec::new();
        pack(&mut alone, &three.encode_to_vec());
        let mut alone = Bytes::from(alone);
        unpack_one(&mut alone);
        assert_eq!(alone, singles[2]);
    }

    #[test]
    fn a_written_value_exists_even_when_it_does_not_say_so() {
        let silent = TypedValue {
            typename: "a/b".into(),
            has_value: false,
            value: Bytes::new(),
        };
        let (typename, stored) = stored_value(Some(&Bytes::from(silent.encode_to_vec()))).unwrap();
        assert_eq!(typename, "a/b");
        assert!(TypedValue::decode(stored).unwrap().has_value);
    }
}
