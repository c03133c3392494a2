//! README and tutorial show what happens: their code is that of the repository, their links lead somewhere, and each command is typed.

mod codes;
mod guide;
mod process;
#[cfg(feature = "testing")]
mod sdk;
mod tour;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use guide::{Guide, Piece};
use tour::Tour;

const README: &str = include_str!("../../../README.md");
const TUTORIAL: &str = include_str!("../../../docs/tutorial.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_first_example_is_the_greeter() {
    let pieces = Guide::new(README).pieces();
    let example = pieces.iter().find_map(|piece| match piece {
        Piece::Code { language, text } if language == "rust" => Some(text.as_str()),
        _ => None,
    });
    let greeter = include_str!("../../../examples/greeter.rs");
    let example = example.unwrap();
    assert!(
        greeter.contains(example),
        "examples/greeter.rs differs from\n{example}"
    );
}

#[test]
fn links_resolve() {
    let docs = Path::new(ROOT).join("docs");
    let mut files = vec![Path::new(ROOT).join("README.md")];
    files.extend(
        std::fs::read_dir(docs)
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    for file in files {
        let Some("md") = file.extension().and_then(|end| end.to_str()) else {
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap();
        let links = text.split("](").skip(1);
        let links = links.map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with("crate::")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => file.clone(),
                path => file.parent().unwrap().join(path),
            };
            assert!(target.exists(), "{}: there is no {link}", file.display());
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(&target).unwrap();
                let headings = target.lines().filter(|line| line.starts_with('#'));
                let is_there = headings.map(guide::anchor).any(|found| found == anchor);
                assert!(is_there, "{}: there is no heading {link}", file.display());
            }
        }
    }
}

#[test]
fn the_tour_shows_what_happens() {
    let Some(tour) = Tour::start(Path::new(ROOT)) else {
        return;
    };
    tour.take(Guide::new(README).pieces());
}

/// It makes a project, builds and tests it, runs it, kills it and changes it.
#[test]
fn the_tutorial_shows_what_happens() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut tour) = Tour::start(folder.path()) else {
        return;
    };
    tour.is_tutorial = true;
    tour.take(Guide::new(TUTORIAL).pieces());
}

/// Whether there is a program; says so, past the capture of a test's output, when there is none.
fn is_there(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        let _ = writeln!(std::io::stderr(), "\nSKIPPED readme: there is no {program}");
    }
    is_there
}
