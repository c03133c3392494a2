//! What goes to the streams and how a command ends.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::Value;

/// Faults in what was given: exit code 1 for most commands, and also that of `check` with findings.
pub(crate) const USAGE: u8 = 2;

/// One line to standard output.
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// A JSON value to standard output, on one line.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    line(value)
}

/// A remark beside the output, to standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// Tells why the command failed. A reader that went away, such as `head`, is no failure.
pub(crate) fn failed(err: &anyhow::Error) -> ExitCode {
    let gone = |err: &io::Error| err.kind() == io::ErrorKind::BrokenPipe;
    if err.downcast_ref::<io::Error>().is_some_and(gone) {
        return ExitCode::SUCCESS;
    }
    eprintln!("statefun: {err:#}");
    ExitCode::FAILURE
}
