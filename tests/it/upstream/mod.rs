//! Our functions behind the real runtime, over HTTP and on Lambda. What they see, and what the runtime makes of their answers.

mod batches;
mod changes;
mod example;
mod failures;
mod functions;
mod messages;
mod values;
