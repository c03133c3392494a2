//! Matches values with their declarations: a batch that can run, or the missing values.

use super::HandlerError;
use super::request::{Messages, Request};
use crate::sdk::{
    Address, AddressScopedStorage, Cell, Context, DeclaredValue, FunctionSpec, StatefulFunctions,
    TypeName,
};

pub(super) enum Resolved<'f> {
    /// The declared values that the request does not name, in declaration order.
    Missing(Vec<&'f DeclaredValue>),
    /// Boxed to keep the futures around it small, which are moved several times before they run.
    Complete(Box<Batch<'f>>),
}

/// A function, its context, and the messages to call it with.
pub(super) struct Batch<'f> {
    pub(super) spec: &'f FunctionSpec,
    pub(super) context: Context,
    pub(super) messages: Messages,
}

pub(super) fn batch<'f>(
    functions: &'f StatefulFunctions,
    request: Request<'_>,
) -> Result<Resolved<'f>, HandlerError> {
    let target = request.target;
    let Some(spec) = functions.find(target.namespace, target.name) else {
        let known = functions.specs().iter().map(FunctionSpec::type_name);
        return Err(HandlerError::UnknownFunction {
            function: TypeName::from_wire(target.namespace, target.name),
            known: known.cloned().collect(),
        });
    };
    let (mut cells, mut missing) = (Vec::with_capacity(spec.values().len()), Vec::new());
    for declared in spec.values() {
        match request.state(&declared.name) {
            Some(value) => cells.push(Cell::Stored(value?)),
            None => missing.push(declared),
        }
    }
    if !missing.is_empty() {
        return Ok(Resolved::Missing(missing));
    }
    let address = Address::new(spec.type_name().clone(), target.id);
    let storage = AddressScopedStorage::new(spec.type_name().clone(), spec.shared_values(), cells);
    Ok(Resolved::Complete(Box::new(Batch {
        spec,
        messages: request.into_messages(address.clone()),
        context: Context::new(address, storage),
    })))
}
