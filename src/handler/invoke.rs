//! Runs the invocations of a batch one after the other. A panic becomes an error.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use super::HandlerError;
use super::resolve::Batch;
use crate::sdk::{
    BoxError, BoxedReply, Context, FailedMessage, FailureHook, Invocations, Message, OnFailure,
};

/// Calls the function for each message, up to the first that fails.
pub(super) async fn in_order(batch: &mut Batch<'_>) -> Result<(), HandlerError> {
    let done = match batch.spec.failure_hook() {
        None => {
            let function = batch.spec.function();
            caught(function.invoke_in_order(&mut batch.context, &mut batch.messages)).await
        }
        Some(hook) => Box::pin(with_hook(batch, hook)).await,
    };
    done.map_err(|source| HandlerError::Function {
        address: batch.context.address().clone(),
        message: batch.messages.taken(),
        batch: batch.messages.len(),
        source,
    })
}

/// Calls the function for each message; a failed message has no effect, and the hook decides what to do with it.
async fn with_hook(batch: &mut Batch<'_>, hook: &FailureHook) -> Result<(), BoxError> {
    let (function, context) = (batch.spec.function(), &mut batch.context);
    while let Some(message) = batch.messages.next(context) {
        let before = (context.effects().mark(), context.stored().cells());
        let mut only = Only(Some(message.clone()));
        let Err(error) = caught(function.invoke_in_order(context, &mut only)).await else {
            continue;
        };
        let failed = FailedMessage {
            address: context.address(),
            caller: context.caller(),
            message: &message,
            error: &error,
        };
        let decided = catch_unwind(AssertUnwindSafe(|| hook(failed)));
        let decided = decided.map_err(|panic| format!("failure hook {}", text(&*panic)))?;
        if matches!(decided, OnFailure::Fail) {
            return Err(error);
        }
        context.effects_mut().restore(before.0);
        context.storage().restore(before.1);
        if let OnFailure::Emit(egress) = decided {
            context.send_egress(egress);
        }
    }
    Ok(())
}

/// Calls the function for one message, with a prepared context.
struct Only(Option<Message>);

impl Invocations for Only {
    fn next(&mut self, _context: &mut Context) -> Option<Message> {
        self.0.take()
    }
}

/// The reply; a panic becomes an error with the panic's text.
async fn caught(mut reply: BoxedReply<'_>) -> Result<(), BoxError> {
    poll_fn(|task| {
        let polled = catch_unwind(AssertUnwindSafe(|| reply.as_mut().poll(task)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(text(&*panic).into())))
    })
    .await
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    match text {
        Some(text) => format!("panicked: {text}"),
        None => "panicked".to_owned(),
    }
}
