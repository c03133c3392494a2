//! Phrases that stopped readers must not come back: fragments without a subject, German word order, and names that only insiders understood. Each is
//! listed with the words of the field. Reviews by native readers found them; a phrase joins the list once the tree is free of it.

use std::fs;
use std::path::Path;

use super::{ROOT, tracked};

/// Words in sequence, in lower case, and what to write instead. They are found in prose and in identifiers: `called off` is also `called_off` and `calledOff`.
const PHRASES: &[(&str, &str)] = &[
    ("here live", "name the things: `Records and stages.`"),
    ("stands here again", "occurs again"),
    ("everybody who", "anyone who"),
    ("belong into", "belong in"),
    ("not looked for again", "not checked for duplicates"),
    ("lets expect", "based on the size of the first one"),
    ("as many as may", "the limit is reached; maximum"),
    ("as much as may", "the limit is reached; maximum"),
    ("out as may", "the limit is reached; maximum"),
    ("waiting as may", "the limit is reached; maximum"),
    ("may be out", "maximum in progress"),
    ("attempt is out", "an attempt is in progress"),
    ("calls that are out", "calls in progress"),
    ("calls out", "calls in progress, calls running"),
    ("called off", "cancelled"),
    ("call it off", "cancel"),
    ("calls it off", "cancels it"),
    ("taken up again", "requeued, retried"),
    ("sets aside", "parks; has set aside"),
    ("exists no more", "is no longer in the module, is gone"),
    ("exist no more", "are no longer in the module, are gone"),
    ("warned of", "gives a warning"),
    ("takes note of", "records"),
    ("told of", "reported, logged"),
    ("history says of", "derived from its transitions"),
    ("who asks", "the caller, the actor, the probe"),
    (
        "nobody waits out",
        "others need not wait for its full timeout",
    ),
    ("comes back later", "is deferred"),
    ("come back later", "are deferred"),
    ("how it came there", "its transition history"),
    ("how a store does", "store health"),
    ("taken over nothing decided", "accepted; not scheduled yet"),
    ("every door", "every listener"),
    ("acquaintance", "the states known"),
    ("surroundings", "dependencies, context, environment"),
    ("fate", "fatal failure, outcome"),
    ("obey", "execute"),
    ("obeys", "executes"),
    ("birth", "acknowledge, create"),
    ("postpone", "defer"),
    ("postponed", "deferred"),
    ("hold back", "defer"),
    ("send away", "defer, refuse"),
    (
        "behind the intake",
        "the disk is slower than the intake; and what to do",
    ),
    ("whole response", "complete response"),
    (
        "goes before the environment",
        "overrides the environment variable",
    ),
    ("machine can carry", "load beyond one machine"),
    ("does not know are", "unknown keys give a warning"),
    ("so does a batch", "name the subject"),
    ("takes 2 to 2", "takes 2"),
    (
        "bearer token is needed",
        "the token is missing, or is wrong",
    ),
    ("cannot lock folder", "it is a file, not a folder"),
    ("disk is full disk is full", "say it once"),
];

/// Whole identifiers, such as names of functions and of fields in the log.
const IDENTIFIERS: &[(&str, &str)] = &[
    ("Door", "HTTP ingress service"),
    ("hold_back", "defer"),
    ("put_off", "defer"),
    ("send_away", "defer"),
    ("in_ms", "retry_in_ms"),
    ("unsaid", "suppressed"),
];

/// Parts of longer identifiers, for names of tests.
const PARTS: &[(&str, &str)] = &[
    ("_is_told", "is_reported, is_shown, is_named"),
    ("_are_told", "are_reported, are_shown, are_named"),
];

/// What may follow `is no` in English: everything else `is not a …`.
const AFTER_NO: &[&str] = &[
    "longer", "more", "such", "better", "reason", "need", "room", "other",
];

/// Kinds of files that people read.
const READ: &[&str] = &[
    ".rs",
    ".md",
    ".yaml",
    ".proto",
    ".html",
    ".js",
    ".toml",
    ".java",
    ".py",
    ".go",
    ".sh",
    ".template",
    "Dockerfile",
    "Containerfile",
    ".ci/run",
    ".ci/timed",
];

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
            let bad = stumbles(line).into_iter();
            found.extend(bad.map(|bad| format!("{file}:{}: {bad}", index + 1)));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn phrases_are_found_in_prose_and_in_identifiers() {
    for line in [
        "/// A reason that is no number.",
        "fn what_is_no_number_is_refused() {",
        "the delivery was called off",
        "fn isCalledOff() {",
        "warn!(in_ms, \"failed\")",
        "fn a_line_is_told_with_its_number() {",
    ] {
        assert_eq!(stumbles(line).len(), 1, "{line}: {:?}", stumbles(line));
    }
    for line in [
        "there is no number; it is no longer one",
        "fn there_is_no_number() {",
        "warn!(retry_in_ms, \"the process is told to stop\")",
        "first the birthday, then the meeting",
    ] {
        assert!(stumbles(line).is_empty(), "{line}: {:?}", stumbles(line));
    }
}

/// What stops a reader in this line, each with what to write instead.
fn stumbles(line: &str) -> Vec<String> {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let has = |phrase: &str| {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        words.windows(phrase.len()).any(|part| part == phrase)
    };
    let phrases = PHRASES.iter().filter(|(phrase, _)| has(phrase));
    let is_identifier = |letter: char| letter.is_alphanumeric() || letter == '_';
    let identifiers: Vec<&str> = line.split(|letter| !is_identifier(letter)).collect();
    let whole = IDENTIFIERS.iter();
    let whole = whole.filter(|(name, _)| identifiers.contains(name));
    let parts = PARTS.iter();
    let parts = parts.filter(|(part, _)| identifiers.iter().any(|name| name.contains(part)));
    let named = phrases.chain(whole).chain(parts);
    let mut all: Vec<String> = named
        .map(|(phrase, better)| format!("`{phrase}`; better: {better}"))
        .collect();
    if is_no(&words) {
        all.push("`is no …`; better: is not a …".to_owned());
    }
    all
}

/// Whether something `is no …`, as in German.
fn is_no(words: &[&str]) -> bool {
    words.iter().enumerate().any(|(at, word)| {
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        let is_verb = ["is", "are"].contains(word) && before != Some(&"there");
        let after = words.get(at + 2);
        is_verb
            && words.get(at + 1) == Some(&"no")
            && after.is_some_and(|after| !AFTER_NO.contains(after))
    })
}

/// The words of a line in lower case; an identifier consists of several.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in line.chars() {
        let is_part = letter.is_alphanumeric() || letter == '\'';
        if !is_part || (letter.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if is_part && let Some(word) = words.last_mut() {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}
