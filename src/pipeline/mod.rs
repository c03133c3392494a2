//! Records, stages, the builder, and store and forward: a pipeline is stateful functions.
