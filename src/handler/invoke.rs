//! Runs the invocations of a batch one after the other. A panic becomes an error.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use super::HandlerError;
use super::resolve::Batch;
use crate::sdk::{BoxError, BoxedReply, FailedMessage, FailureHook, Invocation, OnFailure};

/// Calls the function for each invocation, up to the first that fails.
pub(super) async fn in_order(batch: &mut Batch<'_>) -> Result<(), HandlerError> {
    let invocations = std::mem::take(&mut batch.invocations);
    let len = invocations.len();
    let mut started = 0;
    let mut counted = invocations.into_iter().inspect(|_| started += 1);
    let done = match batch.spec.failure_hook() {
        None => {
            let function = batch.spec.function();
            caught(function.invoke_in_order(&mut batch.context, &mut counted)).await
        }
        Some(hook) => with_hook(batch, hook, &mut counted).await,
    };
    done.map_err(|source| HandlerError::Function {
        address: batch.context.address().clone(),
        message: started,
        batch: len,
        source,
    })
}

/// As without hook, but a message that fails leaves no effect, and the hook decides what becomes of it.
async fn with_hook(
    batch: &mut Batch<'_>,
    hook: &FailureHook,
    invocations: &mut (dyn Iterator<Item = Invocation> + Send),
) -> Result<(), BoxError> {
    let (function, context) = (batch.spec.function(), &mut batch.context);
    for invocation in invocations {
        let Invocation { caller, message } = invocation.clone();
        let before = (context.effects().mark(), context.stored().cells());
        let mut one = std::iter::once(invocation);
        let Err(error) = caught(function.invoke_in_order(context, &mut one)).await else {
            continue;
        };
        let failed = FailedMessage {
            address: context.address(),
            caller: caller.as_ref(),
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

/// The reply; a panic on the way to it is an error with the panic's text.
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
