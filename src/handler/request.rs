//! A parsed `ToFunction`, whose parts refer to the bytes of the request.

use bytes::Bytes;

use super::HandlerError;
use crate::sdk::{
    Address, Context, Fields, Invocations, Message, Span, TypedBytes, TypedParts, WireAddress,
    WireError, is_same, text,
};

/// The batch of a `ToFunction`, checked completely before any of it runs.
pub(super) struct Request<'a> {
    bytes: &'a Bytes,
    pub(super) target: WireAddress<'a>,
    state: Vec<PersistedValue<'a>>,
    invocations: Vec<Invocation>,
}

/// A `PersistedValue`, possibly without a value.
#[derive(Default)]
struct PersistedValue<'a> {
    name: &'a [u8],
    typed: Option<&'a [u8]>,
}

/// The location of an `Invocation`'s parts in the request. An absent caller or argument is empty.
#[derive(Clone, Copy)]
struct Invocation {
    caller: Span,
    argument: Span,
    parts: TypedParts,
}

const INVOCATION: u32 = 100;

impl<'a> Request<'a> {
    /// The batch in `bytes`, if they contain one.
    pub(super) fn parse(bytes: &'a Bytes) -> Result<Option<Self>, HandlerError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(WireError("it has more than 4 GiB").into());
        }
        let mut batch = None;
        let mut fields = Fields::of(bytes);
        while let Some((number, field)) = fields.next()? {
            if number == INVOCATION {
                batch = Some(Self::read(bytes, field.bytes()?)?);
            }
        }
        Ok(batch)
    }

    fn read(bytes: &'a Bytes, batch: &'a [u8]) -> Result<Self, WireError> {
        let mut request = Self {
            bytes,
            target: WireAddress::default(),
            state: Vec::new(),
            invocations: Vec::new(),
        };
        let mut seen = Seen::default();
        let mut fields = Fields::of(batch);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => request.target = WireAddress::read(field.bytes()?)?,
                2 => request.state.push(PersistedValue::read(field.bytes()?)?),
                3 => {
                    let invocation = field.bytes()?;
                    if request.invocations.is_empty() {
                        let alike = batch.len() / (invocation.len() + 2);
                        request.invocations.reserve(alike.min(MOST_RESERVED));
                    }
                    let invocation = Invocation::read(invocation, bytes, &mut seen)?;
                    request.invocations.push(invocation);
                }
                _ => {}
            }
        }
        Ok(request)
    }

    /// The value of the state `name`, or `None` when the request does not name it.
    pub(super) fn state(&self, name: &str) -> Option<Result<Option<TypedBytes>, WireError>> {
        let mut all = self.state.iter();
        let state = all.find(|state| state.name == name.as_bytes())?;
        let typed = state
            .typed
            .map(|typed| TypedBytes::parse(self.bytes.slice_ref(typed)));
        Some(typed.transpose())
    }

    /// The messages of the batch, all of which go to `target`.
    pub(super) fn into_messages(self, target: Address) -> Messages {
        Messages {
            request: self.bytes.clone(),
            target,
            len: self.invocations.len(),
            rest: self.invocations.into_iter(),
        }
    }
}

/// Reserves capacity for at most this many invocations up front, based on the size of the first one.
const MOST_RESERVED: usize = 1024;

impl<'a> PersistedValue<'a> {
    fn read(state: &'a [u8]) -> Result<Self, WireError> {
        let mut read = Self::default();
        let mut fields = Fields::of(state);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => read.name = field.bytes()?,
                2 => read.typed = Some(field.bytes()?),
                _ => {}
            }
        }
        Ok(read)
    }
}

/// The values checked last, because most invocations of a batch share their caller and type.
#[derive(Default)]
struct Seen<'a> {
    caller: &'a [u8],
    type_name: &'a [u8],
}

impl Invocation {
    fn read<'a>(
        invocation: &'a [u8],
        request: &[u8],
        seen: &mut Seen<'a>,
    ) -> Result<Self, WireError> {
        let (mut caller, mut argument): (&[u8], &[u8]) = (&[], &[]);
        let mut fields = Fields::of(invocation);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => caller = field.bytes()?,
                2 => argument = field.bytes()?,
                _ => {}
            }
        }
        if !is_same(caller, seen.caller) {
            WireAddress::read(caller)?;
            seen.caller = caller;
        }
        let parts = TypedParts::read(argument)?;
        let type_name = parts.type_name(argument);
        if !is_same(type_name, seen.type_name) {
            text(type_name)?;
            seen.type_name = type_name;
        }
        Ok(Self {
            caller: Span::of(caller, request),
            argument: Span::of(argument, request),
            parts,
        })
    }
}

/// The messages of a batch, each created when it is needed.
pub(super) struct Messages {
    request: Bytes,
    target: Address,
    rest: std::vec::IntoIter<Invocation>,
    len: usize,
}

impl Messages {
    /// The number of messages in the batch.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The number of messages returned so far.
    pub(super) fn taken(&self) -> usize {
        self.len - self.rest.len()
    }
}

impl Invocations for Messages {
    fn next(&mut self, context: &mut Context) -> Option<Message> {
        let next = self.rest.next()?;
        let caller = next.caller.in_bytes(&self.request);
        context.caller_mut().change(caller, &self.request);
        let argument = self
            .request
            .slice_ref(next.argument.in_bytes(&self.request));
        let typed = TypedBytes::from_parts(argument, next.parts);
        Some(Message::new(self.target.clone(), typed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::protocol::reqreply::to_function::{
        Invocation as WireInvocation, InvocationBatchRequest, PersistedValue, Request as Variant,
    };
    use crate::protocol::reqreply::{Address as ProtoAddress, ToFunction, TypedValue};
    use crate::sdk::{AddressScopedStorage, TypeName};

    prop_compose! {
        fn address()(namespace in "[a-c]{0,2}", r#type in "[a-c/]{0,2}", id in "\\PC{0,3}") -> ProtoAddress {
            ProtoAddress { namespace, r#type, id }
        }
    }

    prop_compose! {
        fn typed()(typename in "[a-b/]{0,3}", has_value: bool, value in vec(any::<u8>(), 0..200), more: bool) -> Bytes {
            let mut bytes = TypedValue { typename, has_value, value: value.into() }.encode_to_vec();
            if more {
                bytes.extend_from_slice(&[0x22, 0x01, b'x', 0x80, 0x01, 0x07]);
            }
            bytes.into()
        }
    }

    prop_compose! {
        fn batch()(
            target in address(),
            state in vec(("[a-c]{1,2}", proptest::option::of(typed())), 0..4),
            invocations in vec((proptest::option::of(address()), proptest::option::of(typed())), 0..6),
        ) -> InvocationBatchRequest {
            let state = state.into_iter();
            let invocations = invocations.into_iter();
            InvocationBatchRequest {
                target: Some(target),
                state: state.map(|(state_name, state_value)| PersistedValue { state_name, state_value }).collect(),
                invocations: invocations.map(|(caller, argument)| WireInvocation {
                    caller: caller.map(|caller| caller.encode_to_vec().into()),
                    argument,
                }).collect(),
            }
        }
    }

    fn encode(batch: InvocationBatchRequest) -> Bytes {
        let request = Some(Variant::Invocation(batch));
        ToFunction { request }.encode_to_vec().into()
    }

    fn context() -> Context {
        let function = TypeName::new("a/b");
        let storage = AddressScopedStorage::new(function.clone(), [].into(), Vec::new());
        Context::new(Address::new(function, ""), storage)
    }

    proptest! {
        #[test]
        fn a_request_is_read_as_the_generated_decoder_reads_it(expected in batch()) {
            let bytes = encode(expected.clone());
            let request = Request::parse(&bytes).unwrap().unwrap();
            let target = expected.target.unwrap();
            prop_assert_eq!(request.target.namespace, target.namespace);
            prop_assert_eq!(request.target.name, target.r#type);
            prop_assert_eq!(request.target.id, target.id);
            for entry in &expected.state {
                let first = expected.state.iter().find(|other| other.state_name == entry.state_name);
                let value = request.state(&entry.state_name).unwrap().unwrap();
                prop_assert_eq!(value.map(|value| value.raw().clone()), first.unwrap().state_value.clone());
            }

            let mut context = context();
            let mut messages = request.into_messages(Address::new(TypeName::new("a/b"), "c"));
            for invocation in expected.invocations {
                let message = messages.next(&mut context).unwrap();
                let caller = ProtoAddress::decode(invocation.caller.unwrap_or_default()).unwrap();
                let caller = Address::from_wire(&caller.namespace, &caller.r#type, &caller.id);
                let none = Address::from_wire("", "", "");
                prop_assert_eq!(context.caller().unwrap_or(&none), &caller);
                let raw = invocation.argument.unwrap_or_default();
                let typed = TypedValue::decode(raw.clone()).unwrap();
                prop_assert_eq!(message.typed().raw(), &raw);
                prop_assert_eq!(message.value_type_name(), typed.typename);
                prop_assert_eq!(message.raw_value(), typed.has_value.then_some(typed.value));
            }
            prop_assert!(messages.next(&mut context).is_none());
        }

        #[test]
        fn bytes_with_an_error_in_them_are_refused_or_read_but_never_panic(
            batch in batch(), place: prop::sample::Index, byte: u8, cut: prop::sample::Index,
        ) {
            let mut bytes = encode(batch).to_vec();
            *place.get_mut(&mut bytes) = byte;
            bytes.truncate(cut.index(bytes.len() + 1));
            let bytes = Bytes::from(bytes);
            if let Ok(Some(request)) = Request::parse(&bytes) {
                let mut context = context();
                let mut messages = request.into_messages(Address::new(TypeName::new("a/b"), "c"));
                while let Some(message) = messages.next(&mut context) {
                    let _ = (context.caller(), message.raw_value(), message.value_type_name().len());
                }
            }
        }
    }
}
