//! Handling of failed messages without failing the whole batch.

use std::sync::Arc;

use super::{Address, BoxError, EgressMessage, FunctionSpec, Message};

/// A message with which its function failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedMessage<'a> {
    /// The function that failed.
    pub address: &'a Address,
    /// The sender of the message.
    pub caller: Option<&'a Address>,
    /// The message.
    pub message: &'a Message,
    /// The function's error, or the text of its panic.
    pub error: &'a BoxError,
}

/// What to do with a failed message. Except with `Fail`, the message's own effects are undone, and the batch continues.
#[derive(Debug)]
pub enum OnFailure {
    /// Fail the batch, as without a hook: the runtime sends it again.
    Fail,
    /// Drop the message.
    Drop,
    /// Send this to an egress instead of the message's effects.
    Emit(EgressMessage),
}

pub(crate) type FailureHook = Arc<dyn Fn(FailedMessage<'_>) -> OnFailure + Send + Sync>;

impl FunctionSpec {
    /// Calls `hook` for each message with which the function fails or panics, to decide what to do with it.
    ///
    /// Without a hook, one such message fails its whole batch, again and again, and on Flink in the end the whole job.
    ///
    /// ```
    /// use stateful_functions::{
    ///     BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, OnFailure, TypeName,
    /// };
    ///
    /// const REJECTED: TypeName = TypeName::new("example/rejected");
    ///
    /// # async fn greet(_context: &mut Context, _message: Message) -> Result<(), BoxError> { Ok(()) }
    /// let spec = FunctionSpec::new(TypeName::new("example/greeter"), greet).on_failure(|failed| {
    ///     OnFailure::Emit(EgressMessageBuilder::to(REJECTED).value(failed.error.to_string()))
    /// });
    /// ```
    #[must_use]
    pub fn on_failure(
        mut self,
        hook: impl Fn(FailedMessage<'_>) -> OnFailure + Send + Sync + 'static,
    ) -> Self {
        self.failure_hook = Some(Arc::new(hook));
        self
    }
}
