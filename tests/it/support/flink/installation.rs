//! What the real runtime needs on this machine: Java, Maven, the artifacts, and the driver compiled. Resolved once, below `target/flink`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::made::{Lack, build, fetch, made_once};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flink");
const RESOLVE: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";
/// The newest that Flink 1.16 is known to run on.
const JAVA: &str = "17";
/// What the libraries of the real runtime look into.
const OPENED: [&str; 12] = [
    "java.io",
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.net",
    "java.nio",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "sun.nio.ch",
];

/// A Java machine in which the real runtime can run. Its memory, its class path and the main class `driver.Driver` are not given yet.
pub(crate) fn java() -> Command {
    let mut java = Command::new("java");
    java.args(OPENED.map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")));
    java
}

/// The class path of the driver, or what is missing.
pub(crate) fn class_path() -> Result<&'static str, &'static Lack> {
    static MADE: OnceLock<Result<String, Lack>> = OnceLock::new();
    MADE.get_or_init(make).as_deref()
}

fn make() -> Result<String, Lack> {
    must_have_java()?;
    let project = PathBuf::from(format!("{SOURCES}/pom.xml"));
    let lib = made_once("flink/lib", std::slice::from_ref(&project), |lib| {
        let into = format!("-DoutputDirectory={}", lib.display());
        let maven = ["-q", "-B", RESOLVE, &into, "-f"];
        fetch(Command::new("mvn").args(maven).arg(&project))
    })?;
    let sources = sources();
    let inputs = [&[project], &*sources].concat();
    let jars = format!("{}/*", lib.display());
    let classes = made_once("flink/classes", &inputs, |classes| {
        fetch(Command::new("javac").arg("-version"))?;
        let mut compiler = Command::new("javac");
        compiler.arg("-nowarn").arg("-cp").arg(&jars);
        build(compiler.arg("-d").arg(classes).args(sources));
        Ok(())
    })?;
    Ok(format!("{}:{jars}", classes.display()))
}

fn must_have_java() -> Result<(), Lack> {
    let asked = Command::new("java").arg("-version").output();
    let asked = asked.map_err(|error| format!("java: {error}"))?;
    let told = String::from_utf8_lossy(&asked.stderr).into_owned();
    let version = told.split('"').nth(1).unwrap_or_default();
    if version.split('.').next() == Some(JAVA) {
        return Ok(());
    }
    let line = told.lines().next().unwrap_or_default();
    Err(format!("java: {JAVA} is needed, and this is {line}"))
}

fn sources() -> Vec<PathBuf> {
    let folder = fs::read_dir(format!("{SOURCES}/src/driver")).unwrap();
    let mut sources: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    sources.sort();
    sources
}
