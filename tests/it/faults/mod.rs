//! Faults by kind: what went wrong once, as inputs, with the right result. One file per kind; each begins with what a user saw.

mod body_memory;
#[cfg(feature = "full")]
mod borders;
mod broken_values;
mod cli;
mod closed_terminal;
mod content_types;
#[cfg(all(feature = "cli", feature = "testing"))]
mod damage;
#[cfg(all(feature = "cli", feature = "testing"))]
mod damaged_folder;
#[cfg(feature = "testing")]
mod damaged_rows;
#[cfg(feature = "testing")]
mod declarations;
mod default_ports;
mod descriptors;
#[cfg(all(feature = "cli", feature = "testing"))]
mod disk_full;
mod empty_input;
mod endless_files;
#[cfg(all(feature = "cli", feature = "testing"))]
mod endless_waiting;
#[cfg(all(feature = "cli", feature = "testing"))]
mod foreign_messages;
mod framing_headers;
#[cfg(feature = "testing")]
mod full_functions;
#[cfg(all(feature = "runtime", feature = "testing"))]
mod gone_files;
mod gone_folder;
#[cfg(feature = "testing")]
mod greedy_answers;
mod guessed_requests;
mod guesses;
#[cfg(all(feature = "cli", feature = "testing"))]
mod hanging_calls;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod hidden_attempts;
#[cfg(all(feature = "runtime", feature = "testing"))]
mod hidden_causes;
mod kafka_values;
mod long_lists;
#[cfg(all(feature = "cli", feature = "testing"))]
mod looking;
#[cfg(all(feature = "cli", feature = "testing"))]
mod lost_digits;
#[cfg(all(feature = "cli", feature = "testing"))]
mod lost_folder;
#[cfg(all(feature = "pipeline", feature = "testing"))]
mod lost_metadata;
mod module_messages;
#[cfg(all(feature = "cli", feature = "testing"))]
mod old_folders;
#[cfg(all(feature = "pipeline", feature = "testing"))]
mod open_batches;
mod outages;
mod pages;
mod printed_raw;
#[cfg(all(feature = "runtime", feature = "testing"))]
mod renamed_ingress;
mod rules_by_meaning;
#[cfg(feature = "runtime")]
mod shared_files;
mod slow_peers;
#[cfg(all(feature = "cli", feature = "testing"))]
pub(crate) mod stage_gone;
#[cfg(feature = "cli")]
mod state_files;
mod swollen_records;
mod unanswered;
mod unequal_listeners;
#[cfg(all(feature = "cli", feature = "testing"))]
mod untold_destinations;
mod unwritable_log;
mod weak_tokens;
