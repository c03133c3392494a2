//! `statefun pipeline import-edgex` and `export-edgex`: what waits in the store of a service on the App Functions SDK, and what waits here.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use stateful_functions::edgex::{
    Configuration, EdgexVariables, MovedObjects, ObjectStore, export_stored, import_stored,
};
use stateful_functions::runtime::{Runtime, RuntimeBuilder};

use super::service::FileArgs;
use crate::admin::must_be_data;
use crate::{network, output};

/// Take over what a service of EdgeX left waiting in its database.
///
/// Each stored object waits in the data folder at the function at which it stood, with its values and its failed attempts, and is then removed from the
/// database. Stop the service of EdgeX first; `pipeline run` with the same folder sends what was taken over.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun pipeline import-edgex -cd res -p http-export
  statefun pipeline import-edgex -cd res -p http-export --data /var/lib/export --json

The database is that of the section `Database`; the user and password are in the secret with its type as its name.
The exit code is 1 if some objects could not be taken over; they stay in the database.")]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    files: FileArgs,
    /// The data folder. It is created if it does not exist.
    #[arg(long, value_name = "DIR", default_value = "statefun-data")]
    data: PathBuf,
}

/// Give what waits in a data folder back to the database of a service of EdgeX.
///
/// Each waiting record is written in the form in which the App Functions SDK stores it, and is then removed from the folder. Dead letters stay. Stop
/// the service first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun pipeline export-edgex -cd res -p http-export --data /var/lib/export

The exit code is 1 if some records could not be given back; they stay in the folder.")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    files: FileArgs,
    /// The data folder.
    #[arg(long, value_name = "DIR", default_value = "statefun-data")]
    data: PathBuf,
}

pub(super) async fn import(args: &ImportArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let (configuration, mut store) = opened(&args.files).await?;
    let builder = stored_in(&args.data)?;
    let moved = import_stored(builder, &configuration, &mut store).await?;
    tell(&moved, "taken over", as_json)
}

pub(super) async fn export(args: &ExportArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    must_be_data(&args.data)?;
    let (configuration, mut store) = opened(&args.files).await?;
    let builder = stored_in(&args.data)?;
    let moved = export_stored(builder, &configuration, &mut store).await?;
    tell(&moved, "given back", as_json)
}

async fn opened(files: &FileArgs) -> anyhow::Result<(Configuration, ObjectStore)> {
    let variables: EdgexVariables = super::service::variables();
    let network = network::of_environment()?;
    let configuration = files.configuration(&variables, &network).await?;
    let store = ObjectStore::open(&configuration, &variables).await;
    let store = store.context("the store of the service cannot be opened")?;
    Ok((configuration, store))
}

fn stored_in(data: &Path) -> anyhow::Result<RuntimeBuilder> {
    Ok(Runtime::builder()
        .network(network::of_environment()?)
        .data(data))
}

fn tell(moved: &MovedObjects, done: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    for left in &moved.left {
        output::note(format_args!("{} stays: {}", left.id, left.why));
    }
    let left = moved.left.len();
    if as_json {
        output::json(&json!({"moved": moved.moved, "left": left}))?;
    } else {
        output::line(format_args!("{} {done}, {left} left", moved.moved))?;
    }
    Ok(match left {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
