//! The handler, as a runtime sees it: a `ToFunction` in, a `FromFunction` out, no server.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::handler::{HandlerError, RequestReplyHandler};
use stateful_functions::protocol::reqreply::from_function::{
    IncompleteInvocationContext, InvocationResponse, Response,
};
use stateful_functions::protocol::reqreply::to_function::{
    Invocation, InvocationBatchRequest, PersistedValue, Request,
};
use stateful_functions::protocol::reqreply::{
    Address as WireAddress, FromFunction, ToFunction, TypedValue,
};
use stateful_functions::{
    BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunctions, TypeName,
    ValueSpec, types,
};

const GREETER: TypeName = TypeName::new("example/greeter");
const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);
const LAST: ValueSpec<String> =
    ValueSpec::new("last", types::STRING).expire_after_write(Duration::from_micros(1_500));
const NAME: ValueSpec<String> =
    ValueSpec::new("name", types::STRING).expire_after_call(Duration::from_secs(60));

async fn greet(context: &mut Context, _message: Message) -> Result<(), BoxError> {
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
    context.storage().set(&SEEN, seen)?;
    let caller = context
        .caller()
        .ok_or("greet answers its caller, and there is none")?
        .clone();
    context.send(MessageBuilder::to(caller).value(format!("hello, visit {seen}")));
    Ok(())
}

fn handler(spec: FunctionSpec) -> RequestReplyHandler {
    StatefulFunctions::new().with(spec).unwrap().into()
}

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

    fn message(mut self) -> Self {
        let caller = WireAddress {
            namespace: "example".into(),
            r#type: "person".into(),
            id: "amy".into(),
        };
        let argument = TypedValue {
            typename: "io.statefun.types/string".into(),
            has_value: true,
            value: types::STRING.encode(&"hi".to_owned()).unwrap(),
        };
        self.invocations.push(Invocation {
            caller: Some(caller.encode_to_vec().into()),
            argument: Some(argument.encode_to_vec().into()),
        });
        self
    }

    fn encode(self) -> Bytes {
        let batch = InvocationBatchRequest {
            target: Some(WireAddress {
                namespace: "example".into(),
                r#type: "greeter".into(),
                id: "bob".into(),
            }),
            state: self.state,
            invocations: self.invocations,
        };
        ToFunction {
            request: Some(Request::Invocation(batch)),
        }
        .encode_to_vec()
        .into()
    }
}

fn result(reply: Bytes) -> InvocationResponse {
    match FromFunction::decode(reply).unwrap().response.unwrap() {
        Response::InvocationResult(result) => result,
        Response::IncompleteInvocationContext(missing) => panic!("incomplete: {missing:?}"),
    }
}

fn missing(reply: Bytes) -> IncompleteInvocationContext {
    match FromFunction::decode(reply).unwrap().response.unwrap() {
        Response::IncompleteInvocationContext(missing) => missing,
        Response::InvocationResult(result) => panic!("ran: {result:?}"),
    }
}

#[tokio::test]
async fn sf_12_later_invocations_see_earlier_writes_and_one_mutation_is_left() {
    let handler = handler(FunctionSpec::new(GREETER, greet).value(SEEN));
    let request = Batch::default().absent("seen").message().message().encode();
    let result = result(handler.handle(request).await.unwrap());
    assert_eq!(result.state_mutations.len(), 1);
    assert_eq!(result.outgoing_messages.len(), 2);
    let text = TypedValue::decode(result.outgoing_messages[1].argument.clone().unwrap()).unwrap();
    assert_eq!(types::STRING.decode(&text.value).unwrap(), "hello, visit 2");
}

#[tokio::test]
async fn sf_10_missing_values_are_listed_in_declaration_order_and_nothing_runs() {
    let handler = handler(
        FunctionSpec::new(GREETER, async |_: &mut Context, _: Message| {
            panic!("it ran")
        })
        .value(NAME)
        .value(SEEN)
        .value(LAST),
    );
    let reply = handler
        .handle(Batch::default().absent("seen").message().encode())
        .await
        .unwrap();
    assert_eq!(reply[..2], [0xAA, 0x06]);
    let names: Vec<_> = missing(reply)
        .missing_values
        .into_iter()
        .map(|value| value.state_name)
        .collect();
    assert_eq!(names, ["name", "last"]);
}

#[tokio::test]
async fn sf_20_a_panic_fails_the_batch_and_the_next_request_works() {
    let handler = handler(FunctionSpec::new(
        GREETER,
        async |context: &mut Context, message: Message| {
            assert!(
                message.has_value() && context.caller().is_none(),
                "boom\nat night"
            );
            Ok(())
        },
    ));
    let err = handler
        .handle(Batch::default().message().encode())
        .await
        .unwrap_err();
    assert!(matches!(
        err,
        HandlerError::Function {
            message: 1,
            batch: 1,
            ..
        }
    ));
    assert_eq!(err.status(), 500);
    assert_eq!(
        err.to_line(),
        "function example/greeter/bob failed on message 1 of 1: panicked: boom at night"
    );
    assert_eq!(
        handler.handle(Batch::default().encode()).await.unwrap()[..],
        [0xA2, 0x06, 0x00]
    );
}
