//! `statefun pipeline`: the pipelines of module files.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use stateful_functions::module::{Module, ModuleFile};
use stateful_functions::pipeline::PipelineConfig;

use crate::args::ModuleArgs;
use crate::{check, output};

/// Show the pipelines of module files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  statefun pipeline graph                      of module.yaml
  statefun pipeline graph a.yaml > a.mmd       into a file")]
pub(crate) struct PipelineArgs {
    #[command(subcommand)]
    command: PipelineCommand,
}

#[derive(Debug, Subcommand)]
enum PipelineCommand {
    /// Draw the pipelines as a Mermaid flowchart: stages, topics, destinations.
    #[command(after_help = "\
Examples:
  statefun pipeline graph                      of module.yaml
  statefun pipeline graph a.yaml > a.mmd       into a file")]
    Graph {
        #[command(flatten)]
        module: ModuleArgs,
    },
}

pub(crate) fn run(args: &PipelineArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let PipelineCommand::Graph { module: files } = &args.command;
    if let Some(key) = files.set_twice() {
        anyhow::bail!("--set gives `{key}` two values; give it once");
    }
    let texts = check::read(files)?;
    let placeholders = files.placeholders(&texts)?;
    let named: Vec<ModuleFile<'_>> = texts
        .iter()
        .map(|(name, text)| ModuleFile { name, text })
        .collect();
    let (module, faults) = Module::read(&named, &placeholders);
    for fault in files.told(faults.clone()) {
        output::note(format_args!("fault: {fault}"));
    }
    if !faults.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let configs: Vec<&PipelineConfig> = module.pipelines.iter().map(|spec| &spec.config).collect();
    if configs.is_empty() {
        anyhow::bail!(
            "the module declares no pipeline: add a document of kind `statefun.pipelines.v1/pipeline`"
        );
    }
    let graph = PipelineConfig::graph(&configs);
    if as_json {
        output::json(&json!({"mermaid": graph}))?;
    } else {
        for line in graph.lines() {
            output::line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
