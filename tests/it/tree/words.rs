//! Phrases that stopped readers must not come back: fragments without a subject, German word order, and names that only insiders understood. Each is
//! listed with the words of the field. Reviews by native readers found them; a phrase joins the list once the tree is free of it.

use std::fs;
use std::path::Path;

use super::{ROOT, tracked};

/// A phrase, in lower case, and what to write instead.
const PHRASES: &[(&str, &str)] = &[
    ("here live", "name the things: `Records and stages.`"),
    ("is no cron rule", "not a valid cron expression"),
    ("stands here again", "occurs again"),
    ("is no method", "is not a method"),
    ("is no whole number", "is not a whole number"),
    ("is no absolute", "is not an absolute"),
    ("everybody who", "anyone who"),
    ("belong into", "belong in"),
    ("not looked for again", "not checked for duplicates"),
    ("lets expect", "based on the size of the first one"),
    ("as many as may", "the limit is reached; maximum"),
    ("as much as may", "the limit is reached; maximum"),
    ("may be out", "maximum in progress"),
    ("attempt is out", "an attempt is in progress"),
    ("calls that are out", "calls in progress"),
    ("called off", "cancelled"),
    ("call it off", "cancel"),
    ("calls it off", "cancels it"),
    ("taken up again", "requeued, retried"),
    ("sets aside", "parks"),
    ("exists no more", "is no longer in the module, is gone"),
    ("exist no more", "are no longer in the module, are gone"),
    ("warned of", "gives a warning"),
    ("takes note of", "records"),
    ("who asks", "the caller, the actor, the probe"),
    ("comes back later", "is deferred"),
    ("steps in", "an operator command"),
    ("how it came there", "its transition history"),
    ("how a store does", "store health"),
    ("every door", "every listener"),
    ("acquaintance", "the states known"),
    ("surroundings", "dependencies, context, environment"),
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
