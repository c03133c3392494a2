//! Functions of an application: what they get, what they answer, and the context in which they run.
//!
//! `context` is EdgeX's function context, `data` what goes from function to function, `stage` makes a function a stage of a pipeline, and `list` has the
//! functions of one pipeline. A function only computes: what it publishes is sent when its record is committed.

mod context;
mod data;
mod list;
mod stage;

pub(super) use context::applied;
pub use context::{AppContext, PublishError, Unresolved};
pub use data::{AppData, Outcome};
pub(super) use list::Function;
pub use list::Functions;
pub use stage::AppFunction;
pub(super) use stage::FunctionStage;
