//! The sample functions of the binary: `greeter`, `counter` and `reminder` under `statefun.samples/`.
//!
//! They show what functions can do, and are part of the tour of the README; `examples/` shows how to write one. What they cannot make sense of
//! they answer with a text: an error would keep the message, to be tried again.

mod counter;
mod greeter;
mod reminder;

use crate::sdk::{SdkError, StatefulFunctions};

/// The sample functions.
///
/// ```
/// let functions = stateful_functions::runtime::samples::functions()?;
/// let names: Vec<_> = functions.specs().iter().map(|spec| spec.type_name().as_str()).collect();
/// assert_eq!(names, ["statefun.samples/counter", "statefun.samples/greeter", "statefun.samples/reminder"]);
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
///
/// # Errors
/// None in practice: the names are right and differ.
pub fn functions() -> Result<StatefulFunctions, SdkError> {
    StatefulFunctions::new()
        .with(greeter::spec())?
        .with(counter::spec())?
        .with(reminder::spec())
}
