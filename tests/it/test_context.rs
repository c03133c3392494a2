//! `testing::TestContext`: one function, one message, its effects as values.

use std::time::Duration;

use stateful_functions::testing::TestContext;
use stateful_functions::{
    Address, BoxError, CancellationToken, Context, EgressMessageBuilder, FunctionSpec, Message,
    MessageBuilder, TypeName, ValueSpec, types,
};

const REMINDER: TypeName = TypeName::new("example/reminder");
const LOG: TypeName = TypeName::new("example/log");
const TIMES: ValueSpec<i64> = ValueSpec::new("times", types::LONG);
const LAST: ValueSpec<String> =
    ValueSpec::new("last", types::STRING).expire_after_write(Duration::from_secs(10));
const OPEN: ValueSpec<bool> =
    ValueSpec::new("open", types::BOOL).expire_after_call(Duration::from_secs(10));

/// `later <text>`, `move <text>`, `stop`, `fail`, or a text to remember.
async fn remind(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let text = message.require(&types::STRING)?;
    let itself = || MessageBuilder::to(Address::new(REMINDER, "bob"));
    let token = CancellationToken::of(context.address(), 0);
    let times = context.storage().get(&TIMES)?.unwrap_or(0);
    context.storage().set(&TIMES, times + 1)?;
    let delay = Duration::from_secs(5);
    match text.split_once(' ') {
        Some(("later", what)) => {
            context.send_after_with_token(delay, token, itself().value(what))?;
        }
        Some(("move", what)) => {
            context.cancel_delayed_message(&token);
            context.send_after_with_token(delay, token, itself().value(what))?;
        }
        _ if text == "stop" => {
            context.cancel_delayed_message(&token);
            context.storage().remove(&LAST)?;
        }
        _ if text == "fail" => return Err("as you wish".into()),
        _ => {
            context.storage().set(&LAST, text.clone())?;
            context.storage().set(&OPEN, true)?;
            context.send_egress(EgressMessageBuilder::to(LOG).value(&text));
            if let Some(caller) = context.caller().cloned() {
                context.send(MessageBuilder::to(caller).forward(&message));
            }
        }
    }
    Ok(())
}

fn reminder() -> TestContext {
    let spec = FunctionSpec::new(REMINDER, remind)
        .value(TIMES)
        .value(LAST)
        .value(OPEN);
    TestContext::new(spec, "bob").unwrap()
}

fn texts(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| message.require(&types::STRING).unwrap())
        .collect()
}

#[tokio::test]
async fn sf_23_effects_and_state_of_one_message_are_returned_as_values() {
    let amy = Address::new(TypeName::new("example/person"), "amy");
    let mut test = reminder().with_caller(amy.clone());
    test.storage().set(&TIMES, 6).unwrap();

    let effects = test.invoke(test.message().value("milk")).await.unwrap();

    assert_eq!(effects.messages, [MessageBuilder::to(amy).value("milk")]);
    assert_eq!(
        effects.egress,
        [EgressMessageBuilder::to(LOG).value("milk")]
    );
    assert!(effects.delayed.is_empty() && effects.cancelled.is_empty());
    assert_eq!(test.storage().get(&TIMES).unwrap(), Some(7));
    assert_eq!(test.storage().get(&LAST).unwrap().as_deref(), Some("milk"));

    test.set_caller(None);
    let effects = test.invoke(test.message().value("eggs")).await.unwrap();
    assert!(effects.messages.is_empty());
}

#[tokio::test]
async fn sf_23_delayed_messages_wait_for_virtual_time_and_are_cancelled_by_their_token() {
    let mut test = reminder();
    let effects = test
        .invoke(test.message().value("later milk"))
        .await
        .unwrap();
    let token = CancellationToken::of(test.address(), 0);
    assert_eq!(effects.delayed.len(), 1);
    assert_eq!(effects.delayed[0].delay, Duration::from_secs(5));
    assert_eq!(effects.delayed[0].token.as_ref(), Some(&token));
    assert!(test.advance(Duration::from_millis(4_999)).is_empty());

    let effects = test
        .invoke(test.message().value("move eggs"))
        .await
        .unwrap();
    assert_eq!(effects.cancelled, std::slice::from_ref(&token));
    assert_eq!(test.pending().count(), 1);
    assert!(test.advance(Duration::from_millis(4_999)).is_empty());
    assert_eq!(texts(&test.advance(Duration::from_millis(1))), ["eggs"]);

    test.invoke(test.message().value("later tea"))
        .await
        .unwrap();
    let effects = test.invoke(test.message().value("stop")).await.unwrap();
    assert_eq!(effects.cancelled, [token]);
    assert!(test.advance(Duration::from_secs(60)).is_empty());
}

#[tokio::test]
async fn sf_23_messages_are_due_in_the_order_of_their_times() {
    let twice = async |context: &mut Context, _: Message| {
        let itself = |text| MessageBuilder::to(Address::new(REMINDER, "bob")).value(text);
        context.send_after(Duration::from_secs(2), itself("second"))?;
        context.send_after(Duration::from_secs(1), itself("first"))?;
        context.send_after(Duration::from_secs(2), itself("third"))?;
        Ok(())
    };
    let mut test = TestContext::new(FunctionSpec::new(REMINDER, twice), "bob").unwrap();
    test.invoke(test.message().value("go")).await.unwrap();
    let due = test.advance(Duration::from_secs(3));
    assert_eq!(texts(&due), ["first", "second", "third"]);
}

#[tokio::test]
async fn sf_23_values_expire_on_virtual_time() {
    let mut test = reminder();
    test.invoke(test.message().value("milk")).await.unwrap();
    test.advance(Duration::from_secs(6));
    test.invoke(test.message().value("later x")).await.unwrap(); // a call, but no write
    test.advance(Duration::from_secs(4));
    assert_eq!(test.storage().get(&LAST).unwrap(), None);
    assert_eq!(test.storage().get(&OPEN).unwrap(), Some(true));
    test.advance(Duration::from_secs(6));
    assert_eq!(test.storage().get(&OPEN).unwrap(), None);
    assert_eq!(test.storage().get(&TIMES).unwrap(), Some(2));

    test.storage().set(&LAST, "tea".to_owned()).unwrap();
    test.advance(Duration::from_millis(9_999));
    assert_eq!(test.storage().get(&LAST).unwrap().as_deref(), Some("tea"));
}

#[tokio::test]
async fn sf_23_a_failed_message_leaves_state_and_pending_messages_as_they_were() {
    let mut test = reminder();
    test.invoke(test.message().value("later milk"))
        .await
        .unwrap();
    let err = test.invoke(test.message().value("fail")).await.unwrap_err();
    assert_eq!(err.to_string(), "as you wish");
    assert_eq!(test.storage().get(&TIMES).unwrap(), Some(1));
    assert_eq!(test.pending().count(), 1);
}

#[tokio::test]
async fn sf_23_arming_a_pending_token_fails_as_on_the_real_runtime() {
    let mut test = reminder();
    test.invoke(test.message().value("later milk"))
        .await
        .unwrap();
    let err = test
        .invoke(test.message().value("later eggs"))
        .await
        .unwrap_err();
    let text = err.to_string();
    assert!(
        text.contains("a message with the same cancellation token exists")
            && text.contains("Flink"),
        "{text}"
    );
    assert_eq!(test.storage().get(&TIMES).unwrap(), Some(1));
    assert_eq!(texts(&test.advance(Duration::from_secs(5))), ["milk"]);
}

#[tokio::test]
async fn sf_23_storage_of_the_test_refuses_what_the_function_did_not_declare() {
    const OTHER: ValueSpec<i64> = ValueSpec::new("other", types::LONG);
    let err = reminder().storage().set(&OTHER, 1).unwrap_err();
    assert_eq!(
        err.to_string(),
        "value `other` is not declared by example/reminder; declared: times, last, open"
    );
}

#[tokio::test]
async fn a_reply_goes_to_the_caller_unless_nobody_waits_for_it() {
    let function = async |context: &mut Context, message: Message| {
        let is_sent = context.reply(message.require(&types::INT)? + 1);
        assert_eq!(context.reply_as(&types::LONG, 1)?, is_sent);
        Ok(())
    };
    let name = TypeName::new("test/answering");
    let amy = Address::new(TypeName::new("test/person"), "amy");
    let mut test = TestContext::new(FunctionSpec::new(name, function), "bob").unwrap();
    let itself = test.address().clone();
    for (caller, answers) in [(Some(amy.clone()), 2), (None, 0), (Some(itself), 0)] {
        test.set_caller(caller);
        let effects = test.invoke(test.message().value(1)).await.unwrap();
        assert_eq!(effects.messages.len(), answers);
        if let [first, _] = effects.messages.as_slice() {
            assert_eq!(*first, MessageBuilder::to(amy.clone()).value(2));
        }
    }
}
