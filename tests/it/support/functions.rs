//! Functions to be called over a transport, and the bytes that call them.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::protocol::reqreply::from_function::{
    IncompleteInvocationContext, Response,
};
use stateful_functions::protocol::reqreply::to_function::{
    Invocation, InvocationBatchRequest, PersistedValue, Request,
};
use stateful_functions::protocol::reqreply::{Address, FromFunction, ToFunction};
use stateful_functions::{
    BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, StatefulFunction,
    StatefulFunctions, TypeName, ValueSpec, types,
};
use tokio::sync::Semaphore;

const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);

/// Adds one to the value `seen`.
async fn count(context: &mut Context, _: Message) -> Result<(), BoxError> {
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
    context.storage().set(&SEEN, seen)?;
    Ok(())
}

async fn fail(_: &mut Context, _: Message) -> Result<(), BoxError> {
    Err("first line\nsecond line".into())
}

/// Answers with 33 MiB.
async fn swell(context: &mut Context, _: Message) -> Result<(), BoxError> {
    let egress = TypeName::new("test/egress");
    let value = "x".repeat(33 * 1024 * 1024);
    context.send_egress(EgressMessageBuilder::to(egress).value(value));
    Ok(())
}

/// Tells that it started, and waits until it is let go.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) started: Arc<Semaphore>,
    pub(crate) open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        let (started, open) = (closed(), closed());
        Self { started, open }
    }
}

impl StatefulFunction for Gate {
    async fn invoke(&self, _: &mut Context, _: Message) -> Result<(), BoxError> {
        self.started.add_permits(1);
        self.open.acquire().await?.forget();
        Ok(())
    }
}

/// `test/counter`, `test/broken` and `test/swollen`.
pub(crate) fn functions() -> StatefulFunctions {
    StatefulFunctions::new()
        .with(FunctionSpec::new(TypeName::new("test/counter"), count).value(SEEN))
        .unwrap()
        .with(FunctionSpec::new(TypeName::new("test/broken"), fail))
        .unwrap()
        .with(FunctionSpec::new(TypeName::new("test/swollen"), swell))
        .unwrap()
}

/// One message without a value for `test/<name>`, with the value `seen` attached, absent yet.
pub(crate) fn call(name: &str) -> Bytes {
    let seen = PersistedValue {
        state_name: "seen".to_owned(),
        state_value: None,
    };
    encode(name, vec![seen])
}

/// The same without any value attached.
pub(crate) fn call_without_values(name: &str) -> Bytes {
    encode(name, Vec::new())
}

fn encode(name: &str, state: Vec<PersistedValue>) -> Bytes {
    let batch = InvocationBatchRequest {
        target: Some(Address {
            namespace: "test".to_owned(),
            r#type: name.to_owned(),
            id: "1".to_owned(),
        }),
        state,
        invocations: vec![Invocation {
            caller: None,
            argument: None,
        }],
    };
    let request = Some(Request::Invocation(batch));
    ToFunction { request }.encode_to_vec().into()
}

/// How many effects of any kind a reply carries.
pub(crate) fn effects(reply: &[u8]) -> usize {
    match FromFunction::decode(reply).unwrap().response {
        Some(Response::InvocationResult(result)) => {
            result.state_mutations.len()
                + result.outgoing_messages.len()
                + result.outgoing_egresses.len()
        }
        other => panic!("no result: {other:?}"),
    }
}

/// The names of the values that a reply asks for.
pub(crate) fn missing(reply: &[u8]) -> Vec<String> {
    match FromFunction::decode(reply).unwrap().response {
        Some(Response::IncompleteInvocationContext(IncompleteInvocationContext {
            missing_values,
        })) => missing_values
            .into_iter()
            .map(|value| value.state_name)
            .collect(),
        other => panic!("nothing missing: {other:?}"),
    }
}
