//! Phrases that stopped readers must not come back: fragments without a subject, German word order, and names that only insiders understood. Each has
//! the field's own words beside it. Found in reviews by native readers; a phrase joins the list once the tree is free of it.

use std::fs;
use std::path::Path;

use super::{ROOT, tracked};

/// A phrase, in lower case, and what to write instead.
const PHRASES: &[(&str, &str)] = &[
    ("here live", "name the things: `Records and stages.`"),
    ("at every door", "at every listener"),
    ("acquaintance", "StatesKnown"),
    ("surroundings", "Dependencies"),
];

/// Kinds of files that people read.
const READ: &[&str] = &[".rs", ".md", ".yaml", ".proto", ".html", ".js", ".toml"];

#[test]
fn no_file_has_a_phrase_that_stops_a_reader() {
    let mut found = Vec::new();
    for file in tracked() {
        let is_read = READ.iter().any(|kind| file.ends_with(kind));
        if !is_read || file.ends_with("tree/words.rs") {
            continue;
        }
        let Ok(text) = fs::read_to_string(Path::new(ROOT).join(&file)) else {
            continue; // deleted, and not committed yet
        };
        for (index, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            let bad = PHRASES.iter().filter(|(phrase, _)| lower.contains(*phrase));
            found.extend(bad.map(|(phrase, better)| {
                format!("{file}:{}: `{phrase}`; better: {better}", index + 1)
            }));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
