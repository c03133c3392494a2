//! The counter as one would write it without this crate: messages derived by prost, and the rules of the protocol in the code.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Address {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(string, tag = "2")]
    pub(crate) r#type: String,
    #[prost(string, tag = "3")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TypedValue {
    #[prost(string, tag = "1")]
    pub(crate) typename: String,
    #[prost(bool, tag = "2")]
    pub(crate) has_value: bool,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ToFunction {
    #[prost(message, optional, tag = "100")]
    pub(crate) batch: Option<Batch>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Batch {
    #[prost(message, optional, tag = "1")]
    pub(crate) target: Option<Address>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) state: Vec<PersistedValue>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) invocations: Vec<Invocation>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PersistedValue {
    #[prost(string, tag = "1")]
    pub(crate) state_name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) state_value: Option<TypedValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Invocation {
    #[prost(message, optional, tag = "1")]
    pub(crate) caller: Option<Address>,
    #[prost(message, optional, tag = "2")]
    pub(crate) argument: Option<TypedValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FromFunction {
    #[prost(message, optional, tag = "100")]
    pub(crate) result: Option<InvocationResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct InvocationResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) state_mutations: Vec<Mutation>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) outgoing_messages: Vec<Outgoing>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Mutation {
    #[prost(int32, tag = "1")]
    mutation_type: i32,
    #[prost(string, tag = "2")]
    state_name: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) state_value: Option<TypedValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outgoing {
    #[prost(message, optional, tag = "1")]
    target: Option<Address>,
    #[prost(message, optional, tag = "2")]
    pub(crate) argument: Option<TypedValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Int {
    #[prost(sfixed32, tag = "1")]
    value: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Int64 {
    #[prost(sfixed64, tag = "1")]
    pub(crate) value: i64,
}

const MODIFY: i32 = 1;

/// Handles one request.
pub(crate) fn count(request: Bytes) -> Result<Bytes> {
    let batch = ToFunction::decode(request)?.batch.context("no batch")?;
    let target = batch.target.context("no target")?;
    let state = batch.state.into_iter().find_map(|value| value.state_value);
    let mut seen = match state {
        Some(value) => Int::decode(&*value.value)?.value,
        None => 0,
    };
    let mut outgoing_messages = Vec::with_capacity(batch.invocations.len());
    for invocation in batch.invocations {
        let argument = invocation.argument.context("no argument")?;
        Text::decode(&*argument.value)?;
        seen += 1;
        outgoing_messages.push(Outgoing {
            target: Some(Address {
                namespace: "bench".to_owned(),
                r#type: "neighbour".to_owned(),
                id: target.id.clone(),
            }),
            argument: Some(int(seen)),
        });
    }
    let seen = Mutation {
        mutation_type: MODIFY,
        state_name: "seen".to_owned(),
        state_value: Some(int(seen)),
    };
    let result = InvocationResponse {
        state_mutations: vec![seen],
        outgoing_messages,
    };
    let reply = FromFunction {
        result: Some(result),
    };
    Ok(reply.encode_to_vec().into())
}

pub(crate) fn int(value: i32) -> TypedValue {
    TypedValue {
        typename: "io.statefun.types/int".to_owned(),
        has_value: true,
        value: Int { value }.encode_to_vec(),
    }
}

pub(crate) fn text(value: &str) -> TypedValue {
    let value = Text {
        value: value.to_owned(),
    };
    TypedValue {
        typename: "io.statefun.types/string".to_owned(),
        has_value: true,
        value: value.encode_to_vec(),
    }
}
