//! Tests functions without a server: `cargo run --example testing --features testing`
//!
//! In your own project, enable the feature `testing` in the dev-dependencies, and use `#[tokio::test]` instead of `main`.

use std::time::Duration;

use stateful_functions::testing::{Harness, TestContext};
use stateful_functions::{
    Address, BoxError, CancellationToken, Context, EgressMessageBuilder, FunctionSpec, Message,
    MessageBuilder, StatefulFunctions, TypeName, ValueSpec, types,
};

const LOGIN: TypeName = TypeName::new("example/login");
const GUARD: TypeName = TypeName::new("example/guard");
const ALARMS: TypeName = TypeName::new("example/alarms");
const FAILED: ValueSpec<i32> =
    ValueSpec::new("failed", types::INT).expire_after_write(Duration::from_secs(600));

/// Counts failed logins (`false`). The third one alerts the guard, and again after an hour, unless a login (`true`) succeeds.
async fn watch(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let token = context.token("again");
    if message.require(&types::BOOL)? {
        context.storage().remove(&FAILED)?;
        context.cancel_delayed_message(&token);
        return Ok(());
    }
    let failed = context.storage().get(&FAILED)?.unwrap_or(0) + 1;
    context.storage().set(&FAILED, failed)?;
    if failed == 3 {
        context.send(alarm(context.address().id()));
        let again = alarm(context.address().id());
        context.send_after_with_token(Duration::from_secs(3600), token, again)?;
    }
    Ok(())
}

fn alarm(user: &str) -> Message {
    MessageBuilder::to(Address::new(GUARD, "")).value(user)
}

async fn guard(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let user = message.require(&types::STRING)?;
    context.send_egress(EgressMessageBuilder::to(ALARMS).value(user));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), BoxError> {
    // The tests of this file may have installed it already.
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    one_function().await?;
    functions_together().await
}

/// `TestContext`: one function, one message at a time.
async fn one_function() -> Result<(), BoxError> {
    let mut test = TestContext::new(FunctionSpec::new(LOGIN, watch).value(FAILED), "bob")?;

    // State in, effects out.
    test.storage().set(&FAILED, 2)?;
    let effects = test.invoke(test.message().value(false)).await?;
    assert_eq!(effects.messages, [alarm("bob")]);
    let delays: Vec<Duration> = effects
        .delayed
        .iter()
        .map(|delayed| delayed.delay)
        .collect();
    assert_eq!(delays, [Duration::from_secs(3600)]);
    assert_eq!(test.storage().get(&FAILED)?, Some(3));

    // The cancelled message does not arrive when its time has come.
    let effects = test.invoke(test.message().value(true)).await?;
    assert_eq!(
        effects.cancelled,
        [CancellationToken::of(test.address(), "again")]
    );
    assert!(test.advance(Duration::from_secs(3600)).is_empty());

    // Values expire on virtual time.
    test.storage().set(&FAILED, 2)?;
    test.advance(Duration::from_secs(600));
    let effects = test.invoke(test.message().value(false)).await?;
    assert!(effects.messages.is_empty());

    // A mistake is an error that says what to do.
    let told = test.invoke(test.message().value("who?")).await;
    let mistake = told.err().ok_or("a text is not a login")?;
    assert!(
        mistake
            .to_string()
            .contains("expected io.statefun.types/bool")
    );
    Ok(())
}

/// `Harness`: all functions together, as the runtime runs them, even across a crash.
async fn functions_together() -> Result<(), BoxError> {
    let functions = StatefulFunctions::new()
        .with(FunctionSpec::new(LOGIN, watch).value(FAILED))?
        .with(FunctionSpec::new(GUARD, guard))?;
    let mut harness = Harness::new(functions);
    let bob = Address::new(LOGIN, "bob");
    for _ in 0..3 {
        harness.send(MessageBuilder::to(bob.clone()).value(false))?;
    }
    harness.run().await?;
    assert_eq!(harness.state(&bob, &FAILED)?, Some(3));
    assert_eq!(harness.egress_values(&ALARMS, &types::STRING)?, ["bob"]);

    harness.restart();
    harness.advance(Duration::from_secs(3600)).await?;
    assert_eq!(harness.egress(&ALARMS).len(), 2);
    Ok(())
}
