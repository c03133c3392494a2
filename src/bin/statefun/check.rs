//! `statefun check`: all faults of module files.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use stateful_functions::module::{Finding, Location, Module, ModuleFile, Placeholders};
use stateful_functions::printable::counted;
use stateful_functions::runtime::{
    Asking, SystemAnswer, TlsFindings, Verdict, ask_systems, connector_findings,
};

use crate::args::{ADMIN, ModuleArgs};
use crate::{environment, input, network, output};

/// Check module files: every fault with file, line and remedy.
///
/// Exits with 0 when the files are fine, 1 when they have faults, 2 when they cannot be read. A valid kind that needs a connector which this build
/// does not have gives a note. With `--connect` the systems that a module without faults names are asked, too, and nothing is changed there; exits with 1
/// when one of them does not answer, or is not as the module needs it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun check                      checks module.yaml
  statefun check a.yaml b.yaml        two files that are one module
  statefun check --set PORT=8090      with a value for ${PORT}
  statefun check --for flink          also what would not run on Apache Flink StateFun
  statefun check --connect            also asks Kafka and Kinesis: topics, streams, rights, limits
  statefun check --json               findings for a program")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) module: ModuleArgs,
    /// Also report what another runtime would not accept.
    #[arg(long = "for", value_name = "RUNTIME")]
    other: Option<OtherRuntime>,
    /// Where the admin API will listen; a listener of the module at the same address is a fault.
    #[arg(long, value_name = "ADDR", default_value = ADMIN)]
    admin: String,
    /// Also ask the systems that the module names.
    #[arg(long)]
    connect: bool,
    /// Wait this many seconds for their answers.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "connect", value_parser = clap::value_parser!(u64).range(1..=600))]
    within: u64,
    /// Files of pipelines are checked: configurations of EdgeX are among them, and one pipeline is required.
    #[arg(skip)]
    of_pipelines: bool,
}

impl CheckArgs {
    /// The same check of files of pipelines.
    pub(crate) fn for_pipelines(self) -> Self {
        Self {
            of_pipelines: true,
            ..self
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OtherRuntime {
    /// StateFun on Apache Flink.
    Flink,
}

/// The findings by severity.
struct Report {
    faults: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Findings about Flink; `None` without `--for flink`.
    flink: Option<Vec<Finding>>,
    /// Valid documents that this build cannot run.
    notes: Vec<Finding>,
    /// What systems answered; `None` without `--connect`, or if they were not asked.
    answers: Option<Vec<SystemAnswer>>,
}

pub(crate) async fn run(args: &CheckArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let (texts, unreadable) = read_all(&args.module);
    for err in &unreadable {
        output::failed(err);
    }
    if texts.is_empty() {
        return Ok(ExitCode::from(output::USAGE));
    }
    let given = args.module.placeholders(&texts);
    let given = given.and_then(|placeholders| Ok((placeholders, asking(args)?)));
    let report = match given {
        Ok((placeholders, asking)) => Report::of(&texts, &placeholders, args, &asking).await,
        Err(err) => {
            output::failed(&err);
            return Ok(ExitCode::from(output::USAGE));
        }
    };
    if as_json {
        output::json(&report.to_json())?;
    } else {
        report.print()?;
    }
    Ok(if !unreadable.is_empty() {
        ExitCode::from(output::USAGE)
    } else if report.is_fine() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// How systems are asked: with the environment of this process, as a run has it.
fn asking(args: &CheckArgs) -> anyhow::Result<Asking> {
    let mut asking = Asking::within(Duration::from_secs(args.within));
    if args.connect {
        asking.environment = environment::of_process()?;
        asking.network = network::of_environment()?;
    }
    Ok(asking)
}

/// The maximum size of a module file; the largest ones of users have some 100 KB.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Names and texts of the files that can be read, and why others cannot.
fn read_all(module: &ModuleArgs) -> (Vec<(String, String)>, Vec<anyhow::Error>) {
    let (mut texts, mut unreadable) = (Vec::new(), Vec::new());
    for path in &module.files {
        let name = path.display().to_string();
        let text = input::file(path, MAX_FILE_BYTES).and_then(input::text);
        let text = text.with_context(|| format!("cannot read {name}"));
        match text {
            Ok(text) => texts.push((name, text)),
            Err(err) => unreadable.push(err),
        }
    }
    (texts, unreadable)
}

/// Names and texts of the files.
///
/// # Errors
/// When some cannot be read: which, and why.
pub(crate) fn read(module: &ModuleArgs) -> anyhow::Result<Vec<(String, String)>> {
    let (texts, unreadable) = read_all(module);
    if unreadable.is_empty() {
        return Ok(texts);
    }
    let causes: Vec<String> = unreadable.iter().map(|err| format!("{err:#}")).collect();
    let is_missing = |err: &anyhow::Error| {
        let cause = err.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
    };
    let remedy = if unreadable.iter().any(is_missing) {
        "; name a module file, or make a project that has one with `statefun new NAME`"
    } else {
        ""
    };
    anyhow::bail!("{}{remedy}", causes.join("\n"))
}

impl Report {
    async fn of(
        texts: &[(String, String)],
        placeholders: &Placeholders,
        args: &CheckArgs,
        asking: &Asking,
    ) -> Self {
        let files: Vec<ModuleFile<'_>> = texts
            .iter()
            .map(|(name, text)| ModuleFile { name, text })
            .collect();
        let (module, mut faults) = match args.of_pipelines {
            true => Module::read_pipelines(&files, placeholders),
            false => Module::read(&files, placeholders),
        };
        if args.of_pipelines
            && faults.is_empty()
            && module.pipelines.is_empty()
            && let Some(file) = files.first()
        {
            let text =
                "declares no pipeline: add a document of kind `statefun.pipelines.v1/pipeline`";
            faults.push(Finding::new(Location::file(file.name), "", text));
        }
        let with_admin = module.collisions_with_admin(&args.admin);
        let tls = TlsFindings::of(&module);
        let connectors = connector_findings(&module);
        let faults = [faults, connectors.faults].concat();
        let is_sound = faults.is_empty();
        let answers = match args.connect && is_sound {
            true => Some(ask_systems(&module, asking).await),
            false => None,
        };
        let (lazy, warnings): (Vec<_>, Vec<_>) = module
            .warnings
            .into_iter()
            .partition(|finding| finding.is_lazy_fault);
        let told = |findings: Vec<Finding>| args.module.told(findings);
        Self {
            faults: told([faults, lazy, with_admin].concat()),
            warnings: told([warnings, tls.warnings, connectors.warnings].concat()),
            flink: args.other.map(|OtherRuntime::Flink| {
                told([module.not_for_flink, tls.not_for_flink].concat())
            }),
            notes: module.without_connector,
            answers,
        }
    }

    fn is_fine(&self) -> bool {
        let is_refused = |answer: &SystemAnswer| answer.verdict == Verdict::Fault;
        self.faults.is_empty()
            && self.flink.as_ref().is_none_or(Vec::is_empty)
            && !self.answers.iter().flatten().any(is_refused)
    }

    fn print(&self) -> anyhow::Result<()> {
        let flink = self.flink.as_deref().unwrap_or_default();
        for (word, findings) in [
            ("fault", self.faults.as_slice()),
            ("not for flink", flink),
            ("warning", self.warnings.as_slice()),
            ("note", self.notes.as_slice()),
        ] {
            for finding in findings {
                output::line(format_args!("{word}: {finding}"))?;
            }
        }
        for answer in self.answers.iter().flatten() {
            let word = word(answer.verdict);
            output::line(format_args!("{word}: {}", answer.finding))?;
        }
        let mut summary = vec![number(self.faults.len(), "fault")];
        if self.flink.is_some() {
            summary.push(format!("{} not for flink", flink.len()));
        }
        summary.push(number(self.warnings.len(), "warning"));
        if !self.notes.is_empty() {
            summary.push(number(self.notes.len(), "note"));
        }
        if let Some(answers) = &self.answers {
            let refused = answers.iter();
            let refused = refused.filter(|answer| answer.verdict == Verdict::Fault);
            summary.push(format!(
                "{} from systems, {} of them faults",
                counted(answers.len(), "answer"),
                refused.count()
            ));
        }
        output::line(summary.join(", "))?;
        Ok(())
    }

    fn to_json(&self) -> Value {
        let list = |findings: &[Finding]| findings.iter().map(finding_json).collect::<Value>();
        let mut value = json!({
            "fine": self.is_fine(),
            "faults": list(&self.faults),
            "warnings": list(&self.warnings),
            "notes": list(&self.notes),
        });
        if let (Some(flink), Value::Object(fields)) = (&self.flink, &mut value) {
            fields.insert("flink".to_owned(), list(flink));
        }
        if let (Some(answers), Value::Object(fields)) = (&self.answers, &mut value) {
            let answers = answers.iter().map(answer_json).collect();
            fields.insert("answers".to_owned(), answers);
        }
        value
    }
}

/// The word before an answer of a system.
const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fine => "fine",
        Verdict::Unknown => "unknown",
        Verdict::Warning => "warning",
        Verdict::Fault => "fault",
    }
}

fn answer_json(answer: &SystemAnswer) -> Value {
    let mut value = finding_json(&answer.finding);
    if let Value::Object(fields) = &mut value {
        fields.insert("verdict".to_owned(), word(answer.verdict).into());
    }
    value
}

fn number(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        count => counted(count, noun),
    }
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "file": finding.location.file.as_ref(),
        "line": finding.location.line,
        "column": finding.location.column,
        "path": finding.path,
        "message": finding.message,
        "remedy": finding.remedy,
    })
}
