//! `statefun set-aside`: egress records that their target system refuses, with the reasons.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateful_functions::TypeName;

use crate::admin::{AddressArg, AdminArgs, Query};
use crate::deliveries::Actor;
use crate::json::field;
use crate::list::Extent;
use crate::{output, redrive};

/// Show records that egresses have set aside because their target system refuses them; send them again, or purge them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun set-aside list --egress shop/orders
  statefun set-aside show shop/orders/3-1024
  statefun set-aside redrive shop/orders/3-1024 --reason 'topic has been created'
  statefun set-aside redrive --all --egress shop/orders --dry-run --reason 'rights are granted'
  statefun set-aside purge shop/orders/3-1024 --reason 'test record'")]
pub(crate) struct SetAsideArgs {
    #[command(subcommand)]
    command: SetAsideCommand,
}

#[derive(Debug, Subcommand)]
enum SetAsideCommand {
    /// List records.
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        extent: Extent,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show a record with its bytes.
    Show {
        /// The record: `<namespace>/<egress>/<id>`.
        #[arg(value_name = "RECORD")]
        record: AddressArg,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Send one again, or all that a filter selects: they go to the end of the outbox.
    Redrive {
        /// The record: `<namespace>/<egress>/<id>`.
        #[arg(
            value_name = "RECORD",
            required_unless_present = "all",
            conflicts_with_all = ["all", "egress", "dry_run"]
        )]
        record: Option<AddressArg>,
        /// All that --egress selects.
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
    /// Remove one. This cannot be undone.
    Purge {
        /// The record: `<namespace>/<egress>/<id>`.
        #[arg(value_name = "RECORD")]
        record: AddressArg,
        #[command(flatten)]
        actor: Actor,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// Which records.
#[derive(Debug, Args)]
struct Filter {
    /// Only those of this egress.
    #[arg(long, value_name = "EGRESS")]
    egress: Option<TypeName>,
}

impl Filter {
    fn query(&self) -> Query {
        Query::default().with("egress", self.egress.as_ref())
    }
}

const PATH: &str = "/api/set-aside";

pub(crate) async fn run(args: SetAsideArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    match args.command {
        SetAsideCommand::List {
            filter,
            extent,
            admin,
        } => {
            let (admin, query) = (admin.connect()?, filter.query());
            let empty = "no records are set aside";
            extent
                .print(&admin, PATH, query, as_json, empty, line)
                .await?;
        }
        SetAsideCommand::Show { record, admin } => {
            let path = format!("{PATH}/{}", record.path());
            let record = admin.connect()?.get(&path).await?;
            if as_json {
                output::json(&record)?;
            } else {
                output::line(line(&record))?;
                output::line(field(&record, "base64"))?;
            }
        }
        SetAsideCommand::Redrive {
            record,
            filter,
            dry_run,
            actor,
            admin,
            ..
        } => {
            let query = filter.query();
            let (path, body) = redrive::request(PATH, record.as_ref(), &query, &actor, dry_run);
            let answer = admin.connect()?.post(&path, &body).await?;
            redrive::print(&answer, None, dry_run, as_json)?;
        }
        SetAsideCommand::Purge {
            record,
            actor,
            admin,
        } => {
            let path = format!("{PATH}/{}/purge", record.path());
            let body = json!({"actor": actor.actor, "reason": actor.reason});
            let answer = admin.connect()?.post(&path, &body).await?;
            if as_json {
                output::json(&answer)?;
            } else {
                output::line("purged")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(record: &Value) -> String {
    format!(
        "{}/{}  {}  {} bytes  {}",
        field(record, "egress"),
        field(record, "id"),
        field(record, "type"),
        field(record, "bytes"),
        field(record, "reason")
    )
}
