//! `statefun pipeline test`: plays the cases that stand beside pipelines, without a network and on virtual time.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use stateful_functions::module::{Module, ModuleFile};
use stateful_functions::testing::{PipelineTests, TestResult};

use super::{configs, report};
use crate::args::ModuleArgs;
use crate::{check, output};

/// Run the cases of a pipeline: what goes in, what destinations answer, and what must come of it.
///
/// A file NAME.test.yaml has the cases of the pipelines in NAME.yaml. Nothing is sent, and time is virtual. Exits with 0 when all cases pass, 1 when one
/// fails, 2 when a file cannot be read or has faults.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun pipeline test                       of module.yaml: module.test.yaml
  statefun pipeline test orders.test.yaml returns.test.yaml
  statefun pipeline test cases.yaml --of res/configuration.yaml
  statefun pipeline test --only outage         cases with `outage` in their names
  statefun pipeline test --json                results for a program")]
pub(super) struct TestArgs {
    /// Files of cases.
    #[arg(value_name = "FILE", default_value = "module.test.yaml")]
    files: Vec<PathBuf>,
    /// The file of the pipelines. Default: the file of cases without `.test`.
    #[arg(long = "of", value_name = "FILE")]
    pipelines: Option<PathBuf>,
    /// Only cases with this text in their names.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// The results of one file.
struct Ran {
    file: String,
    results: Vec<TestResult>,
}

pub(super) async fn run(args: &TestArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut all = Vec::new();
    for file in &args.files {
        match run_file(file, args).await? {
            Some(ran) => all.push(ran),
            None => return Ok(ExitCode::from(output::USAGE)),
        }
    }
    let results = || all.iter().flat_map(|ran| &ran.results);
    let failed = results().filter(|result| !result.has_passed()).count();
    let passed = results().count() - failed;
    if passed + failed == 0 {
        anyhow::bail!("no case has this text in its name");
    }
    if as_json {
        let files: Vec<Value> = all.iter().map(to_json).collect();
        output::json(&json!({"passed": passed, "failed": failed, "files": files}))?;
    } else {
        for ran in &all {
            output::line(&ran.file)?;
            for line in ran.results.iter().flat_map(lines) {
                output::line(format_args!("  {line}"))?;
            }
        }
        output::line(format_args!("{passed} passed, {failed} failed"))?;
    }
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The results; `None` if a file has faults, which are reported.
async fn run_file(file: &Path, args: &TestArgs) -> anyhow::Result<Option<Ran>> {
    let beside = args.pipelines.clone().map_or_else(|| beside(file), Ok)?;
    let texts = check::read(&ModuleArgs::of(vec![file.to_owned(), beside]))?;
    let [(name, text), (of, pipelines)] = texts.as_slice() else {
        anyhow::bail!("a file of cases and one of pipelines are needed");
    };
    let modules = ModuleArgs::of(vec![PathBuf::from(of)]);
    let placeholders = modules.placeholders(&[(of.clone(), pipelines.clone())])?;
    let declared = ModuleFile {
        name: of,
        text: pipelines,
    };
    let (module, faults) = Module::read_pipelines(&[declared], &placeholders);
    let tests = PipelineTests::read(&ModuleFile { name, text });
    let of_tests = tests.as_ref().err().cloned().unwrap_or_default();
    let faults = [faults, of_tests].concat();
    let (true, Ok(tests)) = (faults.is_empty(), tests) else {
        report(&faults);
        return Ok(None);
    };
    if module.pipelines.is_empty() {
        anyhow::bail!("{of} declares no pipeline");
    }
    let tests = match &args.only {
        Some(only) => tests.only(only),
        None => tests,
    };
    Ok(Some(Ran {
        file: name.clone(),
        results: tests.run(&configs(&module)).await,
    }))
}

/// `orders.yaml` for `orders.test.yaml`.
fn beside(file: &Path) -> anyhow::Result<PathBuf> {
    let name = file.file_name().and_then(|name| name.to_str());
    let parts = name.and_then(|name| name.rsplit_once(".test."));
    let (name, ending) = parts.with_context(|| {
        format!(
            "{} does not say which pipelines it is for: call it NAME.test.yaml, or name their file with --of",
            file.display()
        )
    })?;
    Ok(file.with_file_name(format!("{name}.{ending}")))
}

fn lines(result: &TestResult) -> Vec<String> {
    result.to_string().lines().map(str::to_owned).collect()
}

fn to_json(ran: &Ran) -> Value {
    let result = |result: &TestResult| {
        json!({
            "name": result.name,
            "passed": result.has_passed(),
            "line": result.location.line,
            "mismatches": result.mismatches,
        })
    };
    json!({"file": ran.file, "cases": ran.results.iter().map(result).collect::<Vec<_>>()})
}
