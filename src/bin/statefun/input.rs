//! Files and standard input, up to a limit: so that endless devices and streams are not read without end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use anyhow::{Context, bail};

/// All bytes of a file or a pipe.
///
/// # Errors
/// If it cannot be read, is neither, or is larger than `max_bytes`. The error does not name the file.
pub(crate) fn file(path: &Path, max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    // Opening a device may block, and some never end.
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        bail!("it is a folder; name a file in it");
    }
    if !kind.is_file() && !kind.is_fifo() {
        bail!("it is neither a file nor a pipe");
    }
    all(File::open(path)?, max_bytes)
}

/// All bytes of the standard input.
///
/// # Errors
/// If it cannot be read, or is larger than `max_bytes`.
pub(crate) fn standard(max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    all(io::stdin().lock(), max_bytes).context("cannot read standard input")
}

fn all(from: impl Read, max_bytes: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        bail!("it is larger than {} MiB", max_bytes >> 20);
    }
    Ok(bytes)
}

/// The bytes as text, or the line that is not UTF-8.
///
/// # Errors
/// If they are not UTF-8.
pub(crate) fn text(bytes: Vec<u8>) -> anyhow::Result<String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        bail!("it is UTF-16; save it as UTF-8");
    }
    String::from_utf8(bytes).map_err(|err| {
        let start = err.utf8_error().valid_up_to();
        let before = err.as_bytes().get(..start).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("line {line} has bytes that are not UTF-8; save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_utf_8_is_told_with_its_line_and_a_remedy() {
        let told = |bytes: &[u8]| text(bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(told(b"\xff\xfek\0"), "it is UTF-16; save it as UTF-8");
        assert_eq!(
            told(b"kind: x\nname: \xe4\n"),
            "line 2 has bytes that are not UTF-8; save the file as UTF-8"
        );
        assert_eq!(text("kind: ä".into()).unwrap(), "kind: ä");
    }

    #[test]
    fn what_never_ends_is_not_read() {
        let told = |path: &str| file(Path::new(path), 1 << 20).unwrap_err().to_string();
        assert_eq!(told("/dev/zero"), "it is neither a file nor a pipe");
        assert!(told("/").contains("it is a folder"));
        let endless = all(io::repeat(b'#'), 1 << 20).unwrap_err();
        assert_eq!(endless.to_string(), "it is larger than 1 MiB");
    }
}
