//! What the real runtime needs on this machine: Java, Maven, the artifacts, and the driver compiled. Resolved once, below `target/flink`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::ROOT;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flink");
const RESOLVE: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";
const JAVA: u32 = 17;

/// The class path of the driver, or what is missing.
pub(super) fn class_path() -> Result<&'static str, &'static str> {
    static MADE: OnceLock<Result<String, String>> = OnceLock::new();
    let made = MADE.get_or_init(make);
    made.as_deref().map_err(String::as_str)
}

/// Several test processes may come here at once: the first one works, the others wait for it.
fn make() -> Result<String, String> {
    java()?;
    let root = Path::new(ROOT);
    fs::create_dir_all(root).unwrap();
    let lock = File::create(root.join("lock")).unwrap();
    lock.lock().unwrap();
    let project = fs::read_to_string(Path::new(SOURCES).join("pom.xml")).unwrap();
    once(&root.join("lib"), &project, resolve)?;
    let sources = sources();
    let texts: String = sources
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    once(&root.join("classes"), &(project + &texts), |classes| {
        compile(classes, &sources)
    })?;
    Ok(format!("{ROOT}/classes:{ROOT}/lib/*"))
}

/// Makes `folder`, unless it was made from the same `inputs`.
fn once(
    folder: &Path,
    inputs: &str,
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let stamp = folder.with_extension("made-from");
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == inputs) {
        return Ok(());
    }
    let _ = fs::remove_dir_all(folder);
    make(folder)?;
    fs::write(stamp, inputs).unwrap();
    Ok(())
}

fn java() -> Result<(), String> {
    let said = output("java", ["-version"])?;
    let version = said
        .split('"')
        .nth(1)
        .and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    match version {
        Some(version) if version >= JAVA => Ok(()),
        _ => Err(format!(
            "Java {JAVA} is needed, and this is {}",
            said.lines().next().unwrap_or_default()
        )),
    }
}

fn resolve(lib: &Path) -> Result<(), String> {
    let pom = format!("{SOURCES}/pom.xml");
    let into = format!("-DoutputDirectory={}", lib.display());
    output("mvn", ["-q", "-B", "-f", &pom, RESOLVE, &into]).map(drop)
}

fn compile(classes: &Path, sources: &[PathBuf]) -> Result<(), String> {
    output("javac", ["-version"])?;
    let lib = format!("{ROOT}/lib/*");
    let options = ["-nowarn", "-d"].map(OsStr::new);
    let class_path = ["-cp", &lib].map(OsStr::new);
    let sources = sources.iter().map(|path| path.as_os_str());
    let arguments = options
        .into_iter()
        .chain([classes.as_os_str()])
        .chain(class_path)
        .chain(sources);
    output("javac", arguments).expect("the driver compiles");
    Ok(())
}

fn sources() -> Vec<PathBuf> {
    let folder = fs::read_dir(format!("{SOURCES}/src/driver")).unwrap();
    let mut sources: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    sources.sort();
    sources
}

/// What a program prints; if it is not there or fails, that.
fn output(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<String, String> {
    let ran = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let ran = ran.map_err(|error| format!("there is no {program} ({error})"))?;
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    if ran.status.success() {
        Ok(said)
    } else {
        Err(format!(
            "{program} failed: {}",
            said.trim().replace('\n', " | ")
        ))
    }
}
