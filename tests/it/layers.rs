//! Which part may import which. `docs/architecture.md` gives the reasons.

use std::fs;
use std::path::{Path, PathBuf};

/// A part, and the parts it may name; the longest matching name on the left decides. `*` is all of them.
const MAY_USE: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("clock", &[]),
    ("random", &[]),
    ("retry", &[]),
    ("printable", &[]),
    ("time", &[]),
    ("elapsed", &[]),
    ("json_words", &[]),
    // The tree that documents are read from.
    ("document", &[]),
    // The files that settings name.
    ("files", &[]),
    ("guides", &[]),
    ("topic_filter", &[]),
    ("storage", &[]),
    ("sdk", &["protocol"]),
    ("handler", &["sdk", "protocol"]),
    ("transport", &["handler", "sdk"]),
    ("transport::http::client", &["random"]),
    ("transport::mqtt", &["transport::http::client"]),
    ("delivery::engine", &["retry"]),
    (
        "delivery",
        &[
            "delivery::engine",
            "sdk",
            "clock",
            "random",
            "retry",
            "transport::http::client",
        ],
    ),
    (
        "delivery::owner",
        &["delivery", "delivery::engine", "sdk", "clock"],
    ),
    (
        "pipeline",
        &[
            "delivery",
            "delivery::engine",
            "delivery::owner",
            "document",
            "files",
            "topic_filter",
            "sdk",
            "clock",
            "random",
            "retry",
            "transport::http::client",
            "transport::mqtt",
        ],
    ),
    (
        "jobs",
        &[
            "delivery",
            "delivery::engine",
            "delivery::owner",
            "pipeline",
            "document",
            "sdk",
            "clock",
            "transport::http::client",
        ],
    ),
    // Reads and checks files, and gives values: nothing is opened or started.
    (
        "module",
        &["document", "jobs", "pipeline", "sdk", "topic_filter"],
    ),
    ("runtime::core", &["sdk", "protocol", "retry", "storage"]),
    (
        "runtime",
        &[
            "runtime::core",
            "files",
            // Drivers take the checked settings of their kind of document, which are plain structs.
            "module",
            "handler",
            "transport",
            "transport::http::client",
            "storage",
            "sdk",
            "protocol",
            "clock",
            "random",
            "retry",
        ],
    ),
    // What systems have in common; no system names another.
    ("connectors", &["runtime", "sdk", "protocol"]),
    (
        "connectors::file",
        &["connectors", "runtime", "module", "sdk"],
    ),
    ("connectors::stdout", &["connectors", "runtime", "sdk"]),
    (
        "connectors::http",
        &["runtime", "module", "transport", "sdk"],
    ),
    (
        "connectors::kafka",
        &["runtime", "module", "sdk", "protocol"],
    ),
    (
        "connectors::kinesis",
        &[
            "runtime",
            "module",
            "sdk",
            "protocol",
            "clock",
            "random",
            "retry",
            "transport::http::client",
        ],
    ),
    (
        "connectors::mqtt",
        &[
            "runtime",
            "module",
            "transport::http::client",
            "transport::mqtt",
            "retry",
            "sdk",
            "protocol",
            "topic_filter",
        ],
    ),
    (
        "connectors::redis",
        &[
            "runtime",
            "module",
            "transport::http::client",
            "sdk",
            "protocol",
        ],
    ),
    (
        "connectors::playground",
        &["runtime", "module", "transport", "sdk", "protocol"],
    ),
    // Files in, values out.
    (
        "edgex::configuration",
        &["edgex", "document", "module", "pipeline", "topic_filter"],
    ),
    // Here the parts are put together.
    ("edgex", &["*"]),
    ("runtime::assemble", &["*"]),
    ("admin", &["*"]),
    ("testing", &["*"]),
];

/// Plain data: every part may name these.
const FOR_ALL: &[&str] = &["time", "elapsed", "printable", "json_words"];

/// Parts without I/O, tasks, clocks or generators, and what they therefore never name.
const PURE: &[&str] = &[
    "protocol",
    "sdk",
    "handler",
    "delivery::engine",
    "delivery::owner::breaker",
    "delivery::owner::decide",
    "delivery::owner::figures",
    "delivery::owner::lane_head",
    "delivery::owner::lane_runs",
    "delivery::owner::pages",
    "delivery::owner::queue",
    "delivery::owner::received",
    "delivery::owner::row",
    "delivery::owner::waking",
    "jobs::plan",
    "runtime::core",
];
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "std::fs",
    "std::net",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
];

#[test]
fn parts_import_only_what_they_may() {
    let faults: Vec<_> = sources().iter().flat_map(imports_out_of_line).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn cores_do_no_input_or_output() {
    let faults: Vec<_> = sources().iter().flat_map(impurities).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A file of the library, without its unit tests.
struct Source {
    file: String,
    /// `runtime::core::timers`
    module: String,
    code: String,
}

fn imports_out_of_line(source: &Source) -> Vec<String> {
    let Source { file, module, .. } = source;
    let Some((own, allowed)) = part(module) else {
        return vec![format!("{file}: no row in MAY_USE for {module}")];
    };
    let mut faults = Vec::new();
    for (number, line) in lines(source) {
        for used in line.split("crate::").skip(1) {
            let target = part(used).map_or("the crate root", |(name, _)| name);
            let fine = target == own
                || allowed.contains(&"*")
                || allowed.contains(&target)
                || FOR_ALL.contains(&target);
            if !fine {
                faults.push(format!("{file}:{number}: {own} may not use {target}"));
            }
        }
    }
    faults
}

fn impurities(source: &Source) -> Vec<String> {
    let Some(own) = PURE.iter().find(|name| is_in(&source.module, name)) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for (number, line) in lines(source) {
        for word in IMPURE.iter().filter(|word| line.contains(*word)) {
            let file = &source.file;
            faults.push(format!("{file}:{number}: {own} may not name {word}"));
        }
    }
    faults
}

/// The row with the longest name that `path` begins with.
fn part(path: &str) -> Option<(&'static str, &'static [&'static str])> {
    let rows = MAY_USE.iter().filter(|(name, _)| is_in(path, name));
    rows.max_by_key(|(name, _)| name.len()).copied()
}

/// Whether `path` begins with the module `name`: whole segments only.
fn is_in(path: &str, name: &str) -> bool {
    path.strip_prefix(name)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}

fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let numbered = source.code.lines().enumerate();
    numbered
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let sources: Vec<_> = files
        .iter()
        .filter_map(|file| source(file.strip_prefix(&root).unwrap()))
        .collect();
    assert!(sources.len() > 10, "{} has no sources", root.display());
    sources
}

/// `None` for what is outside the library's modules: its root, the binary, generated code.
fn source(file: &Path) -> Option<Source> {
    let path = file.to_str().unwrap().replace('\\', "/");
    let outside = ["lib.rs", "bin/", "protocol/generated/"];
    if outside.iter().any(|start| path.starts_with(start)) {
        return None;
    }
    let stem = path.strip_suffix(".rs").unwrap();
    let module = stem.strip_suffix("/mod").unwrap_or(stem).replace('/', "::");
    let file = format!("src/{path}");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
    let code = text.split("\nmod tests {").next().unwrap();
    Some(Source {
        file,
        module,
        code: code.to_owned(),
    })
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
