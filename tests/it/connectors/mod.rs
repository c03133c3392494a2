//! Sources and sinks: every connector runs the suite of its trait, with random kills. `STATEFUN_SEED` replays one.

mod contract;
mod edges;
mod listeners;
mod simulation;
