//! Files and standard input, up to a limit: so that endless devices and streams are not read without end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags};
use stateful_functions::files;

/// All bytes of a file or a pipe.
///
/// # Errors
/// If it cannot be read, is neither, or is larger than `max_bytes`. The error does not name the file.
pub(crate) fn file(path: &Path, max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.file_type().is_fifo() {
        return Ok(files::read(path, max_bytes)?);
    }
    let bytes = files::all(pipe(path)?, max_bytes)?;
    if bytes.is_empty() {
        bail!("it is a pipe, and nothing is written to it");
    }
    Ok(bytes)
}

/// Opens a pipe without waiting for somebody to open its other end. Reading waits for those who have it open, such as the command of `<(…)`.
fn pipe(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::fcntl_setfl(&pipe, OFlags::empty())?;
    Ok(pipe.into())
}

/// All bytes of the standard input.
///
/// # Errors
/// If it cannot be read, or is larger than `max_bytes`.
pub(crate) fn standard(max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    files::all(io::stdin().lock(), max_bytes).context("cannot read standard input")
}

/// The bytes as text, or the line that is not UTF-8.
///
/// # Errors
/// If they are not UTF-8.
pub(crate) fn text(bytes: Vec<u8>) -> anyhow::Result<String> {
    text_from(bytes, 1)
}

/// The same for a part of a file that begins with line `first`.
///
/// # Errors
/// If the bytes are not UTF-8.
pub(crate) fn text_from(bytes: Vec<u8>, first: usize) -> anyhow::Result<String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        bail!("it is UTF-16; save it as UTF-8");
    }
    String::from_utf8(bytes).map_err(|err| {
        let start = err.utf8_error().valid_up_to();
        let before = err.as_bytes().get(..start).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + first;
        anyhow::anyhow!("line {line} has bytes that are not UTF-8; save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf_8_are_reported_with_their_line_and_a_remedy() {
        let told = |bytes: &[u8]| text(bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(told(b"\xff\xfek\0"), "it is UTF-16; save it as UTF-8");
        assert_eq!(
            told(b"kind: x\nname: \xe4\n"),
            "line 2 has bytes that are not UTF-8; save the file as UTF-8"
        );
        assert_eq!(text("kind: ä".into()).unwrap(), "kind: ä");
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_not_waited_for_without_a_writer() {
        use std::io::Write as _;
        use std::os::fd::AsRawFd as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let told = file(&path, 1 << 20).unwrap_err();
        assert_eq!(
            told.to_string(),
            "it is a pipe, and nothing is written to it"
        );
        // As a shell passes `<(…)`.
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"kind: x").unwrap();
        drop(writer);
        let passed = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(file(Path::new(&passed), 1 << 20).unwrap(), b"kind: x");
    }
}
