//! `testing::Harness`: functions together, on virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use stateful_functions::clock::ManualClock;
use stateful_functions::testing::{Harness, HarnessError};
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
    StatefulFunction, StatefulFunctions, Timestamp, TypeName, ValueSpec, types,
};
use tokio::sync::Notify;

const CART: TypeName = TypeName::new("shop/cart");
const STOCK: TypeName = TypeName::new("shop/stock");
const ORDERS: TypeName = TypeName::new("shop/orders");
const ITEMS: ValueSpec<String> = ValueSpec::new("items", types::STRING);
const LEFT: ValueSpec<i32> = ValueSpec::new("left", types::INT);
const SEEN: ValueSpec<bool> =
    ValueSpec::new("seen", types::BOOL).expire_after_call(Duration::from_secs(10));

const SECOND: Duration = Duration::from_secs(1);

/// Adds the requested items, asks the stock for them, and orders a minute later.
async fn cart(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let text = message.require(&types::STRING)?;
    let items = context.storage().get(&ITEMS)?.unwrap_or_default();
    match &*text {
        "order" => context.send_egress(EgressMessageBuilder::to(ORDERS).value(items)),
        "what" => {
            let caller = context.caller().ok_or("nobody asks")?.clone();
            context.send(MessageBuilder::to(caller).value(items));
        }
        "one" | "none" => {}
        item => {
            context.storage().set(&ITEMS, format!("{items}{item} "))?;
            context.send(MessageBuilder::to(Address::new(STOCK, item)).value(1));
            let order = MessageBuilder::to(context.address().clone()).value("order");
            context.send_after(Duration::from_secs(60), order)?;
        }
    }
    Ok(())
}

async fn stock(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let left = context.storage().get(&LEFT)?.unwrap_or(1) - message.require(&types::INT)?;
    if left < 0 {
        return Err("sold out".into());
    }
    context.storage().set(&LEFT, left)?;
    let answer = if left == 0 { "none" } else { "one" };
    let caller = context.caller().ok_or("nobody buys")?.clone();
    context.send(MessageBuilder::to(caller).value(answer));
    Ok(())
}

fn shop() -> Harness {
    let functions = StatefulFunctions::new()
        .with(FunctionSpec::new(CART, cart).value(ITEMS))
        .unwrap()
        .with(FunctionSpec::new(STOCK, stock).value(LEFT))
        .unwrap();
    Harness::new(functions)
}

fn bob() -> Address {
    Address::new(CART, "bob")
}

fn say(text: &str) -> Message {
    MessageBuilder::to(bob()).value(text)
}

#[tokio::test]
async fn functions_talk_to_each_other_and_remember() {
    let mut shop = shop();
    shop.send(say("tea")).unwrap();
    shop.run().await.unwrap();
    assert_eq!(shop.state(&bob(), &ITEMS).unwrap().unwrap(), "tea ");
    let tea = Address::new(STOCK, "tea");
    assert_eq!(shop.state(&tea, &LEFT).unwrap(), Some(0));
    assert_eq!(shop.next_due(), Some(60 * SECOND));
    shop.advance(60 * SECOND).await.unwrap();
    assert_eq!(
        shop.egress_values(&ORDERS, &types::STRING).unwrap(),
        ["tea "]
    );
    assert_eq!(shop.next_due(), None);
}

#[tokio::test]
async fn a_call_is_answered_with_the_first_message_to_its_caller() {
    let mut shop = shop();
    shop.send(say("tea")).unwrap();
    let answer = shop.call(say("what")).await.unwrap();
    assert_eq!(answer.require(&types::STRING).unwrap(), "tea ");
    let silence = shop.call(say("milk")).await.unwrap_err();
    assert!(matches!(silence, HarnessError::NoAnswer { target } if target == bob()));
}

#[tokio::test]
async fn a_failed_batch_is_reported_has_no_effect_and_is_sent_again_after_its_wait() {
    let mut shop = shop();
    let tea = Address::new(STOCK, "tea");
    shop.set_state(&tea, &LEFT, Some(&0)).unwrap();
    shop.send(say("tea")).unwrap();
    let failed = shop.run().await.unwrap_err().to_string();
    assert_eq!(
        failed,
        "function shop/stock/tea failed: function shop/stock/tea failed on message 1 of 1: sold out"
    );
    assert_eq!(shop.run().await.ok(), Some(()), "it waits");

    shop.set_state(&tea, &LEFT, Some(&5)).unwrap();
    shop.advance(SECOND).await.unwrap();
    assert_eq!(shop.state(&tea, &LEFT).unwrap(), Some(4));
    assert_eq!(shop.failures().len(), 1);
}

#[tokio::test]
async fn a_restart_keeps_accepted_messages_and_loses_the_calls_in_progress() {
    let mut shop = shop();
    shop.send(say("tea")).unwrap();
    shop.send(say("milk")).unwrap();
    assert_eq!(shop.calls_in_flight(), 1);
    shop.restart();
    shop.run().await.unwrap();
    shop.restart();
    shop.advance(60 * SECOND).await.unwrap();
    assert_eq!(
        shop.egress_values(&ORDERS, &types::STRING).unwrap(),
        ["tea milk ", "tea milk "]
    );
}

#[tokio::test]
async fn values_expire_on_virtual_time() {
    let see = async |context: &mut Context, _message: Message| {
        let seen = context.storage().get(&SEEN)?.unwrap_or(false);
        context.storage().set(&SEEN, true)?;
        let caller = context.caller().ok_or("nobody asks")?.clone();
        context.send(MessageBuilder::to(caller).value(seen));
        Ok(())
    };
    let spec = FunctionSpec::new(CART, see).value(SEEN);
    let mut harness = Harness::new(StatefulFunctions::new().with(spec).unwrap());
    for (wait, seen) in [(0, false), (9, true), (9, true), (10, false)] {
        harness.advance(wait * SECOND).await.unwrap();
        let answer = harness.call(say("")).await.unwrap();
        assert_eq!(answer.require(&types::BOOL).unwrap(), seen);
    }
    harness.advance(10 * SECOND).await.unwrap();
    assert_eq!(harness.state(&bob(), &SEEN).unwrap(), None);
}

#[tokio::test]
async fn a_message_that_cannot_be_delivered_is_refused_with_its_target() {
    let mut shop = shop();
    let nobody = MessageBuilder::to(Address::new(ORDERS, "x")).value(1);
    let refused = shop.send(nobody).unwrap_err().to_string();
    assert_eq!(
        refused,
        "message to shop/orders/x was refused: no such function is registered"
    );
    let wrong = ValueSpec::new("items", types::INT);
    shop.send(say("tea")).unwrap();
    shop.run().await.unwrap();
    assert!(shop.set_state(&bob(), &wrong, Some(&1)).is_err());
    assert!(shop.state(&bob(), &wrong).is_err());
}

/// Waits for a door to open, and counts the messages of each call.
#[derive(Default)]
struct Gate {
    open: AtomicBool,
    opened: Notify,
}

struct Gated(Arc<Gate>);

impl StatefulFunction for Gated {
    async fn invoke(&self, context: &mut Context, _message: Message) -> Result<(), BoxError> {
        while !self.0.open.load(Ordering::SeqCst) {
            self.0.opened.notified().await;
        }
        context.send_egress(EgressMessageBuilder::to(ORDERS).value("in"));
        Ok(())
    }
}

#[tokio::test]
async fn a_run_waits_for_functions_that_wait_and_continues_after_it_was_dropped() {
    let gate = Arc::new(Gate::default());
    let spec = FunctionSpec::new(CART, Gated(Arc::clone(&gate)));
    let mut harness = Harness::new(StatefulFunctions::new().with(spec).unwrap());
    harness.send(say("first")).unwrap();
    assert!(harness.run().now_or_never().is_none());
    assert_eq!(harness.calls_in_flight(), 1);

    let open = async {
        tokio::task::yield_now().await;
        gate.open.store(true, Ordering::SeqCst);
        gate.opened.notify_waiters();
    };
    let (ran, ()) = tokio::join!(harness.run(), open);
    ran.unwrap();
    assert_eq!(harness.egress(&ORDERS).len(), 1);
}

#[tokio::test]
async fn functions_can_share_the_clock() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(5)));
    let mut harness = Harness::with_clock(StatefulFunctions::new(), Arc::clone(&clock));
    clock.set(Timestamp::from_millis(7));
    harness.advance(SECOND).await.unwrap();
    assert_eq!(harness.now(), Timestamp::from_millis(1_007));
}
