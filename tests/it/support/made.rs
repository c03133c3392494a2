//! Programs in other languages, fetched and built once below `target`, and the message of a test that cannot have one.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a program can't be had on this machine, in one line: a tool is missing, or what it needs can't be fetched.
pub(crate) type Lack = String;

/// Says loudly that `test` was skipped, past libtest's capture of what tests print. `.ci/run` counts these lines.
pub(crate) fn skipped(test: &str, lack: &str) {
    let _ = std::io::stderr().write_all(format!("\nSKIPPED {test}: {lack}\n").as_bytes());
}

/// The folder `target/<name>` as `make` fills it, empty before. It is made again when a file of `inputs` has changed; other
/// tests, in other processes too, wait meanwhile.
pub(crate) fn made_once(
    name: &str,
    inputs: &[PathBuf],
    make: impl FnOnce(&Path) -> Result<(), Lack>,
) -> Result<PathBuf, Lack> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join(name);
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let stamp = folder.join("made-of");
    let inputs = fingerprint(&folder, inputs);
    if fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == inputs) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir(&folder).unwrap();
    make(&folder)?;
    fs::write(stamp, inputs).unwrap();
    Ok(folder)
}

/// A line for each input. Scripts name the folder that they stand in, so it belongs to them.
fn fingerprint(folder: &Path, inputs: &[PathBuf]) -> String {
    let mut lines = format!("{}\n", folder.display());
    for input in inputs {
        let mut hasher = DefaultHasher::new();
        fs::read(input).unwrap().hash(&mut hasher);
        let hash = hasher.finish();
        writeln!(lines, "{hash:016x} {}", input.display()).unwrap();
    }
    lines
}

/// Runs a tool that fetches something: where it is missing or fails, the machine lacks it.
pub(crate) fn fetch(command: &mut Command) -> Result<(), Lack> {
    run(command).map_err(|(tool, told)| {
        // Tools warn before, and give advice after it.
        let error = told.lines().find(|line| line.contains("rror"));
        let line = error.or(told.lines().last()).unwrap_or_default();
        format!("{tool}: {line}")
    })
}

/// Runs a tool on our own sources: they must do.
pub(crate) fn build(command: &mut Command) {
    if let Err((tool, told)) = run(command) {
        panic!("{tool} failed:\n{told}");
    }
}

/// If it fails, its name and what it told.
fn run(command: &mut Command) -> Result<(), (String, String)> {
    let tool = command.get_program().display().to_string();
    let done = match command.stdin(Stdio::null()).output() {
        Ok(done) if done.status.success() => return Ok(()),
        Ok(done) => done,
        Err(error) => return Err((tool, error.to_string())),
    };
    let told = [done.stdout, done.stderr].concat();
    Err((tool, String::from_utf8_lossy(&told).trim().to_owned()))
}
