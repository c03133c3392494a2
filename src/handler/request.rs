//! A `ToFunction` taken apart: its values stay slices of the request's bytes.

use bytes::Bytes;

use super::HandlerError;
use crate::sdk::{Address, Fields, TypedBytes, WireError};

/// The batch of a `ToFunction`.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) target: WireAddress<'a>,
    /// Names and values; no value when none exists.
    pub(super) state: Vec<(&'a str, Option<TypedBytes>)>,
    pub(super) invocations: Vec<(Option<Address>, TypedBytes)>,
}

/// An `Address` in the request: three texts, any of them may be empty.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct WireAddress<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) id: &'a str,
}

const INVOCATION: u32 = 100;

impl<'a> Request<'a> {
    /// The batch in `bytes`; `None` when they carry none.
    pub(super) fn parse(bytes: &'a Bytes) -> Result<Option<Self>, HandlerError> {
        Self::read(bytes).map_err(|err| HandlerError::Malformed(err.into()))
    }

    fn read(bytes: &'a Bytes) -> Result<Option<Self>, WireError> {
        let mut batch = None;
        let mut fields = Fields::of(bytes);
        while let Some((number, field)) = fields.next()? {
            if number == INVOCATION {
                batch = Some(Self::read_batch(bytes, field.bytes()?)?);
            }
        }
        Ok(batch)
    }

    fn read_batch(whole: &'a Bytes, batch: &'a [u8]) -> Result<Self, WireError> {
        let mut request = Self::default();
        let mut last = Caller::default();
        let mut fields = Fields::of(batch);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => request.target = WireAddress::read(field.bytes()?)?,
                2 => request.state.push(read_state(whole, field.bytes()?)?),
                3 => {
                    let invocation = read_invocation(whole, field.bytes()?, &mut last)?;
                    request.invocations.push(invocation);
                }
                _ => {}
            }
        }
        Ok(request)
    }
}

/// A `PersistedValue`.
fn read_state<'a>(
    whole: &Bytes,
    state: &'a [u8],
) -> Result<(&'a str, Option<TypedBytes>), WireError> {
    let (mut name, mut value) = ("", None);
    let mut fields = Fields::of(state);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.text()?,
            2 => value = Some(TypedBytes::parse(whole.slice_ref(field.bytes()?))?),
            _ => {}
        }
    }
    Ok((name, value))
}

/// An `Invocation`. Without an argument it is a message without type and value.
fn read_invocation<'a>(
    whole: &Bytes,
    invocation: &'a [u8],
    last: &mut Caller<'a>,
) -> Result<(Option<Address>, TypedBytes), WireError> {
    let (mut caller, mut argument): (&[u8], _) = (&[], None);
    let mut fields = Fields::of(invocation);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => caller = field.bytes()?,
            2 => argument = Some(TypedBytes::parse(whole.slice_ref(field.bytes()?))?),
            _ => {}
        }
    }
    let argument = argument.map_or_else(|| TypedBytes::parse(Bytes::new()), Ok)?;
    Ok((last.or_read(caller)?, argument))
}

/// The last caller read: many invocations of a batch share theirs.
#[derive(Default)]
struct Caller<'a> {
    bytes: &'a [u8],
    address: Option<Address>,
}

impl<'a> Caller<'a> {
    fn or_read(&mut self, bytes: &'a [u8]) -> Result<Option<Address>, WireError> {
        if bytes != self.bytes {
            let read = WireAddress::read(bytes)?;
            *self = Self {
                bytes,
                address: (read != WireAddress::default()).then(|| read.to_address()),
            };
        }
        Ok(self.address.clone())
    }
}

impl<'a> WireAddress<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut address = Self::default();
        let mut fields = Fields::of(bytes);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => address.namespace = field.text()?,
                2 => address.name = field.text()?,
                3 => address.id = field.text()?,
                _ => {}
            }
        }
        Ok(address)
    }

    fn to_address(self) -> Address {
        Address::from_wire(self.namespace, self.name, self.id)
    }
}
