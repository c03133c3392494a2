//! `statefun check`: all faults of module files.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use stateful_functions::module::{Finding, Module, ModuleFile, Placeholders};
use stateful_functions::printable::counted;
use stateful_functions::runtime::{TlsFindings, properties_without_effect};

use crate::args::{ADMIN, ModuleArgs};
use crate::{input, output};

/// Check module files: every fault with file, line and remedy.
///
/// Exits with 0 when the files are fine, 1 when they have faults, 2 when they cannot be read. A valid kind that needs a connector which this build
/// does not have gives a note.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun check                      checks module.yaml
  statefun check a.yaml b.yaml        two files that are one module
  statefun check --set PORT=8090      with a value for ${PORT}
  statefun check --for flink          also what would not run on Apache Flink StateFun
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
}

pub(crate) fn run(args: &CheckArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let (texts, unreadable) = read_all(&args.module);
    for err in &unreadable {
        output::failed(err);
    }
    if texts.is_empty() {
        return Ok(ExitCode::from(output::USAGE));
    }
    let report = match args.module.placeholders(&texts) {
        Ok(placeholders) => Report::of(&texts, &placeholders, args),
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
    fn of(texts: &[(String, String)], placeholders: &Placeholders, args: &CheckArgs) -> Self {
        let files: Vec<ModuleFile<'_>> = texts
            .iter()
            .map(|(name, text)| ModuleFile { name, text })
            .collect();
        let (module, faults) = Module::read(&files, placeholders);
        let with_admin = module.collisions_with_admin(&args.admin);
        let tls = TlsFindings::of(&module);
        let idle = properties_without_effect(&module);
        let (lazy, warnings): (Vec<_>, Vec<_>) = module
            .warnings
            .into_iter()
            .partition(|finding| finding.is_lazy_fault);
        let told = |findings: Vec<Finding>| args.module.told(findings);
        Self {
            faults: told([faults, lazy, with_admin].concat()),
            warnings: told([warnings, tls.warnings, idle].concat()),
            flink: args.other.map(|OtherRuntime::Flink| {
                told([module.not_for_flink, tls.not_for_flink].concat())
            }),
            notes: module.without_connector,
        }
    }

    fn is_fine(&self) -> bool {
        self.faults.is_empty() && self.flink.as_ref().is_none_or(Vec::is_empty)
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
        let mut summary = vec![number(self.faults.len(), "fault")];
        if self.flink.is_some() {
            summary.push(format!("{} not for flink", flink.len()));
        }
        summary.push(number(self.warnings.len(), "warning"));
        if !self.notes.is_empty() {
            summary.push(number(self.notes.len(), "note"));
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
        value
    }
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
