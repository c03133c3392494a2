//! Turns one request of a StateFun runtime into one reply, as bytes. No I/O; awaits only the user's functions.
//!
//! May import `sdk` and `protocol`.

mod effects;
mod error;
mod invoke;
mod request;
mod resolve;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use error::HandlerError;

use crate::sdk::{FunctionSpec, StatefulFunctions};
use request::Request;
use resolve::Resolved;

/// Answers the requests of a StateFun runtime by calling registered functions. A transport supplies the bytes. Cloning is cheap.
///
/// ```
/// use bytes::Bytes;
/// use stateful_functions::StatefulFunctions;
/// use stateful_functions::handler::RequestReplyHandler;
///
/// # async fn serve(request: Bytes) -> Result<Bytes, stateful_functions::handler::HandlerError> {
/// let handler = RequestReplyHandler::new(StatefulFunctions::new());
/// let reply = handler.handle(request).await?;
/// # Ok(reply)
/// # }
/// ```
#[derive(Clone)]
pub struct RequestReplyHandler {
    functions: Arc<StatefulFunctions>,
}

impl RequestReplyHandler {
    /// A handler that calls `functions`.
    pub fn new(functions: StatefulFunctions) -> Self {
        Self {
            functions: Arc::new(functions),
        }
    }

    /// The registered functions, in the order of their names.
    pub fn specs(&self) -> &[FunctionSpec] {
        self.functions.specs()
    }

    /// The function of the type `<namespace>/<name>`.
    #[cfg(feature = "runtime")]
    pub(crate) fn spec(&self, namespace: &str, name: &str) -> Option<&FunctionSpec> {
        self.functions.find(namespace, name)
    }

    /// Runs the batch in `request`, an encoded `ToFunction`, and returns the encoded `FromFunction`.
    ///
    /// Invocations run one after the other. If the request lacks declared values, nothing runs, and the reply lists the missing
    /// ones. Dropping the future stops the batch at an `.await`.
    ///
    /// # Errors
    /// If the request is empty or not a `ToFunction`, the function is not registered, or it fails or panics. The batch has no effect then.
    pub async fn handle(&self, request: Bytes) -> Result<Bytes, HandlerError> {
        if request.is_empty() {
            return Err(HandlerError::Empty);
        }
        let Some(request) = Request::parse(&request)? else {
            return Ok(Bytes::new());
        };
        match resolve::batch(&self.functions, request)? {
            Resolved::Missing(values) => Ok(effects::incomplete(&values)),
            Resolved::Complete(mut batch) => {
                invoke::in_order(&mut batch).await?;
                Ok(effects::reply(&batch.context))
            }
        }
    }
}

impl From<StatefulFunctions> for RequestReplyHandler {
    fn from(functions: StatefulFunctions) -> Self {
        Self::new(functions)
    }
}

impl fmt::Debug for RequestReplyHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.specs().iter().map(FunctionSpec::type_name);
        f.debug_list().entries(names).finish()
    }
}
