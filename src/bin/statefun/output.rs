//! Standard output, standard error and exit codes. Text from outside is made printable only here.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::Value;
use stateful_functions::printable;

/// The exit code of wrong usage.
pub(crate) const USAGE: u8 = 2;

/// One line to standard output.
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    let text = text.to_string();
    writeln!(io::stdout().lock(), "{}", printable::text(&text))
}

/// A JSON value to standard output, on one line.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    json_piece(value)
}

/// One line of a longer JSON text to standard output.
pub(crate) fn json_piece(piece: impl std::fmt::Display) -> io::Result<()> {
    let text = piece.to_string();
    writeln!(io::stdout().lock(), "{}", printable::json(&text))
}

/// A note to standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    to_stderr(&text.to_string());
}

/// Reports why the command failed. A reader that went away, such as `head`, is not a failure.
pub(crate) fn failed(err: &anyhow::Error) -> ExitCode {
    let gone = |err: &io::Error| err.kind() == io::ErrorKind::BrokenPipe;
    if err.downcast_ref::<io::Error>().is_some_and(gone) {
        return ExitCode::SUCCESS;
    }
    to_stderr(&format!("statefun: {err:#}"));
    ExitCode::FAILURE
}

/// An error stream that cannot be written is no reason to end a command.
fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable::lines(text));
}
