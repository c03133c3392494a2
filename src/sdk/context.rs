//! The context of an invocation: what a function can see and do while it runs.

use std::borrow::Borrow;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::effects::Effects;
use super::types::BuiltIn;
use super::wire_address::Caller;
use super::{
    Address, AddressScopedStorage, CancellationToken, EgressMessage, Message, MessageBuilder,
    SdkError, Type,
};

/// The context of one invocation: its address and caller, the stored values, and the effects to apply once it succeeds.
///
/// Effects are applied when the whole batch has succeeded, in the order of the calls; a failed batch has none.
///
/// ```
/// use std::time::Duration;
/// use stateful_functions::{BoxError, Context, Message, MessageBuilder};
///
/// async fn remind(context: &mut Context, message: Message) -> Result<(), BoxError> {
///     let token = context.token("reminder");
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

    /// Who sent the message, or scheduled it if it is a delayed one. `None` when it came from an ingress that waits for no answer.
    pub fn caller(&self) -> Option<&Address> {
        self.caller.address()
    }

    /// The values that the function keeps at this address.
    pub const fn storage(&mut self) -> &mut AddressScopedStorage {
        &mut self.storage
    }

    /// Sends `message` to its target, which may be this very address.
    pub fn send(&mut self, message: Message) {
        self.effects.send(&message);
    }

    /// Answers the caller with a value of a built-in type. Returns `false`, and sends nothing, if there is no caller to answer: a message that
    /// an ingress took with `send` has no caller, and a delayed message of the function itself has the function as its caller.
    ///
    /// ```
    /// use stateful_functions::{BoxError, Context, Message};
    ///
    /// async fn greet(context: &mut Context, _message: Message) -> Result<(), BoxError> {
    ///     context.reply(format!("Hello, {}.", context.address().id()));
    ///     Ok(())
    /// }
    /// ```
    pub fn reply<T: BuiltIn>(&mut self, value: T) -> bool {
        let Some(caller) = self.other_caller() else {
            return false;
        };
        self.send(MessageBuilder::to(caller).value(value));
        true
    }

    /// Answers the caller with a value of type `ty`, like [`reply`](Self::reply).
    ///
    /// # Errors
    /// If the type's encoder refuses the value.
    pub fn reply_as<T>(&mut self, ty: &Type<T>, value: impl Borrow<T>) -> Result<bool, SdkError> {
        let Some(caller) = self.other_caller() else {
            return Ok(false);
        };
        self.send(MessageBuilder::to(caller).value_as(ty, value)?);
        Ok(true)
    }

    /// The caller, unless it is this very address: an answer to itself would be its next message.
    fn other_caller(&self) -> Option<Address> {
        let caller = self.caller()?;
        (*caller != self.address).then(|| caller.clone())
    }

    /// The token of this name at this address, for a delayed message that may have to be cancelled.
    #[must_use]
    pub fn token(&self, name: impl fmt::Display) -> CancellationToken {
        CancellationToken::of(&self.address, name)
    }

    /// Sends `message` after `delay`.
    ///
    /// The delay is in whole milliseconds of wall time, rounded up. A message with a delay of zero comes later, never in this batch.
    ///
    /// # Errors
    /// If `delay` is above `i64::MAX` milliseconds.
    pub fn send_after(&mut self, delay: Duration, message: Message) -> Result<(), SdkError> {
        self.effects.send_after(delay, &message)
    }

    /// Sends `message` after `delay`, unless `token` is cancelled first.
    ///
    /// [`token`](Self::token) makes one by name. A token must not be armed while it is pending:
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

    /// Cancels the pending delayed message of `token`. It is not an error if there is none; a message that is already on its way is delivered.
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

    /// The storage as the batch left it.
    pub(crate) const fn stored(&self) -> &AddressScopedStorage {
        &self.storage
    }
}
