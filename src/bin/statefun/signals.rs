//! What the system tells a process that runs until it is stopped.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Takes SIGINT (ctrl-c) and SIGTERM from now on; the answer is ready when one of them has come.
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
