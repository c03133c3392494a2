//! A customer: `{{name}}/customer/<customer>`. Sends mails.

use serde::{Deserialize, Serialize};
use stateful_functions::{
    BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, Type, TypeName, ValueSpec,
    types,
};

pub const CUSTOMER: TypeName = TypeName::new("{{name}}/customer");

/// The egress for mails; `module.yaml` says where they go.
pub const MAIL: TypeName = TypeName::new("{{name}}/mail");

/// A message from a cart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    CheckedOut { cents: u64 },
    LeftCart { items: usize },
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    pub orders: u32,
    pub spent_cents: u64,
}

impl Event {
    pub const TYPE: Type<Self> = types::json("{{name}}/event");
}

impl Customer {
    pub const STATE: ValueSpec<Self> = ValueSpec::new("customer", types::json("{{name}}/customer"));
}

async fn customer(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let name = context.address().id().to_owned();
    let mail = match message.require(&Event::TYPE)? {
        Event::CheckedOut { cents } => {
            let mut customer = context.storage().get(&Customer::STATE)?.unwrap_or_default();
            customer.orders += 1;
            customer.spent_cents += cents;
            let mail = format!("{name}: thank you for order {}", customer.orders);
            context.storage().set(&Customer::STATE, customer)?;
            mail
        }
        Event::LeftCart { items } => format!("{name}: still in your cart: {items}"),
    };
    context.send_egress(EgressMessageBuilder::to(MAIL).value(mail));
    Ok(())
}

pub(crate) fn spec() -> FunctionSpec {
    FunctionSpec::new(CUSTOMER, customer).value(Customer::STATE)
}
