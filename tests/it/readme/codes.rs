//! `docs/errors.md` has each code of the API, and no other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::ROOT;

const ERRORS: &str = include_str!("../../../docs/errors.md");

/// Texts with a dot that are not codes of an answer: names of files, namespaces and keys, and codes that deliveries answer each other with.
const OTHERS: &[&str] = &[
    "any.example",
    "job.bad_command",
    "module.yaml",
    "out.jsonl",
    "spec.transport",
    "statefun.http",
    "statefun.internal",
];

#[test]
fn each_code_has_its_cause_and_remedy() {
    let mut files = Vec::new();
    for part in ["admin", "connectors", "edgex/rest", "runtime"] {
        sources(&Path::new(ROOT).join("src").join(part), &mut files);
    }
    let mut codes = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        codes.extend(beside_a_status(text));
        codes.extend(dotted(text));
    }
    let section = ERRORS.split("## Requests").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let told: BTreeSet<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    let codes: BTreeSet<&str> = codes.iter().map(String::as_str).collect();
    let untold: Vec<_> = codes.difference(&told).collect();
    let unknown: Vec<_> = told.difference(&codes).collect();
    assert!(untold.is_empty(), "not in docs/errors.md: {untold:?}");
    assert!(unknown.is_empty(), "nothing answers with: {unknown:?}");
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Their texts with dots are names of settings; they answer no requests.
        let has_settings = ["kafka", "kinesis", "mqtt", "redis"];
        if has_settings
            .iter()
            .any(|name| path.ends_with(format!("connectors/{name}")))
        {
            continue;
        }
        if path.is_dir() {
            sources(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// `StatusCode::NOT_FOUND, "path.unknown"`.
fn beside_a_status(text: &str) -> Vec<String> {
    let statuses = text.split("StatusCode::").skip(1);
    let codes = statuses.filter_map(|rest| {
        let rest =
            rest.trim_start_matches(|letter: char| letter.is_ascii_uppercase() || letter == '_');
        let literal = rest.strip_prefix(',')?.trim_start().strip_prefix('"')?;
        literal.split('"').next()
    });
    codes
        .filter(|code| is_word(code))
        .map(str::to_owned)
        .collect()
}

/// Literals of the form of most codes.
fn dotted(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let literals = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    let codes =
        literals.filter(|text| text.split('.').count() == 2 && text.split('.').all(is_word));
    codes
        .filter(|code| !OTHERS.contains(code))
        .map(str::to_owned)
        .collect()
}

fn is_word(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_lowercase() || "_.".contains(letter);
    !text.is_empty() && text.chars().all(is_letter)
}
