//! The registered form of a function: its type, its values and its code.

use std::fmt;
use std::sync::Arc;

use super::function::ErasedFunction;
use super::{DeclaredValue, FailureHook, StatefulFunction, TypeName, ValueSpec};

/// A function type: its name, the values it keeps, and the function itself.
///
/// ```
/// use stateful_functions::{
///     BoxError, Context, FunctionSpec, Message, TypeName, ValueSpec, types,
/// };
///
/// const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);
///
/// async fn greet(_context: &mut Context, _message: Message) -> Result<(), BoxError> {
///     Ok(())
/// }
///
/// let spec = FunctionSpec::new(TypeName::new("example/greeter"), greet).value(SEEN);
/// ```
#[derive(Clone)]
pub struct FunctionSpec {
    type_name: TypeName,
    values: Arc<[DeclaredValue]>,
    function: Arc<dyn ErasedFunction>,
    after_durable: bool,
    only_exchanges: bool,
    pub(super) failure_hook: Option<FailureHook>,
}

impl FunctionSpec {
    /// A function of type `type_name`, without values yet.
    pub fn new(type_name: TypeName, function: impl StatefulFunction) -> Self {
        Self {
            type_name,
            values: Arc::default(),
            function: Arc::new(function),
            after_durable: false,
            only_exchanges: false,
            failure_hook: None,
        }
    }

    /// Declares a value that the function keeps per id.
    #[must_use]
    pub fn value<T>(mut self, spec: ValueSpec<T>) -> Self {
        let declared = self.values.iter().cloned();
        self.values = declared.chain([spec.into()]).collect();
        self
    }

    /// Makes the embedded runtime call the function only once its inputs are on disk.
    ///
    /// It is for functions with side effects of their own, such as a request to another system. Other functions may be called earlier: their
    /// messages leave only once everything is on disk, but a side effect might belong to an input that a crash takes back.
    #[must_use]
    pub const fn after_durable(mut self) -> Self {
        self.after_durable = true;
        self
    }

    /// Tells the embedded runtime that the function waits for sockets and computes next to nothing, so that its calls can share the thread of their
    /// partition.
    #[cfg(feature = "pipeline")]
    pub(crate) const fn only_exchanges(mut self, only_exchanges: bool) -> Self {
        self.only_exchanges = only_exchanges;
        self
    }

    /// See [`only_exchanges`](Self::only_exchanges).
    #[cfg(feature = "runtime")]
    pub(crate) const fn is_only_exchanging(&self) -> bool {
        self.only_exchanges
    }

    /// The function type.
    pub const fn type_name(&self) -> &TypeName {
        &self.type_name
    }

    /// The declared values, in order.
    pub fn values(&self) -> &[DeclaredValue] {
        &self.values
    }

    /// Whether the function is called only once its inputs are on disk.
    pub const fn is_after_durable(&self) -> bool {
        self.after_durable
    }

    pub(crate) fn shared_values(&self) -> Arc<[DeclaredValue]> {
        Arc::clone(&self.values)
    }

    pub(crate) const fn failure_hook(&self) -> Option<&FailureHook> {
        self.failure_hook.as_ref()
    }

    pub(crate) fn function(&self) -> &dyn ErasedFunction {
        &*self.function
    }
}

impl fmt::Debug for FunctionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionSpec")
            .field("type_name", &self.type_name)
            .field("values", &self.values)
            .field("after_durable", &self.after_durable)
            .field("only_exchanges", &self.only_exchanges)
            .finish_non_exhaustive()
    }
}
