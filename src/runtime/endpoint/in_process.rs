//! Functions of this process: the same handler, the same bytes, without a socket.

use bytes::Bytes;

use super::reply;
use crate::handler::RequestReplyHandler;
use crate::protocol::reqreply::FromFunction;
use crate::runtime::core::{Failure, FunctionBinding};
use crate::sdk::FunctionSpec;

/// The functions of a registry.
#[derive(Debug)]
pub(crate) struct InProcess {
    handler: RequestReplyHandler,
    max_backlog: u64,
}

impl InProcess {
    /// The functions of `handler`; `max_backlog` messages may wait at one address before an ingress is refused.
    pub(crate) const fn new(handler: RequestReplyHandler, max_backlog: u64) -> Self {
        Self {
            handler,
            max_backlog,
        }
    }

    pub(crate) fn binding(&self, namespace: &str, name: &str) -> FunctionBinding {
        let spec = self.handler.spec(namespace, name);
        FunctionBinding {
            after_durable: spec.is_some_and(FunctionSpec::is_after_durable),
            max_backlog: self.max_backlog,
        }
    }

    /// Whether calls of the function only wait for sockets.
    pub(crate) fn only_exchanges(&self, namespace: &str, name: &str) -> bool {
        let spec = self.handler.spec(namespace, name);
        spec.is_some_and(FunctionSpec::is_only_exchanging)
    }

    /// There is no transport that could fail and be retried: an error is a failure of the address at once.
    pub(crate) async fn call(&self, request: Bytes) -> Result<FromFunction, Failure> {
        let reply = self
            .handler
            .handle(request)
            .await
            .map_err(|error| Failure::new(chain(&error)))?;
        reply::read(reply)
            .map_err(|error| Failure::new(format!("the handler's reply is damaged: {error}")))
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
