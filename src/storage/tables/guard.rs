//! Calls redb, and turns its panics on damaged files into errors.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use super::super::StorageError;

/// The result of work with redb.
#[derive(Debug)]
pub(super) enum Fault {
    Redb(redb::Error),
    Ours(StorageError),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(err: E) -> Self {
        Self::Redb(err.into())
    }
}

const REMEDY: &str = "restore a backup of the whole folder";

/// Writing failed, for example because of the data to write.
pub(super) const WRITE: &str = "write";

/// Whether the file is too short for its pages, or does not begin like a redb file.
fn is_of_content(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
    )
}

const fn is_of_disk(err: &redb::Error) -> bool {
    matches!(err, redb::Error::Io(_) | redb::Error::PreviousIo)
}

/// The error for damage in the tables in `file`.
pub(super) fn damaged(file: &str, fault: String) -> StorageError {
    StorageError::DamagedTables {
        file: file.to_owned(),
        fault,
        remedy: REMEDY,
    }
}

/// Does something with the tables in `file`.
pub(super) fn guarded<T>(
    file: &str,
    action: &'static str,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, StorageError> {
    let damaged = |fault| damaged(file, fault);
    match quietly(work) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Fault::Ours(err))) => Err(err),
        Ok(Err(Fault::Redb(redb::Error::Corrupted(fault)))) => Err(damaged(fault)),
        Ok(Err(Fault::Redb(redb::Error::Io(err)))) if is_of_content(&err) => {
            Err(damaged(err.to_string()))
        }
        // What was written by us can be opened and read.
        Ok(Err(Fault::Redb(err))) if action != WRITE && !is_of_disk(&err) => {
            Err(damaged(err.to_string()))
        }
        Ok(Err(Fault::Redb(err))) => Err(StorageError::Tables {
            action,
            source: err.into(),
        }),
        Err(said) => Err(damaged(format!("its pages are inconsistent ({said})"))),
    }
}

thread_local! {
    /// Set while this thread works with redb and catches its panics.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Does `work`; a panic becomes the error, and is not printed.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                SAID.with_borrow_mut(|said| *said = in_one_line(info));
            } else {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    done.map_err(|_| SAID.take())
}

/// The message of a panic, shortened, and its location.
fn in_one_line(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let literal = payload.downcast_ref::<&str>().copied();
    let said = literal.or(payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("a panic without a message");
    let line = said.lines().next().unwrap_or_default();
    let line: String = line.chars().take(100).collect();
    match info.location() {
        Some(at) => {
            let file = at.file().rsplit('/').next().unwrap_or_default();
            format!("{line} at {file}:{}", at.line())
        }
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_below_becomes_an_error_with_file_and_remedy() {
        let done = guarded("data/tables.redb", "read", || -> Result<(), Fault> {
            panic!("range start index 9 out of range\nfor all kinds of reasons")
        });
        let text = done.unwrap_err().to_string();
        assert!(
            text.starts_with("data/tables.redb is damaged: its pages are inconsistent (range start index 9 out of range at guard.rs:"),
            "{text}"
        );
        assert!(
            text.ends_with("; restore a backup of the whole folder"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn errors_that_tell_of_a_damaged_file_name_it_and_others_keep_their_cause() {
        let told = |err: redb::Error| {
            let done = guarded("t", "read", || Err::<(), _>(Fault::Redb(err)));
            done.unwrap_err()
        };
        let corrupted = told(redb::Error::Corrupted("checksum".to_owned()));
        assert!(matches!(corrupted, StorageError::DamagedTables { .. }));
        let short = told(redb::Error::Io(io::ErrorKind::UnexpectedEof.into()));
        assert!(matches!(short, StorageError::DamagedTables { .. }));
        let full = told(redb::Error::Io(io::ErrorKind::StorageFull.into()));
        assert!(matches!(full, StorageError::Tables { .. }));
    }
}
