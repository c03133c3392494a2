//! A table of module files, most of them faulty, each with what the real StateFun says and what is said here.
//!
//! A case begins with `==== name`. `#> ok`, `#> fault` (it does not load) or `#> lazy` (it loads, and every call of a function fails) is the real
//! runtime's verdict, `#! reason` says why ours differs, and each `#= ` is one of our findings.

use std::fs;

use stateful_functions::module::{Finding, Module, ModuleFile, Placeholders};

use super::{data, is_said_here};

/// Whether a module runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// It loads, and its functions can be called.
    Ok,
    /// It loads, and calls fail.
    Lazy,
    /// It does not load.
    Fault,
}

/// One file of the table.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) text: String,
    /// What the real StateFun says.
    pub(super) real: Runs,
    /// Why we say something else.
    pub(super) reason: Option<String>,
    said: Vec<String>,
}

/// All cases of all files.
pub(super) fn all() -> Vec<Case> {
    let mut files: Vec<_> = fs::read_dir(data("cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let topic = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let parts = text.split("\n==== ").skip(1);
        cases.extend(parts.map(|part| case(&topic, part)));
    }
    cases
}

fn case(topic: &str, part: &str) -> Case {
    let (name, rest) = part.split_once('\n').unwrap();
    let with = |mark: &str| {
        let lines = rest.lines().filter_map(|line| line.strip_prefix(mark));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let is_text = |line: &&str| {
        !["#> ", "#= ", "#! "]
            .iter()
            .any(|mark| line.starts_with(mark))
    };
    let text: Vec<&str> = rest.lines().filter(is_text).collect();
    let real = match with("#> ").concat().as_str() {
        "ok" => Runs::Ok,
        "lazy" => Runs::Lazy,
        "fault" => Runs::Fault,
        other => panic!("{topic}: {name}: `#> {other}`"),
    };
    Case {
        name: format!("{topic}: {name}"),
        text: text.join("\n") + "\n",
        real,
        reason: with("#! ").pop(),
        said: with("#= ")
            .into_iter()
            .filter(|line| is_said_here(line))
            .collect(),
    }
}

/// What is said here about a module as StateFun takes it: placeholders stay.
pub(super) struct Ours {
    pub(super) runs: Runs,
    /// `check --for flink` objects.
    pub(super) is_not_for_flink: bool,
    /// One line for each, without those about the module as a whole.
    pub(super) said: Vec<String>,
}

pub(super) fn ours(text: &str) -> Ours {
    let files = [ModuleFile {
        name: "m.yaml",
        text,
    }];
    let mut findings: Vec<(&str, Finding)> = Vec::new();
    let runs = match Module::parse(&files, &Placeholders::Literal) {
        Ok(module) => {
            let (lazy, warnings): (Vec<_>, Vec<_>) = module
                .warnings
                .into_iter()
                .partition(|finding| finding.is_lazy_fault);
            let is_lazy = module
                .endpoints
                .iter()
                .any(|endpoint| endpoint.lazy_fault.is_some());
            assert_eq!(is_lazy, !lazy.is_empty(), "{text}");
            findings.extend(lazy.into_iter().map(|finding| ("lazy", finding)));
            findings.extend(warnings.into_iter().map(|finding| ("warning", finding)));
            let flink = module.not_for_flink.into_iter();
            findings.extend(flink.map(|finding| ("flink", finding)));
            let notes = module.without_connector.into_iter();
            findings.extend(notes.map(|finding| ("note", finding)));
            if is_lazy { Runs::Lazy } else { Runs::Ok }
        }
        Err(invalid) => {
            let faults = invalid.faults.into_iter();
            findings.extend(faults.map(|finding| ("fault", finding)));
            let warnings = invalid.warnings.into_iter();
            findings.extend(warnings.map(|finding| ("warning", finding)));
            Runs::Fault
        }
    };
    // A module of one endpoint, for instance, lacks much of what makes a whole one.
    findings.retain(|(_, finding)| finding.location.line > 0);
    Ours {
        runs,
        is_not_for_flink: findings.iter().any(|(word, _)| *word == "flink"),
        said: findings
            .iter()
            .map(|(word, finding)| format!("{word} {}", finding.clone().as_upstream()))
            .collect(),
    }
}

impl Ours {
    /// Both run it, or both don't; or `check --for flink` says where the real one does not.
    pub(super) fn agrees_with(&self, real: Runs) -> bool {
        self.runs == real || (self.is_not_for_flink && self.runs == Runs::Ok)
    }

    /// Nothing is said but that there is no connector here.
    pub(super) fn is_silent(&self) -> bool {
        self.said.iter().all(|line| line.starts_with("note "))
    }
}

#[test]
fn sf_55_every_case_of_the_table_says_what_is_written_below_it() {
    let cases = all();
    assert!(cases.len() > 300, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let said = ours(&case.text).said;
        if said != case.said {
            wrong.push(format!("==== {}\n#= {}", case.name, said.join("\n#= ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sf_67_verdicts_agree_with_those_recorded_of_the_real_runtime() {
    for case in all() {
        let ours = ours(&case.text);
        assert_eq!(
            ours.agrees_with(case.real),
            case.reason.is_none(),
            "{}: {:?} there, {:?} here: {:#?}",
            case.name,
            case.real,
            ours.runs,
            ours.said
        );
        assert!(
            !ours.is_silent() || case.real == Runs::Ok,
            "{}: nothing is said",
            case.name
        );
    }
}

#[test]
fn sf_55_every_fault_names_file_line_and_field() {
    for case in all() {
        for line in ours(&case.text).said {
            let (_, finding) = line.split_once(' ').unwrap();
            let location = finding.strip_prefix("m.yaml:").unwrap();
            let number = location.split(':').next().unwrap();
            assert!(number.parse::<u32>().unwrap() > 0, "{}: {line}", case.name);
            let is_of_document = ["Invalid ComponentJsonObject", "Failed loading", "tabs"]
                .iter()
                .any(|text| line.contains(text));
            assert!(
                line.contains(": `") || is_of_document,
                "{}: {line}",
                case.name
            );
        }
    }
}
