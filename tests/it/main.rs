//! The integration tests, as one binary with a module per topic.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

#[cfg(feature = "runtime")]
mod admin;
#[cfg(all(feature = "cli", feature = "testing"))]
mod agreement;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "http-client")]
mod client;
#[cfg(feature = "codegen")]
mod codegen;
#[cfg(all(feature = "runtime", feature = "testing"))]
mod connectors;
#[cfg(feature = "testing")]
mod core;
#[cfg(feature = "pipeline")]
mod deliveries;
#[cfg(feature = "full")]
mod edgex;
#[cfg(all(feature = "runtime", feature = "testing"))]
mod endpoint;
#[cfg(all(feature = "http", feature = "testing"))]
mod examples;
#[cfg(feature = "full")]
mod faults;
#[cfg(feature = "full")]
mod files;
mod handler;
#[cfg(feature = "testing")]
mod harness;
#[cfg(feature = "http")]
mod http;
#[cfg(all(feature = "pipeline", feature = "testing"))]
mod jobs;
#[cfg(all(feature = "kafka", feature = "cli", feature = "testing"))]
mod kafka;
#[cfg(all(feature = "kinesis", feature = "cli", feature = "testing"))]
mod kinesis;
#[cfg(all(feature = "http", feature = "lambda"))]
mod lambda;
mod layers;
#[cfg(feature = "runtime")]
mod modules;
#[cfg(all(feature = "mqtt", feature = "full"))]
mod mqtt;
#[cfg(all(feature = "cli", feature = "testing"))]
mod outage;
#[cfg(all(feature = "pipeline", feature = "testing"))]
mod pipelines;
#[cfg(feature = "cli")]
mod readme;
#[cfg(all(feature = "cli", feature = "testing"))]
mod recovery;
#[cfg(all(feature = "redis", feature = "full"))]
mod redis;
#[cfg(feature = "runtime")]
mod runtime;
#[cfg(all(feature = "runtime", feature = "testing"))]
mod samples;
#[cfg(all(feature = "cli", feature = "testing"))]
mod sdks;
#[cfg(feature = "simulation")]
mod simulation;
#[cfg(all(feature = "embedded", feature = "testing"))]
mod storage;
#[cfg(any(feature = "http", feature = "http-client", feature = "testing"))]
mod support;
#[cfg(feature = "testing")]
mod test_context;
#[cfg(any(feature = "full", feature = "codegen"))]
mod tree;
#[cfg(all(feature = "runtime", feature = "testing"))]
mod upstream;
mod witness;
#[cfg(all(feature = "cli", feature = "testing"))]
mod workload;
