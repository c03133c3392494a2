//! How a partition calls functions: here, or as a task.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use tracing::debug;

use super::command::{Command, Returned};
use super::inbox::Inbox;
use super::{Input, Partition};
use crate::protocol::reqreply::FromFunction;
use crate::runtime::core::{AddressKey, CallId, Failure};
use crate::runtime::endpoint::{Endpoint, InProcess, Remote};

/// Larger requests of functions that only wait for sockets take long to read, and do not hold up a partition.
const SMALL_BYTES: usize = 64 << 10;

/// A call in progress. Boxed once, because it is large and moved.
type Call = Pin<Box<dyn Future<Output = Result<FromFunction, Failure>> + Send>>;

/// A call that waits for sockets, up to the message with its result.
pub(super) type Exchange = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Partition {
    /// Calls the function of `target`.
    ///
    /// An in-process function is polled in place, and nearly all answer at once. One that waits continues as a task of the application's
    /// runtime; a function that computes for long is called there from the start. Calls that only wait for sockets, such as those of remote functions
    /// and of exports, are made in this thread's own runtime: their requests, their answers and the core then need no other thread. Exports
    /// that nobody outside waits for are [shared](super::share) with the application's threads.
    pub(super) fn call(&mut self, call: CallId, target: AddressKey, request: Bytes) {
        let (namespace, name, _) = target.parts();
        match self
            .dependencies
            .directory
            .endpoint(namespace, name)
            .cloned()
        {
            Some(Endpoint::InProcess(functions)) => {
                self.call_here(call, functions, target, request)
            }
            Some(Endpoint::Remote(functions)) => self.call_remote(call, functions, target, request),
            None => {
                let failure = Failure::new("the function is not bound");
                self.returned(call, Returned::Failed(failure));
            }
        }
    }

    fn call_here(
        &mut self,
        call: CallId,
        functions: Arc<InProcess>,
        target: AddressKey,
        request: Bytes,
    ) {
        let (namespace, name, _) = target.parts();
        let is_small = request.len() <= SMALL_BYTES;
        if is_small && functions.only_exchanges(namespace, name) {
            let guard = self.follow(call);
            let exchange = async move {
                let result = functions.call(request).await;
                guard.finish(outcome(&target, result));
            };
            if self.share.hands_on(self.core.in_flight()) {
                self.dependencies.application.spawn(exchange);
            } else {
                self.exchanges.push(Box::pin(exchange));
            }
            return;
        }
        let is_slow = self.slow_functions.is_slow(namespace, name);
        let mut future: Call = Box::pin(async move { functions.call(request).await });
        if !is_slow {
            let entered = self.dependencies.application.enter();
            let begun = Instant::now();
            // Wake-ups are lost here, and not needed: a task polls it once more before it waits.
            let mut nobody = Context::from_waker(Waker::noop());
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut nobody)));
            drop(entered);
            self.slow_functions.note(namespace, name, begun.elapsed());
            let result = match polled {
                Ok(Poll::Ready(result)) => Some(result),
                Ok(Poll::Pending) => None,
                Err(_) => Some(Err(Failure::new("the call panicked"))),
            };
            if let Some(result) = result {
                return self.returned(call, outcome(&target, result));
            }
        }
        let guard = self.follow(call);
        self.dependencies
            .application
            .spawn(async move { guard.finish(outcome(&target, future.await)) });
    }

    fn call_remote(
        &mut self,
        call: CallId,
        functions: Arc<Remote>,
        target: AddressKey,
        request: Bytes,
    ) {
        let guard = self.follow(call);
        self.exchanges.push(Box::pin(async move {
            let returned = match functions.call(&target, request).await {
                Some(result) => outcome(&target, result),
                None => Returned::Abandoned,
            };
            guard.finish(returned);
        }));
    }

    /// A call that continues as a task.
    fn follow(&mut self, call: CallId) -> CallGuard {
        self.called_at.insert(call, self.dependencies.clock.now());
        CallGuard::new(self.inbox.clone(), call)
    }

    /// Handles the result of a call.
    pub(super) fn returned(&mut self, call: CallId, returned: Returned) {
        self.called_at.remove(&call);
        let result = match returned {
            Returned::Answered(reply) => Ok(reply),
            Returned::Failed(failure) => Err(failure),
            Returned::Abandoned => return self.abandoned += 1,
        };
        self.step(Input::Answered { call, result });
    }
}

fn outcome(target: &AddressKey, result: Result<FromFunction, Failure>) -> Returned {
    match result {
        Ok(reply) => Returned::Answered(reply),
        Err(failure) => {
            debug!(address = %target.to_address(), %failure, "call failed");
            Returned::Failed(failure)
        }
    }
}

/// Tells the partition that the call of a task has ended, however it ends.
struct CallGuard {
    inbox: Inbox,
    call: CallId,
    is_finished: bool,
}

impl CallGuard {
    const fn new(inbox: Inbox, call: CallId) -> Self {
        Self {
            inbox,
            call,
            is_finished: false,
        }
    }

    fn finish(mut self, returned: Returned) {
        self.is_finished = true;
        // A partition that has ended sends the batch again at the next start.
        self.inbox.send(Command::Returned(self.call, returned));
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let returned = if std::thread::panicking() {
            Returned::Failed(Failure::new("the call panicked"))
        } else {
            // The runtime that it ran on has ended.
            Returned::Abandoned
        };
        self.inbox.send(Command::Returned(self.call, returned));
    }
}
