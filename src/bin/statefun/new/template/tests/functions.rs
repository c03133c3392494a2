//! The functions, tested without a server and on virtual time.

use std::time::Duration;

use stateful_functions::testing::{Harness, TestContext};
use stateful_functions::{Address, MessageBuilder, types};
use {{crate}}::{CART, CUSTOMER, Cart, Command, Customer, Item, MAIL, functions};

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

fn tea() -> Item {
    Item {
        name: "tea".to_owned(),
        cents: 350,
    }
}

/// One function, one message at a time: its input and its effects.
#[tokio::test]
async fn a_cart_keeps_what_is_added_and_reminds_itself_later() {
    let functions = functions().unwrap();
    let cart = functions.spec(&CART).unwrap();
    let mut test = TestContext::new(cart.clone(), "bob").unwrap();

    let add = Command::Add(tea());
    let message = test.message().value_as(&Command::TYPE, add).unwrap();
    let effects = test.invoke(message).await.unwrap();

    assert_eq!(effects.delayed.len(), 1);
    assert_eq!(effects.delayed[0].delay, HALF_AN_HOUR);
    let kept = test.storage().get(&Cart::STATE).unwrap().unwrap();
    assert_eq!(kept.items, [tea()]);
}

/// All functions together, as a runtime runs them.
#[tokio::test]
async fn an_order_reaches_the_customer_and_no_reminder_follows() {
    let mut shop = Harness::new(functions().unwrap());
    shop.call(to_bobs_cart(Command::Add(tea()))).await.unwrap();
    let answer = shop.call(to_bobs_cart(Command::CheckOut)).await.unwrap();
    assert!(answer.require(&Cart::TYPE).unwrap().items.is_empty());
    shop.run().await.unwrap();

    let bob = Address::new(CUSTOMER, "bob");
    let customer = shop.state(&bob, &Customer::STATE).unwrap().unwrap();
    assert_eq!((customer.orders, customer.spent_cents), (1, 350));
    shop.advance(2 * HALF_AN_HOUR).await.unwrap();
    let mails = shop.egress_values(&MAIL, &types::STRING).unwrap();
    assert_eq!(mails, ["bob: thank you for order 1"]);
}

#[tokio::test]
async fn a_cart_that_is_left_alone_reminds_its_customer_also_after_a_crash() {
    let mut shop = Harness::new(functions().unwrap());
    shop.call(to_bobs_cart(Command::Add(tea()))).await.unwrap();
    shop.restart();
    shop.advance(HALF_AN_HOUR).await.unwrap();
    let mails = shop.egress_values(&MAIL, &types::STRING).unwrap();
    assert_eq!(mails, ["bob: still in your cart: 1"]);
}

fn to_bobs_cart(command: Command) -> stateful_functions::Message {
    MessageBuilder::to(Address::new(CART, "bob"))
        .value_as(&Command::TYPE, command)
        .unwrap()
}
