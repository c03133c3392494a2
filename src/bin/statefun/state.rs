//! `statefun state`: the values that functions keep.

mod import;
mod specs;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use stateful_functions::TypeName;
use stateful_functions::printable::counted;
use stateful_functions::storage::{Disk, Folder, Untouched, Verified, verify};

use crate::admin::{self, AddressArg, AdminArgs, Query, encoded};
use crate::json::field;
use crate::list::Extent;
use crate::output;
use crate::value::ValueArgs;

/// Show and change the values that functions keep.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun state list                                        everything, 100 at a time
  statefun state list statefun.samples/counter --id bob
  statefun state get statefun.samples/counter/bob total
  statefun state set statefun.samples/counter/bob total 7
  statefun state delete statefun.samples/counter/bob total
  statefun state export > state.jsonl                        a line of JSON for each value
  statefun state import state.jsonl                          writes what an export printed
  statefun state specs list                                  the declared values: name, type, expiration
  statefun state specs drop statefun.samples/counter total   forgets a declaration; the values stay
  statefun state list --data statefun-data                   of a runtime that is stopped
  statefun state verify --data statefun-data                 is anything in the folder damaged?")]
pub(crate) struct StateArgs {
    /// Read the data folder of a stopped runtime, instead of asking a running one.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Debug, Subcommand)]
enum StateCommand {
    /// List values.
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        extent: Extent,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show one value.
    Get {
        #[command(flatten)]
        state: One,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Write a value. Without --type it has the type that the function declared.
    Set {
        #[command(flatten)]
        state: One,
        #[command(flatten)]
        value: ValueArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Remove a value.
    Delete {
        #[command(flatten)]
        state: One,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// List and drop declarations of values: name, type, expiration.
    Specs {
        #[command(subcommand)]
        command: specs::SpecsCommand,
    },
    /// Print all values as JSON lines `{address, state, typename, base64}`.
    Export {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Check everything in the folder of --data against its checksums.
    Verify {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Write values from the lines of an export. Repeating it is harmless; with --data the folder may be new.
    Import {
        /// The export; `-` is the standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// Checks a folder against its checksums, and changes nothing in it.
async fn verify_folder(folder: PathBuf, as_json: bool) -> anyhow::Result<ExitCode> {
    let disk = Arc::new(Untouched::new(&folder));
    let read = tokio::task::spawn_blocking(move || verify(disk)).await?;
    let Verified {
        rows,
        position,
        unfinished,
        ..
    } = read?;
    if as_json {
        let position = position.as_u64();
        output::json(
            &json!({"damaged": false, "rows": rows, "position": position, "unfinished": unfinished}),
        )?;
    } else {
        output::line(format!(
            "{}: no damage in {} of the tables and in the log up to position {position}",
            folder.display(),
            counted(rows, "row")
        ))?;
        if let Some(unfinished) = unfinished {
            output::line(format!(
                "{unfinished}: what a crash leaves; nothing that was confirmed is in it"
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A filter of values.
#[derive(Debug, Args)]
struct Filter {
    /// Of this function type: `<namespace>/<type>`.
    #[arg(value_name = "TYPE")]
    type_name: Option<TypeName>,
    /// Of this id.
    #[arg(long, requires = "type_name")]
    id: Option<String>,
    /// Of this name.
    #[arg(long)]
    name: Option<String>,
}

/// One value.
#[derive(Debug, Args)]
struct One {
    /// The address: `<namespace>/<type>/<id>`.
    #[arg(value_name = "ADDRESS")]
    address: AddressArg,
    /// The name of the value.
    #[arg(value_name = "NAME")]
    name: String,
}

impl Filter {
    fn query(&self) -> Query {
        Query::default()
            .with("type", self.type_name.as_ref())
            .with("id", self.id.as_ref())
            .with("name", self.name.as_ref())
    }
}

impl One {
    fn path(&self) -> String {
        format!("/api/state/{}/{}", self.address.path(), encoded(&self.name))
    }
}

impl StateCommand {
    /// Whether it changes anything.
    const fn writes(&self) -> bool {
        match self {
            Self::Specs { command } => command.writes(),
            Self::Set { .. } | Self::Delete { .. } | Self::Import { .. } => true,
            Self::List { .. } | Self::Get { .. } | Self::Export { .. } | Self::Verify { .. } => {
                false
            }
        }
    }

    fn admin_mut(&mut self) -> &mut AdminArgs {
        match self {
            Self::List { admin, .. }
            | Self::Get { admin, .. }
            | Self::Set { admin, .. }
            | Self::Delete { admin, .. }
            | Self::Export { admin, .. }
            | Self::Verify { admin }
            | Self::Import { admin, .. } => admin,
            Self::Specs { command } => command.admin_mut(),
        }
    }
}

pub(crate) async fn run(mut args: StateArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let Some(folder) = args.data else {
        return ask(args.command, as_json).await;
    };
    let writes = args.command.writes();
    // An import may fill a new folder; reading must not turn another folder into one.
    if !matches!(args.command, StateCommand::Import { .. }) {
        admin::must_be_data(&folder)?;
    }
    if matches!(args.command, StateCommand::Verify { .. }) {
        return verify_folder(folder, as_json).await;
    }
    let disk: Arc<dyn Disk> = if writes {
        Arc::new(Folder::new(&folder))
    } else {
        Arc::new(Untouched::new(&folder))
    };
    let is_new = writes && !folder.try_exists().unwrap_or(true);
    let done = async {
        let runtime = admin::at_rest(disk, args.command.admin_mut()).await?;
        let result = ask(args.command, as_json).await;
        runtime.shutdown().await;
        result
    };
    let done = done.await;
    if is_new && done.is_err() && folder.try_exists().unwrap_or(false) {
        // A half filled folder would look like the data of a runtime.
        let removed = std::fs::remove_dir_all(&folder);
        removed.with_context(|| format!("cannot remove the new folder {}", folder.display()))?;
        output::note(format_args!(
            "the new folder {} was removed again",
            folder.display()
        ));
    }
    done
}

async fn ask(command: StateCommand, as_json: bool) -> anyhow::Result<ExitCode> {
    match command {
        StateCommand::List {
            filter,
            extent,
            admin,
        } => {
            extent
                .print(
                    &admin.connect()?,
                    "/api/state",
                    filter.query(),
                    as_json,
                    "no values",
                    line,
                )
                .await?;
        }
        StateCommand::Get { state, admin } => {
            print_one(&admin.connect()?.get(&state.path()).await?, as_json)?;
        }
        StateCommand::Set {
            state,
            value,
            admin,
        } => {
            let admin = admin.connect()?;
            let mut request = admin.request(Method::PUT, &state.path())?;
            value.put_into(&mut request)?;
            print_one(
                &admin::read_json(&admin.send(request).await?.body)?,
                as_json,
            )?;
        }
        StateCommand::Delete { state, admin } => {
            let admin = admin.connect()?;
            admin.must_be_there(&state.path()).await?;
            admin
                .send(admin.request(Method::DELETE, &state.path())?)
                .await?;
            if as_json {
                output::json(&json!({"deleted": true}))?;
            } else {
                output::line("deleted")?;
            }
        }
        StateCommand::Verify { .. } => {
            bail!(
                "say which folder: statefun state verify --data <DIR>; a running runtime reports damage itself, in /health and `statefun status`"
            );
        }
        StateCommand::Import { file, admin } => {
            import::run(&file, &admin.connect()?, as_json).await?;
        }
        StateCommand::Specs { command } => specs::run(command, as_json).await?,
        StateCommand::Export { filter, admin } => {
            let export = |item: Value| Ok(output::json(&exported(&item))?);
            let everything = Extent::everything();
            everything
                .for_each(&admin.connect()?, "/api/state", filter.query(), export)
                .await?
                .is_sound()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn exported(item: &Value) -> Value {
    if item.get("damaged").is_some() {
        return item.clone();
    }
    let kept = ["address", "state", "typename", "base64"];
    kept.iter()
        .map(|name| {
            (
                (*name).to_owned(),
                item.get(name).cloned().unwrap_or_default(),
            )
        })
        .collect()
}

fn print_one(item: &Value, as_json: bool) -> std::io::Result<()> {
    if as_json {
        output::json(item)
    } else {
        output::line(line(item))
    }
}

fn line(item: &Value) -> String {
    let value = match item.get("value") {
        None | Some(Value::Null) => format!("base64 {}", field(item, "base64")),
        Some(value) => value.to_string(),
    };
    format!(
        "{}  {}  {}  {value}",
        field(item, "address"),
        field(item, "state"),
        field(item, "typename")
    )
}
