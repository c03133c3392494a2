//! Light builds stay light, no build brings a C crypto library or a licence that binds its users, and no tracked file names a
//! machine or a registry.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

mod words;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// This package included.
const LAMBDA_CRATES: usize = 70;

/// TLS stacks, broker clients, storage engines and databases: a function on Lambda needs none.
const HEAVY: &[&str] = &[
    "aws-lc-rs",
    "fjall",
    "heed",
    "hyper-rustls",
    "native-tls",
    "openssl",
    "rdkafka",
    "redb",
    "redis",
    "ring",
    "rocksdb",
    "rskafka",
    "rumqttc",
    "rusqlite",
    "rustls",
    "sled",
    "tokio-postgres",
    "tokio-rustls",
];

const NEVER: &[&str] = &["aws-lc-sys"];
/// What librdkafka's TLS needs: feature `kafka-tls` alone brings it.
const FOR_KAFKA_TLS: &str = "openssl-sys";
/// Everything that is built here, but for the generator.
const BUILT: &str = if cfg!(feature = "kafka") {
    "full,kafka"
} else {
    "full"
};

/// Any of these suffices in an `OR`, each must be allowed in an `AND`.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Home folders and build machines' folders, and hosts that a mirror or a proxy would stand in for.
const UNTRACKED: &[&str] = &[
    "/home/",
    "/root/",
    "/Users/",
    "/work/",
    "deb.debian.org",
    "index.crates.io",
    "static.crates.io",
    "proxy.golang.org",
    "pypi.org",
    "registry.npmjs",
    "repo.maven",
    "repo1.maven",
];

#[test]
fn a_lambda_build_is_light() {
    let crates = tree(&[
        "--no-default-features",
        "--features",
        "lambda",
        "-e",
        "normal,build",
    ]);
    let names: Vec<_> = crates.iter().map(|line| name(line)).collect();
    assert!(
        crates.len() <= LAMBDA_CRATES,
        "{} crates, at most {LAMBDA_CRATES}:\n{}",
        crates.len(),
        names.join(" ")
    );
    let heavy: Vec<_> = names.iter().filter(|name| HEAVY.contains(name)).collect();
    assert!(heavy.is_empty(), "not for a Lambda function: {heavy:?}");
}

/// The lock file names what any feature brings on any platform.
#[test]
fn no_build_has_a_crypto_library_in_c() {
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    for banned in NEVER {
        assert!(
            !lock.contains(&format!("name = \"{banned}\"")),
            "{banned} is in Cargo.lock"
        );
    }
}

#[test]
fn openssl_comes_with_tls_for_kafka_and_not_otherwise() {
    let crates = tree(&["--features", BUILT, "-e", "normal,build,dev"]);
    let names: Vec<_> = crates.iter().map(|line| name(line)).collect();
    assert!(!names.contains(&FOR_KAFKA_TLS), "{FOR_KAFKA_TLS} is built");
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let with_ssl = manifest.lines().filter(|line| line.contains("rdkafka/ssl"));
    let with_ssl: Vec<_> = with_ssl.collect();
    assert!(
        with_ssl.iter().all(|line| line.starts_with("kafka-tls = ")),
        "{with_ssl:?}"
    );
}

#[test]
fn every_licence_is_allowed() {
    let features = if cfg!(feature = "codegen") {
        "full,codegen"
    } else {
        BUILT
    };
    let crates = tree(&[
        "--features",
        features,
        "-e",
        "normal,build,dev",
        "-f",
        "{p}|{l}",
    ]);
    let bound: Vec<_> = crates
        .iter()
        .filter(|line| !line.rsplit('|').next().is_some_and(is_allowed))
        .collect();
    assert!(bound.is_empty(), "licence not allowed: {bound:#?}");
}

#[test]
fn an_expression_of_licences_is_read() {
    for fine in [
        "MIT",
        "MIT/Apache-2.0",
        "Unlicense OR MIT",
        "AGPL-3.0-only OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR MIT",
    ] {
        assert!(is_allowed(fine), "{fine}");
    }
    for bound in [
        "",
        "AGPL-3.0-only",
        "EPL-2.0 AND MIT",
        "(MIT OR Apache-2.0) AND GPL-2.0-only",
    ] {
        assert!(!is_allowed(bound), "{bound}");
    }
}

#[test]
fn no_tracked_file_names_a_machine_or_a_registry() {
    let mut faults = Vec::new();
    for file in tracked() {
        // Fixtures of bytes are not text; this list would find itself.
        let Ok(text) = fs::read_to_string(Path::new(ROOT).join(&file)) else {
            continue;
        };
        if file.ends_with("it/tree.rs") {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let found = UNTRACKED.iter().filter(|word| line.contains(*word));
            faults.extend(found.map(|word| format!("{file}:{}: {word}", index + 1)));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Cargo leaves files out of a package that it takes for another one's; the build of the package is a step of CI.
#[test]
fn a_package_has_what_its_build_includes_and_no_tests() {
    let mut cargo = Command::new(env!("CARGO"));
    let files = output(cargo.args(["package", "--list", "--offline", "--allow-dirty"]));
    let tracked = tracked().into_iter();
    let needed = tracked.filter(|file| file.starts_with("src/") || file.starts_with("docs/"));
    let missing: Vec<_> = needed.filter(|file| !files.contains(file)).collect();
    assert!(missing.is_empty(), "not in the package: {missing:#?}");
    let tests: Vec<_> = files
        .iter()
        .filter(|file| file.starts_with("tests/"))
        .collect();
    assert!(tests.is_empty(), "{tests:#?}");
}

/// `A/B` is the old way to write `A OR B`.
fn is_allowed(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    let any = |choices: &str| {
        choices
            .split(" OR ")
            .any(|licence| LICENCES.contains(&licence.trim()))
    };
    if expression.contains(" AND ") && !expression.contains('(') {
        // `AND` binds tighter than `OR`.
        return flat.split(" OR ").any(|all| all.split(" AND ").all(any));
    }
    flat.split(" AND ").all(any)
}

/// One line for each crate of a build on this machine's platform.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        "--locked",
        "--offline",
        "--prefix",
        "none",
        "--no-dedupe",
    ]);
    let lines = output(cargo.args(arguments));
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

fn name(line: &str) -> &str {
    line.split(' ').next().unwrap()
}

fn tracked() -> Vec<String> {
    let files = output(Command::new("git").args(["ls-files"]));
    assert!(files.len() > 10, "no repository here");
    files
}

fn output(command: &mut Command) -> Vec<String> {
    let done = command.current_dir(ROOT).output().unwrap();
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {complaint}");
    let text = String::from_utf8(done.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}
