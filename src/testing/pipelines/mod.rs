//! Cases that stand beside a pipeline: what goes in, what destinations answer, and what must come of it. `read` reads them from a file, `play` runs them
//! on a [`Harness`](super::Harness), on virtual time and without a network, and `found` compares.

mod found;
mod play;
mod read;
mod script;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use self::read::{DestinationAnswer, Export, Letter, Payload};
use crate::document::{At, Finding, Findings, Location, Repeated, yaml};
use crate::module::ModuleFile;
use crate::pipeline::PipelineConfig;

/// The cases of a file.
///
/// ```
/// use stateful_functions::module::ModuleFile;
/// use stateful_functions::pipeline::PipelineConfig;
/// use stateful_functions::testing::PipelineTests;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let orders = PipelineConfig::from_json(&serde_json::json!({
///     "name": "orders",
///     "stages": [
///         {"filter": {"rule": {">": [{"var": "total"}, 100]}}},
///         {"http-export": {"url": "https://crm.example/orders", "retry": {"every": "1m"}}},
///     ],
/// })).unwrap();
/// let text = r#"
/// cases:
///   - name: a large order is sent once the destination works
///     input: {total: 120}
///     answers: [503, 200]
///     for: 1m
///     exports: [{url: "https://crm.example/orders"}, {body: {total: 120}}]
///   - name: a small one is dropped
///     input: {total: 9}
///     dropped: true
/// "#;
/// let tests = PipelineTests::read(&ModuleFile { name: "orders.test.yaml", text }).unwrap();
/// for result in tests.run(&[&orders]).await {
///     assert!(result.has_passed(), "{result}");
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct PipelineTests {
    secrets: Vec<(String, Vec<(String, String)>)>,
    cases: Vec<Case>,
}

/// One case: what is done, and what is expected.
#[derive(Debug)]
struct Case {
    name: String,
    location: Location,
    to: Option<String>,
    inputs: Vec<Payload>,
    content_type: Option<String>,
    values: Vec<(String, String)>,
    /// In their order, for requests to URLs that begin with the text; the last one is repeated.
    answers: Vec<(String, Vec<DestinationAnswer>)>,
    lasts: Duration,
    expected: Expected,
}

/// What is expected; what is not mentioned is not compared, except for records that wait or are dead letters.
#[derive(Debug, Default)]
struct Expected {
    exports: Option<Vec<Export>>,
    outputs: Option<Vec<Payload>>,
    response: Option<Payload>,
    is_dropped: bool,
    waiting: usize,
    letters: Vec<Letter>,
}

/// The result of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestResult {
    /// The name of the case.
    pub name: String,
    /// Where it is written.
    pub location: Location,
    /// What is not as expected, one text each; empty if the case has passed.
    pub mismatches: Vec<String>,
}

impl TestResult {
    /// Whether everything is as expected.
    pub fn has_passed(&self) -> bool {
        self.mismatches.is_empty()
    }
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_passed() {
            return write!(f, "ok    {}", self.name);
        }
        write!(f, "FAIL  {} ({})", self.name, self.location)?;
        let mut mismatches = self.mismatches.iter();
        mismatches.try_for_each(|mismatch| write!(f, "\n        {mismatch}"))
    }
}

impl PipelineTests {
    /// Reads the cases of a file.
    ///
    /// # Errors
    /// All faults at once, each with its location.
    pub fn read(file: &ModuleFile<'_>) -> Result<Self, Vec<Finding>> {
        let findings = Findings::default();
        let documents = yaml::parse(file.name, file.text, Repeated::FaultAtTop, &findings);
        let tests = match documents.as_slice() {
            [document] => Self::of(At::new(document, "", &findings)),
            [] => {
                let place = Location::file(file.name);
                let text = "there are no cases: write `cases: [{name, input, …}]`";
                findings.fault(Finding::new(place, "", text));
                None
            }
            [_, second, ..] => {
                let text = "all cases of a file are in one document";
                findings.fault(Finding::new(second.location.clone(), "", text));
                None
            }
        };
        findings.into_result(tests)
    }

    /// The cases with `text` in their names.
    #[must_use]
    pub fn only(mut self, text: &str) -> Self {
        self.cases.retain(|case| case.name.contains(text));
        self
    }

    /// Plays the cases, each from the beginning. The first pipeline gets what names no other; all of them can send records to each other.
    pub async fn run(&self, pipelines: &[&PipelineConfig]) -> Vec<TestResult> {
        let mut results = Vec::with_capacity(self.cases.len());
        for case in &self.cases {
            let mismatches = match play::play(case, &self.secrets, pipelines).await {
                Ok(played) => found::compare(&case.expected, &played),
                Err(text) => vec![text],
            };
            results.push(TestResult {
                name: case.name.clone(),
                location: case.location.clone(),
                mismatches,
            });
        }
        results
    }
}

/// What came of a case.
#[derive(Debug, Default)]
struct Played {
    requests: Vec<script::Request>,
    outputs: Vec<Bytes>,
    /// Types and bytes.
    responses: Vec<(String, Bytes)>,
    waiting: Vec<String>,
    letters: Vec<PlayedLetter>,
}

#[derive(Debug)]
struct PlayedLetter {
    stage: String,
    reason: String,
    error: String,
    payload: Bytes,
}
