//! Reads the files that modules and settings name, up to a limit: so that endless devices, pipes that nobody writes to and huge files
//! given by mistake neither take all memory nor make their reader wait.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The limit for certificates and keys: those of all public authorities together have some 250 KB.
pub const MAX_PEM_BYTES: u64 = 16 << 20;

/// All bytes of a regular file.
///
/// # Errors
/// If it cannot be read, is not a regular file, or is larger than `max_bytes`. The error does not name the file.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe or a device may block, and some never end.
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::Error::other("it is a folder; name a file in it"));
    }
    if !kind.is_file() {
        let text = "it is a pipe, a socket or a device; name a regular file";
        return Err(io::Error::other(text));
    }
    all(File::open(path)?, max_bytes)
}

/// All bytes of `from`.
///
/// # Errors
/// If it cannot be read, or is larger than `max_bytes`.
pub fn all(from: impl Read, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let text = format!("it is larger than {} MiB", max_bytes >> 20);
        return Err(io::Error::other(text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_not_read() {
        let told = |path: &str| read(Path::new(path), 1 << 20).unwrap_err().to_string();
        assert!(told("/dev/zero").contains("a pipe, a socket or a device"));
        assert!(told("/").contains("it is a folder"));
        let endless = all(io::repeat(b'#'), 1 << 20).unwrap_err();
        assert_eq!(endless.to_string(), "it is larger than 1 MiB");
    }
}
