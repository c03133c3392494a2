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
    /// Number of partitions among which the ids are divided. Default: half the processors, at least 1, at most 8. It may change with a restart.
    pub partitions: NonZeroU8,
    /// What happens when a function fails. Default: only its address waits, 1 s doubling to 1 min, with unlimited attempts.
    /// [`FailurePolicy::strict`] behaves as StateFun does.
    pub failure: FailurePolicy,
    /// How much one answer of a function may request; more fails its batch.
    pub answers: AnswerLimits,
    /// Maximum messages that wait or are in flight in a partition; beyond it an ingress answers 429. Default 100,000.
    pub max_backlog: u64,
    /// The share of `max_backlog`, of `max_memory_bytes` and of each egress's `max_outbox` that one function type may use, in percent. Beyond
    /// it an ingress answers 429 to messages for that type and for types that send to it, but not to others. Default 50; 100 sets no limit.
    pub type_share_percent: u8,
    /// Maximum messages waiting at one address of in-process functions; beyond it an ingress answers 429. Default 1,000; 0: no limit.
    pub max_backlog_per_address: u64,
    /// Maximum undelivered records of one egress; beyond it an ingress answers 429 to messages for functions that have sent records to it
    /// since the start, and for functions that send to those. Default 100,000.
    pub max_outbox: u64,
    /// Maximum bytes of waiting messages that a partition holds in memory. Default 64 MiB.
    pub max_memory_bytes: usize,
    /// Limits of all HTTP listeners together. The admin API has 64 further connections of its own.
    pub server: ServerLimits,
    /// A request body that takes longer to arrive is answered with 408. Default 60 s.
    pub body_timeout: Duration,
    /// If no byte of a request body arrives for this time, it is answered with 408. Default 10 s.
    pub body_pause: Duration,
    /// Limits of the store on disk.
    pub storage: LogSettings,
    /// How long shutdown waits for calls in flight. Default 10 s.
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
