//! The cart of a customer: `{{name}}/cart/<customer>`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stateful_functions::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, Type, TypeName, ValueSpec,
    types,
};

use crate::customer::{CUSTOMER, Event};

pub const CART: TypeName = TypeName::new("{{name}}/cart");

/// How long a cart stays unchanged before its customer is reminded of it.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A message to a cart. As JSON: `{"add": {"name": "tea", "cents": 350}}`, `"check_out"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Add(Item),
    CheckOut,
    /// Sent by the cart to itself, after it has not changed for a while.
    Remind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub name: String,
    pub cents: u64,
}

/// The state of a cart, which is also its answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cart {
    pub items: Vec<Item>,
}

impl Command {
    pub const TYPE: Type<Self> = types::json("{{name}}/command");
}

impl Cart {
    pub const TYPE: Type<Self> = types::json("{{name}}/contents");
    pub const STATE: ValueSpec<Self> = ValueSpec::new("cart", Self::TYPE);

    fn cents(&self) -> u64 {
        self.items.iter().map(|item| item.cents).sum()
    }
}

async fn cart(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let command = match message.require(&Command::TYPE) {
        Ok(command) => command,
        Err(error) => {
            // After an error of the function the message would be tried again, so an unreadable message is answered instead.
            context.reply(format!("not a command: {error}"));
            return Ok(());
        }
    };
    let mut cart = context.storage().get(&Cart::STATE)?.unwrap_or_default();
    let reminder = context.token("reminder");
    context.cancel_delayed_message(&reminder);
    match command {
        Command::Add(item) => {
            cart.items.push(item);
            let remind = MessageBuilder::to(context.address().clone())
                .value_as(&Command::TYPE, Command::Remind)?;
            context.send_after_with_token(PATIENCE, reminder, remind)?;
        }
        Command::CheckOut => {
            let cents = cart.cents();
            tell_customer(context, Event::CheckedOut { cents })?;
            cart = Cart::default();
        }
        Command::Remind if cart.items.is_empty() => {}
        Command::Remind => {
            let items = cart.items.len();
            tell_customer(context, Event::LeftCart { items })?;
        }
    }
    context.reply_as(&Cart::TYPE, &cart)?;
    context.storage().set(&Cart::STATE, cart)?;
    Ok(())
}

fn tell_customer(context: &mut Context, event: Event) -> Result<(), BoxError> {
    let customer = Address::new(CUSTOMER, context.address().id());
    context.send(MessageBuilder::to(customer).value_as(&Event::TYPE, event)?);
    Ok(())
}

pub(crate) fn spec() -> FunctionSpec {
    FunctionSpec::new(CART, cart).value(Cart::STATE)
}
