//! `statefun dead-letters`: deliveries that were given up, with their reasons.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateful_functions::TypeName;
use stateful_functions::delivery::Payload;

use crate::admin::{AddressArg, AdminArgs, Query};
use crate::args::key_value;
use crate::deliveries::{Actor, Verb, line, show};
use crate::list::Extent;
use crate::{input, output, redrive};

/// Show deliveries that were given up; send them again, or purge them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun dead-letters list --why permanent
  statefun dead-letters show pipelines/events.http-export/7f3c
  statefun dead-letters redrive pipelines/events.http-export/7f3c --reason 'url repaired'
  statefun dead-letters redrive --all --target http://127.0.0.1:9000 --dry-run --reason 'sink is back'
  statefun dead-letters edit pipelines/events.http-export/7f3c --payload order.json --reason 'the customer was missing'
  statefun dead-letters export > dead-letters.jsonl")]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List dead letters.
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        extent: Extent,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show a dead letter with its history.
    Show {
        /// Its address: `<namespace>/<type>/<id>`.
        #[arg(value_name = "ADDRESS")]
        address: AddressArg,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Send one again, or all that a filter selects.
    Redrive {
        /// Its address: `<namespace>/<type>/<id>`.
        #[arg(
            value_name = "ADDRESS",
            required_unless_present = "all",
            conflicts_with_all = ["all", "target", "why", "type_name", "dry_run"]
        )]
        address: Option<AddressArg>,
        /// All that --target, --why and --type select.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        filter: Filter,
        /// Only count them.
        #[arg(long, requires = "all")]
        dry_run: bool,
        #[command(flatten)]
        actor: Actor,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Change one, and send it again.
    Edit {
        /// Its address: `<namespace>/<type>/<id>`.
        #[arg(value_name = "ADDRESS")]
        address: AddressArg,
        /// A file with the new payload, not compressed; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        payload: Option<PathBuf>,
        /// The type of the payload.
        #[arg(long, value_name = "TYPE")]
        content_type: Option<String>,
        /// Set a value. May be repeated.
        #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
        value: Vec<(String, String)>,
        #[command(flatten)]
        actor: Actor,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Remove one with its history. This cannot be undone.
    Purge(Verb),
    /// Print dead letters with their bytes as JSON lines.
    Export {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// Which dead letters.
#[derive(Debug, Args)]
struct Filter {
    /// Only those for this target.
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Only those given up for this reason, such as `exhausted` or `permanent`.
    #[arg(long, value_name = "REASON")]
    why: Option<String>,
    /// Only those of this stage: `<namespace>/<pipeline>.<stage>`.
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<TypeName>,
}

impl Filter {
    fn query(&self) -> Query {
        Query::default()
            .with("target", self.target.as_ref())
            .with("reason", self.why.as_ref())
            .with("type", self.type_name.as_ref())
    }
}

const PATH: &str = "/api/dead-letters";
/// The maximum size of a payload.
const MAX_PAYLOAD_BYTES: u64 = 16 << 20;

pub(crate) async fn run(args: DeadLettersArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    match args.command {
        DeadLettersCommand::List {
            filter,
            extent,
            admin,
        } => {
            extent
                .print(
                    &admin.connect()?,
                    PATH,
                    filter.query(),
                    as_json,
                    "no dead letters",
                    line,
                )
                .await?;
        }
        DeadLettersCommand::Show { address, admin } => {
            let item = admin
                .connect()?
                .get(&format!("{PATH}/{}", address.path()))
                .await?;
            show(&item, as_json)?;
        }
        DeadLettersCommand::Redrive {
            address,
            filter,
            dry_run,
            actor,
            admin,
            ..
        } => {
            let query = filter.query();
            let (path, body) = redrive::request(PATH, address.as_ref(), &query, &actor, dry_run);
            let answer = admin.connect()?.post(&path, &body).await?;
            let one = address.is_some().then(|| line(&answer));
            redrive::print(&answer, one, dry_run, as_json)?;
        }
        DeadLettersCommand::Edit {
            address,
            payload,
            content_type,
            value,
            actor,
            admin,
        } => {
            let mut body = json!({"actor": actor.actor, "reason": actor.reason});
            let mut set = |key: &str, value: Value| {
                if let Some(fields) = body.as_object_mut() {
                    fields.insert(key.to_owned(), value);
                }
            };
            if let Some(path) = payload {
                let bytes = match path.as_os_str() == "-" {
                    true => input::standard(MAX_PAYLOAD_BYTES),
                    false => input::file(&path, MAX_PAYLOAD_BYTES),
                };
                let bytes = bytes.with_context(|| format!("cannot read {}", path.display()))?;
                set(
                    "payload",
                    serde_json::to_value(Payload::Bytes(bytes.into()))?,
                );
            }
            if let Some(content_type) = content_type {
                set("content_type", content_type.into());
            }
            if !value.is_empty() {
                set("values", value.into_iter().collect());
            }
            let path = format!("{PATH}/{}/edit", address.path());
            let item = admin.connect()?.post(&path, &body).await?;
            if as_json {
                output::json(&item)?;
            } else {
                output::line(line(&item))?;
            }
        }
        DeadLettersCommand::Purge(verb) => verb.run(PATH, "purge", as_json).await?,
        DeadLettersCommand::Export { filter, admin } => {
            let query = filter.query().with("full", Some(true));
            let export = |item: Value| Ok(output::json(&item)?);
            Extent::everything()
                .for_each(&admin.connect()?, PATH, query, export)
                .await?
                .is_sound()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
