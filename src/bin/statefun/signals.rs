//! The signals that stop a command.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Listens for SIGINT (ctrl-c) and SIGTERM from now on; the future is ready when one of them has come.
pub(crate) fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
