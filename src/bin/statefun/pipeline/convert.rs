//! `statefun pipeline convert`: pipeline sections of EdgeX 1 to 3, in TOML or YAML, become a module file or a section of EdgeX 4.

mod functions;
mod section;
mod toml;
mod yaml;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use stateful_functions::module::{Module, ModuleFile, Placeholders, documents_as_json};

use crate::args::ModuleArgs;
use crate::{check, output};

/// Convert the pipelines of an EdgeX configuration, of version 1 to 3, in TOML or YAML.
///
/// The result goes to standard output, and what needs attention to standard error. Exits with 1 when the result has faults.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun pipeline convert configuration.toml > module.yaml
  statefun pipeline convert configuration.toml --to edgex > configuration.yaml
  statefun pipeline convert res/configuration.yaml --name floats")]
pub(super) struct ConvertArgs {
    /// The configuration.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What to write.
    #[arg(long, value_name = "FORM", default_value = "module")]
    to: Form,
    /// The name of the pipeline in a module file.
    #[arg(long, value_name = "NAME", default_value = "default-pipeline")]
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A module file for `statefun run`
    Module,
    /// The section `Writable` of EdgeX 4
    Edgex,
}

pub(super) fn run(args: &ConvertArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let texts = check::read(&ModuleArgs::of(vec![args.file.clone()]))?;
    let Some((name, text)) = texts.first() else {
        anyhow::bail!("no file is named");
    };
    let root = match args.file.extension().is_some_and(|ending| ending == "toml") {
        true => toml::read(name, text)?,
        false => read_yaml(name, text)?,
    };
    let converted = section::convert(&root, name)?;
    let document = match args.to {
        Form::Edgex => json!({"Writable": converted.writable}),
        Form::Module => json!({
            "kind": "statefun.pipelines.v1/pipeline",
            "spec": {"name": args.name, "edgex": converted.writable},
        }),
    };
    let written = yaml::of(&document);
    let file = ModuleFile {
        name: "the result",
        text: &written,
    };
    let (module, faults) = Module::read_pipelines(&[file], &Placeholders::Literal);
    let told = |findings: &[stateful_functions::module::Finding]| -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    };
    let (faults, warnings) = (told(&faults), told(&module.warnings));
    if as_json {
        let notes = converted.notes;
        output::json(
            &json!({"yaml": written, "notes": notes, "faults": faults, "warnings": warnings}),
        )?;
    } else {
        for line in written.lines() {
            output::line(line)?;
        }
        for (word, texts) in [
            ("note", &converted.notes),
            ("fault", &faults),
            ("warning", &warnings),
        ] {
            for text in texts {
                output::note(format_args!("{word}: {text}"));
            }
        }
    }
    Ok(match faults.as_slice() {
        [] => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn read_yaml(name: &str, text: &str) -> anyhow::Result<Value> {
    let documents = documents_as_json(&ModuleFile { name, text });
    let documents = documents.map_err(|faults| {
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", texts.join("\n"))
    })?;
    match documents.as_slice() {
        [document] => Ok(document.clone()),
        _ => anyhow::bail!(
            "{name} has {} documents; a configuration is one",
            documents.len()
        ),
    }
}
