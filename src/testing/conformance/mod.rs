//! Test suites for implementations of stores, sources and sinks, ours and users'. Exempt from semantic versioning.

#[cfg(feature = "runtime")]
mod memory;
#[cfg(feature = "runtime")]
pub mod sink;
#[cfg(feature = "runtime")]
pub mod source;
#[cfg(feature = "runtime")]
mod stage;
pub mod storage;

#[cfg(feature = "runtime")]
pub use self::memory::{MemoryFarSide, MemoryLog, MemorySink, MemorySource};
#[cfg(feature = "runtime")]
pub use self::stage::{Guarantee, LEDGER, LedgerEntry, OUT};
