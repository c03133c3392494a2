//! What fails: the batch, and nothing beside it.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::handler::{HandlerError, RequestReplyHandler};
use stateful_functions::protocol::reqreply::TypedValue;
use stateful_functions::{
    Address, CancellationToken, Context, EgressMessageBuilder, FunctionSpec, Message, OnFailure,
    StatefulFunctions, types,
};

use super::{Batch, GREETER, LOG, SEEN, greet, greeter, handler, result, text, told, typed};

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
