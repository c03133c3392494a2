//! How the simulated function server reads a request, and the values that it exchanges with the core.

use bytes::Bytes;
use prost::Message as _;

use super::ensure;
use super::model::{AddressIndex, Entry, Id, Model, Sender};
use super::plan::Plan;
use crate::protocol::reqreply::to_function::Request as WireRequest;
use crate::protocol::reqreply::{Address as WireAddress, ToFunction, TypedValue};
use crate::runtime::core::{AddressKey, GATEWAY};

/// A request, read.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) index: AddressIndex,
    pub(super) states: Vec<(String, Option<Bytes>)>,
    pub(super) batch: Vec<Id>,
}

impl Request {
    /// Reads a request; each of its messages must be one that the schedule knows, unchanged and from its sender.
    pub(super) fn read(bytes: &Bytes, plan: &Plan, model: &Model) -> Result<Self, String> {
        let request = ToFunction::decode(bytes.clone()).map_err(|error| error.to_string())?;
        let Some(WireRequest::Invocation(request)) = request.request else {
            return Err("a request without a batch".into());
        };
        let target = key(&request.target.unwrap_or_default());
        let index = plan.index(&target).ok_or("a call of an unknown address")?;
        let mut batch = Vec::with_capacity(request.invocations.len());
        for invocation in request.invocations {
            let argument = invocation.argument.unwrap_or_default();
            let id = number(&argument).ok_or("a message without number")?;
            let entry = model.entries.get(id).ok_or("a message nobody sent")?;
            ensure(argument == message(id), || {
                format!("message {id} was changed on its way")
            })?;
            let caller = invocation.caller.map(WireAddress::decode).transpose();
            let caller = caller.map_err(|error| error.to_string())?;
            let sender = sender(plan, entry, id);
            ensure(caller.as_ref().map(key) == sender, || {
                format!("message {id} came from {caller:?}, and was sent by {sender:?}")
            })?;
            batch.push(id);
        }
        Ok(Self {
            index,
            states: request
                .state
                .into_iter()
                .map(|state| (state.state_name, state.state_value))
                .collect(),
            batch,
        })
    }
}

fn key(address: &WireAddress) -> AddressKey {
    AddressKey::new(&address.namespace, &address.r#type, &address.id)
}

fn sender(plan: &Plan, entry: &Entry, id: Id) -> Option<AddressKey> {
    match entry.sender {
        Sender::Ingress => None,
        Sender::Gateway => Some(AddressKey::new(GATEWAY.0, GATEWAY.1, &gateway(id))),
        Sender::Function(index) => plan.addresses.get(index).cloned(),
    }
}

/// The gateway that waits for the answer to message `id`.
pub(super) fn gateway(id: Id) -> String {
    format!("call-{id}")
}

/// An encoded value of type `simulator/<kind>`.
pub(super) fn typed(kind: &str, value: impl Into<Bytes>) -> Bytes {
    let value = TypedValue {
        typename: format!("simulator/{kind}"),
        has_value: true,
        value: value.into(),
    };
    value.encode_to_vec().into()
}

/// The argument of message `id`: its number, and some bytes more.
pub(super) fn message(id: Id) -> Bytes {
    let mut value = encoded(id).to_vec();
    value.resize(8 + id % 5 * 10, 0xFF);
    typed("message", value)
}

/// A value that is a number.
pub(super) fn numbered(kind: &str, number: usize) -> Bytes {
    typed(kind, encoded(number).to_vec())
}

fn encoded(number: usize) -> [u8; 8] {
    u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes()
}

/// The number at the front of an encoded value.
pub(super) fn number(bytes: &Bytes) -> Option<usize> {
    numbers(bytes)?.first().copied()
}

/// All numbers in an encoded value; a rest is ignored.
pub(super) fn numbers(bytes: &Bytes) -> Option<Vec<usize>> {
    let value = TypedValue::decode(bytes.clone()).ok()?.value;
    let (numbers, _) = value.as_chunks::<8>();
    numbers
        .iter()
        .map(|chunk| usize::try_from(u64::from_be_bytes(*chunk)).ok())
        .collect()
}

/// The state in which a function writes down the messages it has processed.
pub(super) fn log(ids: &[Id]) -> Bytes {
    let numbers = ids.iter().flat_map(|id| encoded(*id));
    typed("log", numbers.collect::<Vec<u8>>())
}
