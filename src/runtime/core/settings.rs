//! Settings of a core.

use super::failure::FailurePolicy;
use super::limits::AnswerLimits;

/// Settings of a core.
#[derive(Debug, Clone, Copy)]
pub struct CoreSettings {
    /// Number of this core, from 0.
    pub index: u8,
    /// The number of cores among which the ids are divided.
    pub cores: u8,
    /// Never call functions or fire timers. Default false.
    pub at_rest: bool,
    /// What to do with failing addresses.
    pub failure: FailurePolicy,
    /// Limits on one answer.
    pub answers: AnswerLimits,
    /// Messages waiting or in flight beyond which an ingress is refused. Messages between functions never are. Default 100,000.
    pub max_backlog: u64,
    /// The share of `max_backlog` and of `max_memory_bytes` that messages of one function type may use, in percent. Messages beyond
    /// it do not count against others. Default 50; 100 and more: no limit.
    pub type_share_percent: u8,
    /// Maximum bytes of messages in memory; beyond it further messages, and due timers, stay in the store. Default 64 MiB.
    pub max_memory_bytes: usize,
    /// Maximum messages in flight or about to be; beyond it due timers wait. Default 8,192.
    pub max_active: usize,
    /// Maximum calls in progress at the same time; further addresses wait for a slot. Default 8,192.
    pub max_calls: usize,
    /// How many waiting messages are in memory.
    pub windows: Windows,
}

/// How many waiting messages and timers are in memory, and how many are read and written at a time. The simulator makes these tiny.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Messages of one address in memory; the others are read from the store when they are needed. Default 16,384.
    pub messages: usize,
    /// Bytes of messages of one address in memory. Default 8 MiB.
    pub bytes: usize,
    /// Timers read at a time; at most twice as many are in memory. Default 8,192.
    pub timers: usize,
    /// Timers fired in one commit. Default 256.
    pub fired_at_once: usize,
    /// Rows read at a time. Default 512.
    pub page: usize,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            messages: 16_384,
            bytes: 8 << 20,
            timers: 8_192,
            fired_at_once: 256,
            page: 512,
        }
    }
}

impl Default for CoreSettings {
    fn default() -> Self {
        Self {
            index: 0,
            cores: 1,
            at_rest: false,
            failure: FailurePolicy::default(),
            answers: AnswerLimits::default(),
            max_backlog: 100_000,
            type_share_percent: 50,
            max_memory_bytes: 64 << 20,
            max_active: 8_192,
            max_calls: 8_192,
            windows: Windows::default(),
        }
    }
}

impl CoreSettings {
    /// The share of one function type in `whole`, at least 1.
    pub fn share_of(&self, whole: u64) -> u64 {
        match self.type_share_percent {
            100.. => u64::MAX,
            percent => {
                (whole / 100 * u64::from(percent) + whole % 100 * u64::from(percent) / 100).max(1)
            }
        }
    }
}
