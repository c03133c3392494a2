//! `statefun check --connect`, and what systems answered.

use std::process::Command;

use serde_json::Value;

/// The answers, each as its verdict, its path and its text.
pub(crate) type Answers = Vec<(String, String, String)>;

/// Checks a module within an environment: the exit code and the answers.
pub(crate) fn ask(text: &str, variables: &[(&str, &str)]) -> (i32, Answers) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.yaml");
    std::fs::write(&file, text).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_statefun"));
    check.args(["check", "--connect", "--within", "30", "--json"]);
    check.envs(variables.iter().copied());
    let checked = check.arg(&file).output().unwrap();
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let answers = told["answers"].as_array().unwrap().iter();
    let part = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();
    let answers = answers.map(|answer| {
        assert!(answer["line"].as_u64() > Some(0), "{answer}");
        (
            part(answer, "verdict"),
            part(answer, "path"),
            part(answer, "message"),
        )
    });
    (checked.status.code().unwrap(), answers.collect())
}

/// Fails unless an answer has these parts.
pub(crate) fn has(answers: &Answers, verdict: &str, path: &str, words: &str) {
    let is_it = |(of, at, text): &(String, String, String)| {
        of == verdict && at == path && text.contains(words)
    };
    assert!(
        answers.iter().any(is_it),
        "{verdict} {path} {words}: {answers:#?}"
    );
}
