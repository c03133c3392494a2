//! Where functions may live. All homes do the same things; what they are made of differs.

pub(crate) mod embedded;
mod feeder;
pub(crate) mod flink;
pub(crate) mod servers;

use super::found::Captured;
use super::program::Input;

/// How often something ended, by command, by a kill, or by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ends {
    pub(crate) server: u64,
    pub(crate) runtime: u64,
}

/// A runtime with the functions of the workload.
pub(crate) trait Home {
    /// Hands these to their addresses, those of one address in order. Does not wait.
    fn feed(&mut self, inputs: &[Input]);

    /// How many inputs were taken in so far, as far as it is known.
    fn taken_in(&self) -> u64;

    /// Starts again what has ended; the records that came out since the last time.
    async fn tend(&mut self) -> Vec<Captured>;

    /// Kills the functions' process; [`tend`](Self::tend) starts it again.
    async fn kill_server(&mut self);

    /// Kills the runtime and starts it again.
    async fn kill_runtime(&mut self);

    /// What is not at rest, though all functions should be.
    async fn unrest(&mut self) -> Vec<String>;

    /// What may tell why it does not come to an end.
    async fn trouble(&mut self) -> Vec<String> {
        self.unrest().await
    }

    fn ends(&self) -> Ends;
}
