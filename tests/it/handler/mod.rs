//! The handler, as a runtime sees it: a `ToFunction` in, a `FromFunction` out, no server.

mod effects;
mod failures;
mod values;

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::handler::RequestReplyHandler;
use stateful_functions::protocol::reqreply::from_function::{
    InvocationResponse, PersistedValueSpec, Response,
};
use stateful_functions::protocol::reqreply::to_function::{
    Invocation, InvocationBatchRequest, PersistedValue, Request,
};
use stateful_functions::protocol::reqreply::{
    Address as WireAddress, FromFunction, ToFunction, TypedValue,
};
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, Type,
    TypeName, ValueSpec, types,
};

const GREETER: TypeName = TypeName::new("example/greeter");
const LOG: TypeName = TypeName::new("example/log");
const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);
const LAST: ValueSpec<String> =
    ValueSpec::new("last", types::STRING).expire_after_write(Duration::from_micros(1_500));
const NAME: ValueSpec<String> =
    ValueSpec::new("name", types::STRING).expire_after_call(Duration::from_secs(60));

/// A request for `example/greeter` at `bob`.
#[derive(Default)]
struct Batch {
    state: Vec<PersistedValue>,
    invocations: Vec<Invocation>,
}

impl Batch {
    fn absent(mut self, name: &str) -> Self {
        self.state.push(PersistedValue {
            state_name: name.to_owned(),
            state_value: None,
        });
        self
    }

    fn stored<T>(mut self, name: &str, ty: &Type<T>, value: &T) -> Self {
        self.state.push(PersistedValue {
            state_name: name.to_owned(),
            state_value: Some(typed(ty, value).encode_to_vec().into()),
        });
        self
    }

    /// A text from `example/person` at `amy`.
    fn message(self, text: &str) -> Self {
        let argument = typed(&types::STRING, &text.to_owned()).encode_to_vec();
        self.invocation(Some(wire("example", "person", "amy")), argument)
    }

    fn invocation(mut self, caller: Option<WireAddress>, argument: Vec<u8>) -> Self {
        self.invocations.push(Invocation {
            caller: caller.map(|caller| caller.encode_to_vec().into()),
            argument: Some(argument.into()),
        });
        self
    }

    fn encode(self) -> Bytes {
        self.encode_for("example", "greeter")
    }

    fn encode_for(self, namespace: &str, name: &str) -> Bytes {
        let batch = InvocationBatchRequest {
            target: Some(wire(namespace, name, "bob")),
            state: self.state,
            invocations: self.invocations,
        };
        let request = ToFunction {
            request: Some(Request::Invocation(batch)),
        };
        request.encode_to_vec().into()
    }

    async fn run(self, spec: FunctionSpec) -> InvocationResponse {
        result(handler(spec).handle(self.encode()).await.unwrap())
    }

    /// The answer's text, of a batch that fails.
    async fn fail(self, spec: FunctionSpec) -> String {
        let err = handler(spec).handle(self.encode()).await.unwrap_err();
        assert_eq!(err.status(), 500);
        err.to_line()
    }
}

fn wire(namespace: &str, name: &str, id: &str) -> WireAddress {
    WireAddress {
        namespace: namespace.to_owned(),
        r#type: name.to_owned(),
        id: id.to_owned(),
    }
}

fn typed<T>(ty: &Type<T>, value: &T) -> TypedValue {
    TypedValue {
        typename: ty.name().to_string(),
        has_value: true,
        value: ty.encode(value).unwrap(),
    }
}

fn handler(spec: FunctionSpec) -> RequestReplyHandler {
    StatefulFunctions::new().with(spec).unwrap().into()
}

fn result(reply: Bytes) -> InvocationResponse {
    match FromFunction::decode(reply).unwrap().response.unwrap() {
        Response::InvocationResult(result) => result,
        Response::IncompleteInvocationContext(missing) => panic!("incomplete: {missing:?}"),
    }
}

fn missing(reply: Bytes) -> Vec<PersistedValueSpec> {
    match FromFunction::decode(reply).unwrap().response.unwrap() {
        Response::IncompleteInvocationContext(missing) => missing.missing_values,
        Response::InvocationResult(result) => panic!("ran: {result:?}"),
    }
}

fn text(argument: Option<&Bytes>) -> String {
    let typed = TypedValue::decode(argument.unwrap().clone()).unwrap();
    assert!(typed.has_value);
    types::STRING.decode(&typed.value).unwrap()
}

/// A text for `example/log`, which is how these functions tell what they saw.
fn told(text: impl AsRef<str>) -> Message {
    MessageBuilder::to(Address::new(LOG, "")).value(text.as_ref())
}

async fn greet(context: &mut Context, _message: Message) -> Result<(), BoxError> {
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
    context.storage().set(&SEEN, seen)?;
    let caller = context
        .caller()
        .ok_or("greet answers its caller, and there is none")?;
    let reply = MessageBuilder::to(caller.clone()).value(format!("hello, visit {seen}"));
    context.send(reply);
    Ok(())
}

fn greeter() -> FunctionSpec {
    FunctionSpec::new(GREETER, greet).value(SEEN)
}
