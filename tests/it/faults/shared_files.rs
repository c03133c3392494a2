//! Kind: two writers of one thing. Two egresses, or two runtimes, could write to the same file: each stored its position in the same
//! `.out.position` beside it, and after a restart took the position of the other for its own. A file without a line feed at its end that
//! somebody else had written was cut.
//!
//! Right is: `check` finds two egresses with one file; the start refuses a file that another process writes to, and leaves bytes that it has not written.

use std::fs;
use std::path::Path;

use stateful_functions::runtime::Runtime;

use crate::runtime::{SAMPLES, Started};

fn writes(path: &Path) -> String {
    let spec = format!("{{id: statefun.samples/out, path: '{}'}}", path.display());
    format!("{SAMPLES}---\nkind: statefun.file.v1/egress\nspec: {spec}\n")
}

async fn refused(module: &str) -> String {
    let started = Started::try_with(Runtime::builder(), module).await;
    let Err(refused) = started else {
        panic!("the start is refused");
    };
    let source = std::error::Error::source(&refused).map(ToString::to_string);
    format!("{refused}: {}", source.unwrap_or_default())
}

#[tokio::test]
async fn a_file_that_another_runtime_writes_to_is_refused_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let first = Started::with(Runtime::builder(), &writes(&path)).await;
    let other_name = folder.path().join(".").join("out");
    let told = refused(&writes(&other_name)).await;
    assert!(told.contains("a file of its own"), "{told}");
    drop(first);
}

#[tokio::test]
async fn a_file_of_somebody_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    fs::write(&path, "one line\nand one without end").unwrap();
    let told = refused(&writes(&path)).await;
    assert!(told.contains("name another file"), "{told}");
    let left = fs::read_to_string(&path).unwrap();
    assert_eq!(left, "one line\nand one without end");
}
