//! The trait of functions, its implementation for async fns, and its type-erased form.

use std::pin::Pin;

use super::{BoxError, Context, Message};

/// Handles one message at one address.
///
/// Write an async fn, an async closure that captures nothing, or, for a function with dependencies, a struct:
///
/// ```
/// use stateful_functions::{BoxError, Context, Message, StatefulFunction};
///
/// struct Greeter { greeting: String }
///
/// impl StatefulFunction for Greeter {
///     async fn invoke(&self, context: &mut Context, _message: Message) -> Result<(), BoxError> {
///         context.reply(&self.greeting);
///         Ok(())
///     }
/// }
/// ```
///
/// The runtime calls a function with one message at a time per address, in the order of arrival, each at least once: after a crash
/// the same messages come again, without the effects of the first time. An `Err` or a panic fails the whole batch, and the
/// runtime sends it again. Dropping the future stops the function at an `.await`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stateful function",
    note = "write `async fn(&mut Context, Message) -> Result<(), BoxError>`, or a struct to capture values"
)]
pub trait StatefulFunction: Send + Sync + 'static {
    /// Handles `message`.
    fn invoke(
        &self,
        context: &mut Context,
        message: Message,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

mod sealed {
    use super::{BoxError, Context, Message};

    /// An async fn for one lifetime of its context: its future may borrow the context, which `Fn` alone cannot express.
    pub trait AsyncFnOf<'a>: Send + Sync {
        type Reply: Future<Output = Result<(), BoxError>> + Send + 'a;

        fn call(&self, context: &'a mut Context, message: Message) -> Self::Reply;
    }

    impl<'a, F, R> AsyncFnOf<'a> for F
    where
        F: Fn(&'a mut Context, Message) -> R + Send + Sync,
        R: Future<Output = Result<(), BoxError>> + Send + 'a,
    {
        type Reply = R;

        fn call(&self, context: &'a mut Context, message: Message) -> R {
            self(context, message)
        }
    }
}

impl<F> StatefulFunction for F
where
    F: for<'a> sealed::AsyncFnOf<'a> + 'static,
{
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        self.call(context, message).await
    }
}

/// The messages of a batch. `next` also prepares the context for its message.
pub(crate) trait Invocations: Send {
    fn next(&mut self, context: &mut Context) -> Option<Message>;
}

pub(crate) type BoxedReply<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

/// What the registry stores. It takes a whole batch, so that a batch of any size costs one boxed future.
pub(crate) trait ErasedFunction: Send + Sync {
    /// Calls the function for one message after the other, up to the first error.
    fn invoke_in_order<'a>(
        &'a self,
        context: &'a mut Context,
        invocations: &'a mut dyn Invocations,
    ) -> BoxedReply<'a>;
}

impl<F: StatefulFunction> ErasedFunction for F {
    fn invoke_in_order<'a>(
        &'a self,
        context: &'a mut Context,
        invocations: &'a mut dyn Invocations,
    ) -> BoxedReply<'a> {
        Box::pin(async move {
            while let Some(message) = invocations.next(context) {
                self.invoke(context, message).await?;
            }
            Ok(())
        })
    }
}
