//! `statefun pipeline graph`: pipelines as a Mermaid flowchart or an SVG image.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use stateful_functions::pipeline::PipelineConfig;

use super::{configs, load};
use crate::args::ModuleArgs;
use crate::output;

/// Draw the pipelines as a Mermaid flowchart or an SVG image: stages, topics, destinations.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun pipeline graph                      of module.yaml
  statefun pipeline graph a.yaml > a.mmd       into a file
  statefun pipeline graph a.yaml --svg > a.svg an image")]
pub(super) struct GraphArgs {
    #[command(flatten)]
    pub(super) module: ModuleArgs,
    /// Write an SVG image.
    #[arg(long)]
    svg: bool,
}

pub(super) fn run(args: &GraphArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let Some(module) = load(&args.module)? else {
        return Ok(ExitCode::FAILURE);
    };
    let (form, graph) = match args.svg {
        true => ("svg", PipelineConfig::graph_svg(&configs(&module))),
        false => ("mermaid", PipelineConfig::graph(&configs(&module))),
    };
    if as_json {
        output::json(&json!({form: graph}))?;
    } else {
        for line in graph.lines() {
            output::line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
