//! The handler, as a runtime sees it: a `ToFunction` in, a `FromFunction` out, no server.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::handler::{HandlerError, RequestReplyHandler};
use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode;
use stateful_functions::protocol::reqreply::from_function::persisted_value_mutation::MutationType;
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
    Address, BoxError, CancellationToken, Context, EgressMessageBuilder, FunctionSpec, Message,
    MessageBuilder, OnFailure, StatefulFunctions, Type, TypeName, ValueSpec, types,
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

#[tokio::test]
async fn sf_03_an_empty_stored_value_and_an_absent_one_stay_distinct() {
    let tell = async |context: &mut Context, _: Message| {
        let (name, last) = (context.storage().get(&NAME)?, context.storage().get(&LAST)?);
        context.storage().set(&LAST, String::new())?;
        context.send(told(format!("{name:?} {last:?}")));
        Ok(())
    };
    let result = Batch::default()
        .stored("name", &types::STRING, &String::new())
        .absent("last")
        .message("go")
        .run(FunctionSpec::new(GREETER, tell).value(NAME).value(LAST))
        .await;
    assert_eq!(
        text(result.outgoing_messages[0].argument.as_ref()),
        r#"Some("") None"#
    );
    assert_eq!(text(result.state_mutations[0].state_value.as_ref()), "");
}

#[tokio::test]
async fn a_stored_entry_without_a_value_counts_as_absent() {
    let mut batch = Batch::default().stored("name", &types::STRING, &"old".to_owned());
    let unset = TypedValue {
        has_value: false,
        ..typed(&types::STRING, &"old".to_owned())
    };
    batch.state[0].state_value = Some(unset.encode_to_vec().into());
    let tell = async |context: &mut Context, _: Message| {
        assert_eq!(context.storage().get(&NAME)?, None);
        Ok(())
    };
    let spec = FunctionSpec::new(GREETER, tell).value(NAME);
    assert_eq!(
        batch.message("go").run(spec).await,
        InvocationResponse::default()
    );
}

#[tokio::test]
async fn sf_04_a_forwarded_message_keeps_fields_above_three() {
    let mut argument = typed(&types::STRING, &"hi".to_owned()).encode_to_vec();
    argument.extend_from_slice(&[0x22, 0x03, b'k', b'=', b'v']);
    let forward = async |context: &mut Context, message: Message| {
        context.send(MessageBuilder::to(Address::new(LOG, "x")).forward(&message));
        let delayed = MessageBuilder::to(Address::new(LOG, "x")).forward(&message);
        context.send_after(Duration::from_secs(1), delayed)?;
        Ok(())
    };
    let result = Batch::default()
        .invocation(None, argument.clone())
        .run(FunctionSpec::new(GREETER, forward))
        .await;
    assert_eq!(
        result.outgoing_messages[0].argument.as_ref().unwrap(),
        &argument
    );
    assert_eq!(
        result.delayed_invocations[0].argument.as_ref().unwrap(),
        &argument
    );
}

#[tokio::test]
async fn sf_05_a_request_without_a_batch_is_answered_with_no_effects() {
    let handler = handler(greeter());
    let unknown = Bytes::from_static(&[0x0A, 0x01, b'x']);
    assert!(handler.handle(unknown).await.unwrap().is_empty());
    let idle = FunctionSpec::new(GREETER, async |_: &mut Context, _: Message| Ok(()));
    assert_eq!(
        Batch::default().message("go").run(idle).await,
        InvocationResponse::default()
    );
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
    let request = Batch::default()
        .absent("seen")
        .absent("other")
        .message("go")
        .encode();
    let reply = handler.handle(request).await.unwrap();
    assert_eq!(reply[..2], [0xAA, 0x06]);
    let names: Vec<_> = missing(reply)
        .into_iter()
        .map(|value| value.state_name)
        .collect();
    assert_eq!(names, ["name", "last"]);
}

#[tokio::test]
async fn sf_11_expirations_are_asked_for_with_mode_and_milliseconds() {
    let handler = handler(greeter().value(LAST).value(NAME));
    let asked = missing(
        handler
            .handle(Batch::default().message("go").encode())
            .await
            .unwrap(),
    );
    let expirations: Vec<_> = asked
        .iter()
        .map(|value| {
            value
                .expiration_spec
                .map(|spec| (spec.mode(), spec.expire_after_millis))
        })
        .collect();
    assert_eq!(
        expirations,
        [
            None,
            Some((ExpireMode::AfterWrite, 2)),
            Some((ExpireMode::AfterInvoke, 60_000))
        ]
    );
    assert_eq!(asked[0].type_typename, "io.statefun.types/int");
}

#[tokio::test]
async fn sf_12_later_invocations_see_earlier_writes_and_one_mutation_is_left() {
    let result = Batch::default()
        .stored("seen", &types::INT, &1)
        .message("a")
        .message("b")
        .run(greeter())
        .await;
    assert_eq!(result.state_mutations.len(), 1);
    let value = result.state_mutations[0].state_value.clone().unwrap();
    assert_eq!(TypedValue::decode(value).unwrap(), typed(&types::INT, &3));
    assert_eq!(
        text(result.outgoing_messages[1].argument.as_ref()),
        "hello, visit 3"
    );
}

#[tokio::test]
async fn sf_12_set_then_remove_deletes_remove_then_set_modifies_and_reading_leaves_nothing() {
    const MORE: ValueSpec<i64> = ValueSpec::new("more", types::LONG);
    let touch = async |context: &mut Context, _: Message| {
        let storage = context.storage();
        storage.get(&SEEN)?;
        storage.set(&NAME, "new".to_owned())?;
        storage.remove(&NAME)?;
        storage.remove(&LAST)?;
        assert_eq!(storage.get(&LAST)?, None);
        storage.set(&LAST, "kept".to_owned())?;
        assert_eq!(storage.get(&LAST)?.as_deref(), Some("kept"));
        storage.remove(&MORE)?;
        Ok(())
    };
    let spec = FunctionSpec::new(GREETER, touch)
        .value(SEEN)
        .value(LAST)
        .value(NAME)
        .value(MORE);
    let result = Batch::default()
        .stored("name", &types::STRING, &"old".to_owned())
        .stored("seen", &types::INT, &1)
        .stored("last", &types::STRING, &"old".to_owned())
        .absent("more")
        .message("go")
        .run(spec)
        .await;
    let left: Vec<_> = result
        .state_mutations
        .iter()
        .map(|left| {
            (
                left.state_name.as_str(),
                left.mutation_type(),
                left.state_value.is_some(),
            )
        })
        .collect();
    assert_eq!(
        left,
        [
            ("last", MutationType::Modify, true),
            ("name", MutationType::Delete, false),
            ("more", MutationType::Delete, false)
        ]
    );
}

#[tokio::test]
async fn sf_13_a_stored_value_of_another_type_is_an_error_that_names_both() {
    let batch = Batch::default()
        .stored("seen", &types::LONG, &1)
        .message("go");
    assert_eq!(
        batch.fail(greeter()).await,
        "function example/greeter/bob failed on message 1 of 1: stored value `seen` of example/greeter: \
         expected io.statefun.types/int, got io.statefun.types/long"
    );
}

#[tokio::test]
async fn sf_13_an_undeclared_value_is_an_error_that_names_the_declared_ones() {
    let spec = FunctionSpec::new(GREETER, greet).value(NAME).value(LAST);
    let batch = Batch::default().absent("name").absent("last").message("go");
    let line = batch.fail(spec).await;
    assert!(
        line.ends_with("value `seen` is not declared by example/greeter; declared: name, last"),
        "{line}"
    );
}

#[tokio::test]
async fn sf_13_a_value_declared_with_another_type_is_an_error_that_names_both() {
    const LONG_SEEN: ValueSpec<i64> = ValueSpec::new("seen", types::LONG);
    let set = async |context: &mut Context, _: Message| Ok(context.storage().set(&LONG_SEEN, 1)?);
    let line = Batch::default()
        .absent("seen")
        .message("go")
        .fail(FunctionSpec::new(GREETER, set).value(SEEN))
        .await;
    assert!(
        line.ends_with(
            "value `seen` of example/greeter is declared as io.statefun.types/int, and used as io.statefun.types/long"
        ),
        "{line}"
    );
}

#[tokio::test]
async fn sf_14_the_caller_is_none_for_ingress_messages_and_for_three_empty_fields() {
    let tell = async |context: &mut Context, message: Message| {
        let caller = context.caller().map(Address::to_string);
        let value = message.get(&types::STRING)?;
        context.send(told(format!("{caller:?} {value:?}")));
        Ok(())
    };
    let none = || TypedValue::default().encode_to_vec();
    let result = Batch::default()
        .invocation(None, none())
        .invocation(Some(wire("", "", "")), none())
        .invocation(Some(wire("a/b", "", "c")), none())
        .message("hi")
        .run(FunctionSpec::new(GREETER, tell))
        .await;
    let seen: Vec<_> = result
        .outgoing_messages
        .iter()
        .map(|message| text(message.argument.as_ref()))
        .collect();
    assert_eq!(
        seen,
        [
            "None None",
            "None None",
            r#"Some("a/b//c") None"#,
            r#"Some("example/person/amy") Some("hi")"#
        ]
    );
}

#[tokio::test]
async fn sf_15_effects_keep_the_order_of_the_calls() {
    let all = async |context: &mut Context, message: Message| {
        let nth = message.require(&types::STRING)?;
        let token = CancellationToken::of(context.address(), 0);
        context.send(told(format!("{nth} a")));
        context.cancel_delayed_message(&token);
        context.send_after_with_token(Duration::from_secs(1), token, told(format!("{nth} b")))?;
        context.send_after(Duration::ZERO, told(format!("{nth} c")))?;
        context.send_egress(EgressMessageBuilder::to(LOG).value(format!("{nth} d")));
        context.send(told(format!("{nth} e")));
        Ok(())
    };
    let batch = Batch::default().message("1").message("2");
    let result = batch.run(FunctionSpec::new(GREETER, all)).await;
    let messages: Vec<_> = result
        .outgoing_messages
        .iter()
        .map(|message| text(message.argument.as_ref()))
        .collect();
    assert_eq!(messages, ["1 a", "1 e", "2 a", "2 e"]);
    let delayed: Vec<_> = result
        .delayed_invocations
        .iter()
        .map(|delayed| match delayed.is_cancellation_request {
            true => format!("cancel {}", delayed.cancellation_token),
            false => text(delayed.argument.as_ref()),
        })
        .collect();
    let cancel = "cancel example/greeter/bob/0";
    assert_eq!(delayed, [cancel, "1 b", "1 c", cancel, "2 b", "2 c"]);
    let egresses: Vec<_> = result
        .outgoing_egresses
        .iter()
        .map(|message| text(message.argument.as_ref()))
        .collect();
    assert_eq!(egresses, ["1 d", "2 d"]);
}

#[tokio::test]
async fn sf_16_delays_are_whole_milliseconds_rounded_up_and_bounded() {
    let delay = async |context: &mut Context, _: Message| {
        context.send_after(Duration::from_micros(1_200), told(""))?;
        context.send_after(Duration::from_millis(i64::MAX.unsigned_abs()), told(""))?;
        let too_long = context.send_after(Duration::MAX, told("")).unwrap_err();
        assert_eq!(
            too_long.to_string(),
            "a delay must be at most i64::MAX milliseconds"
        );
        let token = CancellationToken::new("t")?;
        let refused = context.send_after_with_token(Duration::MAX, token.clone(), told(""));
        assert!(refused.is_err());
        context.send_after_with_token(Duration::ZERO, token, told(""))?;
        Ok(())
    };
    let result = Batch::default()
        .message("go")
        .run(FunctionSpec::new(GREETER, delay))
        .await;
    let delays: Vec<_> = result
        .delayed_invocations
        .iter()
        .map(|delayed| delayed.delay_in_ms)
        .collect();
    assert_eq!(delays, [2, i64::MAX, 0]);
}

#[tokio::test]
async fn sf_17_a_token_armed_twice_in_a_batch_is_an_error_that_names_both_calls() {
    let arm = async |context: &mut Context, _: Message| {
        let token = CancellationToken::of(context.address(), 0);
        Ok(context.send_after_with_token(Duration::from_secs(1), token, told("later"))?)
    };
    let batch = || Batch::default().message("a").message("b");
    let line = batch().fail(FunctionSpec::new(GREETER, arm)).await;
    let expected = "function example/greeter/bob failed on message 2 of 2: \
                    cancellation token `example/greeter/bob/0` of example/greeter/bob is armed twice in one batch, at ";
    assert!(line.starts_with(expected), "{line}");
    assert_eq!(line.matches("handler.rs:").count(), 2, "{line}");

    let move_it = async |context: &mut Context, _: Message| {
        let token = CancellationToken::of(context.address(), 0);
        context.cancel_delayed_message(&token);
        Ok(context.send_after_with_token(Duration::from_secs(1), token, told("later"))?)
    };
    let result = batch().run(FunctionSpec::new(GREETER, move_it)).await;
    assert_eq!(result.delayed_invocations.len(), 4);
}

#[tokio::test]
async fn sf_20_an_error_or_panic_in_the_last_invocation_fails_the_batch_and_the_next_request_works()
{
    let fussy = async |context: &mut Context, message: Message| {
        context.send(told("before"));
        match &*message.require(&types::STRING)? {
            "fail" => Err("no\nway".into()),
            "panic" => panic!("boom at {}", context.address().id()),
            "panic with a number" => std::panic::panic_any(7),
            _ => Ok(()),
        }
    };
    let handler = handler(FunctionSpec::new(GREETER, fussy));
    for (last, reason) in [
        ("fail", "no way"),
        ("panic", "panicked: boom at bob"),
        ("panic with a number", "panicked"),
    ] {
        let request = Batch::default().message("fine").message(last).encode();
        let err = handler.handle(request).await.unwrap_err();
        assert!(matches!(
            err,
            HandlerError::Function {
                message: 2,
                batch: 2,
                ..
            }
        ));
        assert_eq!(err.status(), 500);
        assert_eq!(
            err.to_line(),
            format!("function example/greeter/bob failed on message 2 of 2: {reason}")
        );
        let next = handler
            .handle(Batch::default().message("fine").encode())
            .await;
        assert_eq!(result(next.unwrap()).outgoing_messages.len(), 1);
    }
}

#[tokio::test]
async fn sf_21_an_unknown_type_is_named_with_the_known_ones() {
    let functions = StatefulFunctions::new().with(greeter()).unwrap();
    let handler: RequestReplyHandler = functions
        .with(FunctionSpec::new(LOG, greet))
        .unwrap()
        .into();
    let request = Batch::default()
        .message("go")
        .encode_for("example", "greter");
    let err = handler.handle(request).await.unwrap_err();
    assert_eq!(err.status(), 500);
    assert_eq!(
        err.to_line(),
        "function example/greter is not registered here; known: example/greeter, example/log"
    );
}

#[tokio::test]
async fn sf_21_bytes_that_are_not_a_request_are_malformed_and_nothing_runs() {
    let handler = handler(FunctionSpec::new(
        GREETER,
        async |_: &mut Context, _: Message| panic!("it ran"),
    ));
    let whole = Batch::default().message("go").encode();
    let mut bad_argument = Batch::default().message("fine");
    bad_argument = bad_argument.invocation(None, vec![0x0A, 0x7F]);
    let mut bad_caller = Batch::default().message("fine");
    bad_caller.invocations[0].caller = Some(Bytes::from_static(&[0x1A, 0x01, 0xFF]));
    for bad in [
        bad_caller.encode(),
        Bytes::from_static(b"<html>"),
        whole.slice(..whole.len() - 1),
        bad_argument.encode(),
        Batch::default()
            .invocation(None, vec![0x0A, 0x01, 0xFF])
            .encode(),
    ] {
        let err = handler.handle(bad).await.unwrap_err();
        assert_eq!(err.status(), 400);
        assert!(
            err.to_line()
                .starts_with("request body is not a ToFunction message: ")
        );
    }
}

#[tokio::test]
async fn without_a_hook_a_failed_message_fails_the_batch_with_one_it_is_dropped_without_its_effects()
 {
    let fussy = async |context: &mut Context, message: Message| {
        let text = message.require(&types::STRING)?;
        let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
        context.storage().set(&SEEN, seen)?;
        context.send(told(&text));
        context.send_egress(EgressMessageBuilder::to(LOG).value(&text));
        let token = CancellationToken::of(context.address(), u64::from(text == "b"));
        context.send_after_with_token(Duration::from_secs(1), token, told(&text))?;
        assert_ne!(text, "b", "no b please");
        Ok(())
    };
    let spec = || FunctionSpec::new(GREETER, fussy).value(SEEN);
    let batch = || {
        Batch::default()
            .absent("seen")
            .message("a")
            .message("b")
            .message("b")
    };
    let line = batch().fail(spec()).await;
    assert!(line.contains("message 2 of 3: panicked: "), "{line}");

    let result = batch().run(spec().on_failure(|_| OnFailure::Drop)).await;
    assert_eq!(result.outgoing_messages.len(), 1);
    assert_eq!(result.outgoing_egresses.len(), 1);
    assert_eq!(result.delayed_invocations.len(), 1);
    let seen = result.state_mutations[0].state_value.clone().unwrap();
    assert_eq!(TypedValue::decode(seen).unwrap(), typed(&types::INT, &1));

    let emit = spec().on_failure(|failed| {
        let caller = failed.caller.map(Address::to_string).unwrap_or_default();
        let text = format!("{caller} to {}: {}", failed.address, failed.error);
        OnFailure::Emit(EgressMessageBuilder::to(LOG).value(text))
    });
    let result = batch().run(emit).await;
    assert_eq!(result.outgoing_egresses.len(), 3);
    let emitted = text(result.outgoing_egresses[2].argument.as_ref());
    assert!(
        emitted.starts_with("example/person/amy to example/greeter/bob: panicked: ")
            && emitted.contains("no b please"),
        "{emitted}"
    );

    let refuse = spec().on_failure(|_| OnFailure::Fail);
    assert!(batch().fail(refuse).await.contains("message 2 of 3"));

    let broken = spec().on_failure(|_| panic!("out of ideas"));
    let line = batch().fail(broken).await;
    assert!(
        line.ends_with("failure hook panicked: out of ideas"),
        "{line}"
    );
}

/// A dropped future ends the batch where it waits; the next request works.
#[tokio::test]
async fn a_dropped_request_stops_between_invocations() {
    let wait = async |_: &mut Context, message: Message| match &*message.require(&types::STRING)? {
        "wait" => std::future::pending().await,
        "never" => panic!("it ran"),
        _ => Ok(()),
    };
    let handler = handler(FunctionSpec::new(GREETER, wait));
    let request = Batch::default().message("wait").message("never").encode();
    let mut reply = std::pin::pin!(handler.handle(request));
    let waits = std::future::poll_fn(|task| Poll::Ready(reply.as_mut().poll(task).is_pending()));
    assert!(waits.await);
    let next = handler
        .handle(Batch::default().message("fine").encode())
        .await;
    assert!(next.is_ok());
}
