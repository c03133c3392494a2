//! The functions of {{name}}: a cart for each customer, and the customers themselves.

mod cart;
mod customer;

pub use cart::{CART, Cart, Command, Item};
pub use customer::{CUSTOMER, Customer, Event, MAIL};

use stateful_functions::{SdkError, StatefulFunctions};

/// All functions, to be served or tested.
pub fn functions() -> Result<StatefulFunctions, SdkError> {
    StatefulFunctions::new()
        .with(cart::spec())?
        .with(customer::spec())
}
