//! `statefun pipeline`: the pipelines of module files and of EdgeX configurations, and application services of EdgeX. A file per subcommand.

mod convert;
mod flags;
mod graph;
mod move_over;
mod service;
mod test;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use stateful_functions::module::{Finding, Module, ModuleFile};
use stateful_functions::pipeline::PipelineConfig;

use crate::args::ModuleArgs;
use crate::{check, output};

pub(crate) use flags::in_our_spelling;

/// Run an application service of EdgeX; check, draw, test and convert pipelines.
///
/// Files are module files, or configurations of EdgeX application services (`configuration.yaml`, with a section `Writable`).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun pipeline run -cd res -p http-export runs a configuration directory of EdgeX
  statefun pipeline check                      what is wrong with module.yaml
  statefun pipeline check res/configuration.yaml
  statefun pipeline graph a.yaml --svg > a.svg
  statefun pipeline test orders.test.yaml      runs cases, without a network
  statefun pipeline convert configuration.toml > module.yaml")]
pub(crate) struct PipelineArgs {
    #[command(subcommand)]
    command: PipelineCommand,
}

#[derive(Debug, Subcommand)]
enum PipelineCommand {
    Run(service::ServiceArgs),
    /// Check pipelines: every fault with file, line and remedy.
    #[command(after_help = "\
Examples:
  statefun pipeline check                      of module.yaml
  statefun pipeline check res/configuration.yaml
  statefun pipeline check --json               findings for a program")]
    Check(check::CheckArgs),
    Graph(graph::GraphArgs),
    Test(test::TestArgs),
    Convert(convert::ConvertArgs),
    ImportEdgex(move_over::ImportArgs),
    ExportEdgex(move_over::ExportArgs),
}

impl PipelineArgs {
    /// Whether the command runs until it is stopped.
    pub(crate) const fn keeps_running(&self) -> bool {
        matches!(self.command, PipelineCommand::Run(_))
    }

    /// A placeholder with two different values.
    pub(crate) fn set_twice(&self) -> Option<&str> {
        match &self.command {
            PipelineCommand::Check(args) => args.module.set_twice(),
            PipelineCommand::Graph(args) => args.module.set_twice(),
            PipelineCommand::Run(_)
            | PipelineCommand::Test(_)
            | PipelineCommand::Convert(_)
            | PipelineCommand::ImportEdgex(_)
            | PipelineCommand::ExportEdgex(_) => None,
        }
    }
}

pub(crate) async fn run(args: PipelineArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    match args.command {
        PipelineCommand::Run(args) => service::run(&args, as_json).await,
        PipelineCommand::Check(args) => check::run(&args.for_pipelines(), as_json).await,
        PipelineCommand::Graph(args) => graph::run(&args, as_json),
        PipelineCommand::Test(args) => test::run(&args, as_json).await,
        PipelineCommand::Convert(args) => convert::run(&args, as_json),
        PipelineCommand::ImportEdgex(args) => move_over::import(&args, as_json).await,
        PipelineCommand::ExportEdgex(args) => move_over::export(&args, as_json).await,
    }
}

/// The module with at least one pipeline; `None` if it has faults, which are reported.
fn load(files: &ModuleArgs) -> anyhow::Result<Option<Module>> {
    let texts = check::read(files)?;
    let placeholders = files.placeholders(&texts)?;
    let named: Vec<ModuleFile<'_>> = texts
        .iter()
        .map(|(name, text)| ModuleFile { name, text })
        .collect();
    let (module, faults) = Module::read_pipelines(&named, &placeholders);
    if !faults.is_empty() {
        report(&files.told(faults));
        return Ok(None);
    }
    if module.pipelines.is_empty() {
        anyhow::bail!(
            "the module declares no pipeline: add a document of kind `statefun.pipelines.v1/pipeline`"
        );
    }
    Ok(Some(module))
}

fn report(faults: &[Finding]) {
    for fault in faults {
        output::note(format_args!("fault: {fault}"));
    }
}

fn configs(module: &Module) -> Vec<&PipelineConfig> {
    module.pipelines.iter().map(|spec| &spec.config).collect()
}
