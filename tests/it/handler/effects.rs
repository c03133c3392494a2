//! What an answer asks for: messages, delays, cancellations and records, in their order.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::protocol::reqreply::TypedValue;
use stateful_functions::protocol::reqreply::from_function::InvocationResponse;
use stateful_functions::{
    Address, CancellationToken, Context, EgressMessageBuilder, FunctionSpec, Message,
    MessageBuilder, types,
};

use super::{Batch, GREETER, LOG, greeter, handler, text, told, typed, wire};

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
    assert_eq!(line.matches("effects.rs:").count(), 2, "{line}");

    let move_it = async |context: &mut Context, _: Message| {
        let token = CancellationToken::of(context.address(), 0);
        context.cancel_delayed_message(&token);
        Ok(context.send_after_with_token(Duration::from_secs(1), token, told("later"))?)
    };
    let result = batch().run(FunctionSpec::new(GREETER, move_it)).await;
    assert_eq!(result.delayed_invocations.len(), 4);
}
