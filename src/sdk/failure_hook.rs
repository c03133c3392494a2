//! What becomes of a message on which its function failed, where failing the whole batch is not wanted.

use std::sync::Arc;

use super::{Address, BoxError, EgressMessage, FunctionSpec, Message};

/// A message on which its function failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedMessage<'a> {
    /// The function that failed.
    pub address: &'a Address,
    /// Who sent the message.
    pub caller: Option<&'a Address>,
    /// The message.
    pub message: &'a Message,
    /// Why: the function's error, or the text of its panic.
    pub error: &'a BoxError,
}

/// What to do about a failed message. Except with `Fail`, the message's own effects are undone, and the batch goes on.
#[derive(Debug)]
pub enum OnFailure {
    /// Fail the batch, as without a hook: the runtime sends it again.
    Fail,
    /// Forget the message.
    Drop,
    /// Send this to an egress instead of the message's effects.
    Emit(EgressMessage),
}

pub(crate) type FailureHook = Arc<dyn Fn(FailedMessage<'_>) -> OnFailure + Send + Sync>;

impl FunctionSpec {
    /// Asks `hook` what becomes of a message on which the function fails or panics.
    ///
    /// Without a hook one such message fails its whole batch, again and again, and on Flink in the end the whole job.
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
