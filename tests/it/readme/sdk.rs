//! The test that `docs/sdk.md` shows, and the function it tests.

use std::time::Duration;

use stateful_functions::testing::Harness;
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, SdkError, StatefulFunctions,
    TypeName, ValueSpec, types,
};

const GREETER: TypeName = TypeName::new("example/greeter");
const SEEN: ValueSpec<i32> =
    ValueSpec::new("seen", types::INT).expire_after_write(Duration::from_secs(24 * 3600));

async fn greet(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let name = message.require(&types::STRING)?;
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
    context.storage().set(&SEEN, seen)?;
    context.reply(format!("Hello {name}, visit {seen}"));
    let again = context.token("again");
    context.cancel_delayed_message(&again);
    let later = MessageBuilder::to(context.address().clone()).forward(&message);
    context.send_after_with_token(Duration::from_secs(3600), again, later)?;
    Ok(())
}

fn functions() -> Result<StatefulFunctions, SdkError> {
    StatefulFunctions::new().with(FunctionSpec::new(GREETER, greet).value(SEEN))
}

#[tokio::test]
async fn a_greeter_counts_visits_also_over_a_crash() {
    let mut harness = Harness::new(functions().unwrap());
    let bob = Address::new(GREETER, "bob");
    let hello = || MessageBuilder::to(bob.clone()).value("bob");

    let answer = harness.call(hello()).await.unwrap();
    assert_eq!(
        answer.require(&types::STRING).unwrap(),
        "Hello bob, visit 1"
    );
    harness.restart();
    harness.advance(Duration::from_secs(3600)).await.unwrap(); // its own message comes
    assert_eq!(harness.state(&bob, &SEEN).unwrap(), Some(2));
    assert!(harness.failures().is_empty());
}

#[test]
fn the_guide_shows_this_function_and_this_test() {
    let guide = include_str!("../../../docs/sdk.md");
    let here = include_str!("sdk.rs");
    for (from, to) in [("async fn greet", "\n}\n"), ("#[tokio::test]", "\n}\n")] {
        let start = here.find(from).unwrap();
        let code = here.get(start..).unwrap().split(to).next().unwrap();
        assert!(guide.contains(code), "docs/sdk.md does not show\n{code}");
    }
}
