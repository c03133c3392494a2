//! The sample functions of the binary.

use std::time::Duration;

use stateful_functions::runtime::samples;
use stateful_functions::testing::{SideEffects, TestContext};
use stateful_functions::{Address, MessageBuilder, TypeName, types};

fn caller() -> Address {
    Address::new(TypeName::new("test/caller"), "me")
}

fn sample(name: &str) -> TestContext {
    let functions = samples::functions().unwrap();
    let spec = functions
        .specs()
        .iter()
        .find(|spec| spec.type_name().name() == name);
    TestContext::new(spec.unwrap().clone(), "bob")
        .unwrap()
        .with_caller(caller())
}

async fn say(test: &mut TestContext, text: &str) -> SideEffects {
    let message = test.message().value(text);
    test.invoke(message).await.unwrap()
}

fn answers(effects: &SideEffects) -> Vec<String> {
    effects
        .messages
        .iter()
        .map(|message| message.require(&types::STRING).unwrap())
        .collect()
}

#[tokio::test]
async fn the_greeter_counts_visits_and_answers_only_a_caller() {
    let mut greeter = sample("greeter");
    assert_eq!(
        answers(&say(&mut greeter, "hi").await),
        ["Hello bob, visit 1"]
    );
    greeter.set_caller(None);
    assert_eq!(say(&mut greeter, "hi").await, SideEffects::default());
    greeter.set_caller(Some(caller()));
    assert_eq!(
        answers(&say(&mut greeter, "hi").await),
        ["Hello bob, visit 3"]
    );
}

#[tokio::test]
async fn the_counter_adds_numbers_of_every_form_and_ignores_invalid_input() {
    let mut counter = sample("counter");
    let messages = [
        (counter.message().value(3), 3),
        (counter.message().value(4_i64), 7),
        (counter.message().value(" -2\n"), 5),
        (counter.message().raw("statefun/json", b"10"), 15),
    ];
    for (message, total) in messages {
        let effects = counter.invoke(message).await.unwrap();
        assert_eq!(
            effects.messages,
            [MessageBuilder::to(caller()).value(total as i64)]
        );
    }
    let told = answers(&say(&mut counter, "many").await);
    assert_eq!(told, ["not a whole number; the total stays as it is"]);
    let effects = counter.invoke(counter.message().value(0)).await.unwrap();
    assert_eq!(
        effects.messages,
        [MessageBuilder::to(caller()).value(15_i64)]
    );
}

#[tokio::test]
async fn a_reminder_fires_once_and_is_sent_to_its_egress() {
    let mut reminder = sample("reminder");
    let effects = say(&mut reminder, "in 5s drink your tea").await;
    assert_eq!(answers(&effects), ["reminding in 5s"]);
    let due = reminder.advance(Duration::from_secs(5));
    reminder.set_caller(Some(reminder.address().clone()));
    let [due] = due.as_slice() else {
        panic!("one message is due: {due:?}");
    };
    let effects = reminder.invoke(due.clone()).await.unwrap();
    let [out] = effects.egress.as_slice() else {
        panic!("one record: {effects:?}");
    };
    assert_eq!(out.egress().as_str(), "statefun.samples/out");
    assert_eq!(out.get(&types::STRING).unwrap().unwrap(), "drink your tea");
    assert_eq!(
        reminder.invoke(due.clone()).await.unwrap(),
        SideEffects::default()
    );
}

#[tokio::test]
async fn a_cancelled_reminder_never_fires_even_if_it_was_on_its_way() {
    let mut reminder = sample("reminder");
    say(&mut reminder, "in 5s drink your tea").await;
    let on_its_way = reminder.pending().next().unwrap().message.clone();
    assert_eq!(answers(&say(&mut reminder, "cancel").await), ["cancelled"]);
    assert_eq!(reminder.advance(Duration::from_secs(5)), []);
    assert_eq!(
        answers(&say(&mut reminder, "cancel").await),
        ["nothing to cancel"]
    );
    reminder.set_caller(Some(reminder.address().clone()));
    assert_eq!(
        reminder.invoke(on_its_way).await.unwrap(),
        SideEffects::default()
    );
}

#[tokio::test]
async fn a_second_reminder_takes_the_place_of_the_first() {
    let mut reminder = sample("reminder");
    say(&mut reminder, "in 5s drink your tea").await;
    let effects = say(&mut reminder, r#"{"after": "1m", "text": "go home"}"#).await;
    assert_eq!(answers(&effects), ["reminding in 60s instead"]);
    assert_eq!(reminder.advance(Duration::from_secs(59)), []);
    assert_eq!(reminder.advance(Duration::from_secs(1)).len(), 1);
}

#[tokio::test]
async fn invalid_input_is_answered_with_the_expected_form() {
    let mut reminder = sample("reminder");
    let effects = say(&mut reminder, "tomorrow").await;
    assert!(answers(&effects)[0].contains("in 5s TEXT"), "{effects:?}");
    assert!(effects.delayed.is_empty());
}
