//! What the system tells a process that runs until it is stopped.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGINT (ctrl-c) or SIGTERM.
pub(crate) async fn stopped() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
