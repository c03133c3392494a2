//! Settings of a runtime.

use std::num::NonZeroU8;
use std::time::Duration;

use super::core::{AnswerLimits, FailurePolicy};
use crate::storage::LogSettings;
use crate::transport::http::ServerLimits;

/// Settings of a runtime, with their defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RuntimeConfig {
    /// How many partition cores share the ids. Default: half the processors, at least 1, at most 8. It may change over a restart.
    pub partitions: NonZeroU8,
    /// What happens when a function fails. Default: its address alone waits, 1 s doubling to 1 min, for ever.
    /// [`FailurePolicy::strict`] behaves as StateFun does.
    pub failure: FailurePolicy,
    /// How much one answer of a function may ask for; more fails its batch.
    pub answers: AnswerLimits,
    /// Messages that wait or are in flight in a partition; beyond it an ingress answers 429. Default 100,000.
    pub max_backlog: u64,
    /// How much of `max_backlog`, of `max_memory_bytes` and of each egress's `max_outbox` one function type may take, in percent. Beyond
    /// it an ingress answers 429 to messages for that type and for types that send to it, and to no others. Default 50; 100: no such bound.
    pub type_share_percent: u8,
    /// Messages that wait at one address of in-process functions; beyond it an ingress answers 429. Default 1,000; 0: no bound.
    pub max_backlog_per_address: u64,
    /// Undelivered records of one egress; beyond it an ingress answers 429 to messages for functions that have sent records to it since
    /// the start, and for those that send to them. Default 100,000.
    pub max_outbox: u64,
    /// Bytes of waiting messages that a partition holds in memory. Default 64 MiB.
    pub max_memory_bytes: usize,
    /// What clients of all HTTP listeners together may take. The admin API has 64 connections of its own besides.
    pub server: ServerLimits,
    /// A request body that takes longer to arrive is answered 408. Default 60 s.
    pub body_timeout: Duration,
    /// A request body of which nothing arrives for this time is answered 408. Default 10 s.
    pub body_pause: Duration,
    /// Bounds of the store on disk.
    pub storage: LogSettings,
    /// How long a stop waits for calls in flight. Default 10 s.
    pub shutdown_timeout: Duration,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let partitions = u8::try_from((processors / 2).clamp(1, 8)).unwrap_or(1);
        Self {
            partitions: NonZeroU8::new(partitions).unwrap_or(NonZeroU8::MIN),
            failure: FailurePolicy::default(),
            answers: AnswerLimits::default(),
            max_backlog: 100_000,
            type_share_percent: 50,
            max_backlog_per_address: 1_000,
            max_outbox: 100_000,
            max_memory_bytes: 64 << 20,
            server: ServerLimits::default(),
            body_timeout: Duration::from_secs(60),
            body_pause: Duration::from_secs(10),
            storage: LogSettings::default(),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}
