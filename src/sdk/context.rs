//! What a function can see and do while it runs.

use std::panic::Location;
use std::time::Duration;

use super::effects::Effects;
use super::wire_address::Caller;
use super::{Address, AddressScopedStorage, CancellationToken, EgressMessage, Message, SdkError};

/// The context of one invocation: its address and caller, the stored values, and the effects to apply once it succeeds.
///
/// Effects take place when the whole batch succeeded, in the order of the calls; a failed batch has none.
///
/// ```
/// use std::time::Duration;
/// use stateful_functions::{BoxError, CancellationToken, Context, Message, MessageBuilder};
///
/// async fn remind(context: &mut Context, message: Message) -> Result<(), BoxError> {
///     let token = CancellationToken::of(context.address(), 0);
///     context.cancel_delayed_message(&token);
///     let again = MessageBuilder::to(context.address().clone()).forward(&message);
///     context.send_after_with_token(Duration::from_secs(60), token, again)?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Context {
    address: Address,
    caller: Caller,
    storage: AddressScopedStorage,
    effects: Effects,
}

impl Context {
    pub(crate) fn new(address: Address, storage: AddressScopedStorage) -> Self {
        Self {
            address,
            caller: Caller::default(),
            storage,
            effects: Effects::default(),
        }
    }

    /// The function's own address.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Who sent the message: `None` when it came from an ingress; of a delayed message, who scheduled it.
    pub fn caller(&self) -> Option<&Address> {
        self.caller.address()
    }

    /// What the function remembers at this address.
    pub const fn storage(&mut self) -> &mut AddressScopedStorage {
        &mut self.storage
    }

    /// Sends `message` to its target, which may be this very address.
    pub fn send(&mut self, message: Message) {
        self.effects.send(&message);
    }

    /// Sends `message` after `delay`.
    ///
    /// Whole milliseconds of wall time, rounded up; zero is delivered later, never in this batch.
    ///
    /// # Errors
    /// When `delay` is above `i64::MAX` milliseconds.
    pub fn send_after(&mut self, delay: Duration, message: Message) -> Result<(), SdkError> {
        self.effects.send_after(delay, &message)
    }

    /// Sends `message` after `delay`, unless `token` is cancelled first.
    ///
    /// StateFun scopes tokens by *id*, so [`CancellationToken::of`] carries the type. A token must not be armed while it is pending:
    /// on Flink that kills the job. To move a pending message, cancel it and arm it again, in this order.
    ///
    /// # Errors
    /// When `token` was armed in this batch and not cancelled since; the error names both calls. When `delay` is above
    /// `i64::MAX` milliseconds. Nothing is armed then.
    #[track_caller]
    pub fn send_after_with_token(
        &mut self,
        delay: Duration,
        token: CancellationToken,
        message: Message,
    ) -> Result<(), SdkError> {
        let call = Location::caller();
        self.effects
            .send_after_with_token(delay, token, &message, &self.address, call)
    }

    /// Cancels the pending delayed message of `token`. A token that is not pending is no error; a message on its way is delivered.
    pub fn cancel_delayed_message(&mut self, token: &CancellationToken) {
        self.effects.cancel(token);
    }

    /// Sends `message` to its egress.
    pub fn send_egress(&mut self, message: EgressMessage) {
        self.effects.send_egress(&message);
    }

    pub(crate) const fn caller_mut(&mut self) -> &mut Caller {
        &mut self.caller
    }

    pub(crate) const fn effects(&self) -> &Effects {
        &self.effects
    }

    pub(crate) const fn effects_mut(&mut self) -> &mut Effects {
        &mut self.effects
    }

    /// Storage, to be read only: what the batch left in it.
    pub(crate) const fn stored(&self) -> &AddressScopedStorage {
        &self.storage
    }
}
