//! The test kit: context in, effects out; a harness that plays the runtime on virtual time.

pub mod conformance;
