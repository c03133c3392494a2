//! The signals that stop a command.

use std::future::pending;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Listens for SIGINT (ctrl-c), SIGTERM and SIGHUP (the terminal is closed) from now on; the future is ready when one of them has come.
/// Under `nohup` SIGHUP stays ignored.
pub(crate) fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = match is_hangup_ignored() {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    Ok(async move {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up => {}
        }
    })
}

/// Whether this process was started with SIGHUP ignored. Listening for the signal would end that. Where it cannot be found out, the signal
/// is left alone.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_first_signal_ignored(&status).unwrap_or(true)
}

/// Reads the mask of ignored signals, in hexadecimal digits; SIGHUP is its lowest bit.
fn is_first_signal_ignored(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask?.trim(), 16).ok()?;
    Some(mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::is_first_signal_ignored;

    #[test]
    fn a_hangup_that_nohup_ignores_is_left_alone() {
        let of = |mask: &str| is_first_signal_ignored(&format!("Name:\tx\nSigIgn:\t{mask}\n"));
        assert_eq!(of("0000000000000001"), Some(true));
        assert_eq!(of("0000000000001000"), Some(false));
        assert_eq!(is_first_signal_ignored("Name:\tx\n"), None);
    }
}
