//! `statefun deliveries`: what waits for destinations.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateful_functions::TypeName;

use crate::admin::{AddressArg, AdminArgs, Query};
use crate::json::{field, list_at, text_at};
use crate::list::Extent;
use crate::output;

/// Show deliveries and their histories; retry them now, cancel them, give them up, or purge those that have ended.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun deliveries list                         what waits
  statefun deliveries list --ended                 dead letters, and what was cancelled
  statefun deliveries list --state cancelled
  statefun deliveries list --target http://127.0.0.1:9000 --all --json
  statefun deliveries show pipelines/events.http-export/7f3c
  statefun deliveries retry pipelines/events.http-export/7f3c --reason 'sink is back'
  statefun deliveries cancel pipelines/events.http-export/7f3c --reason 'sent by hand'
  statefun deliveries purge pipelines/events.http-export/7f3c --reason 'no longer needed'")]
pub(crate) struct DeliveriesArgs {
    #[command(subcommand)]
    command: DeliveriesCommand,
}

#[derive(Debug, Subcommand)]
enum DeliveriesCommand {
    /// List waiting deliveries; with --ended those that ended without success.
    List {
        /// Ended deliveries instead of waiting ones: dead letters and cancelled ones.
        #[arg(long, conflicts_with = "state")]
        ended: bool,
        /// Only those in this state: acknowledged, awaiting, executing, discarded, cancelled. May be repeated.
        #[arg(long, value_name = "STATE")]
        state: Vec<String>,
        /// Only those to this target.
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
        /// Only those that wait, or were given up, for this reason, such as `retry`.
        #[arg(long, value_name = "REASON")]
        why: Option<String>,
        /// Only those of this stage: `<namespace>/<pipeline>.<stage>`.
        #[arg(long = "type", value_name = "TYPE")]
        type_name: Option<TypeName>,
        #[command(flatten)]
        extent: Extent,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show a delivery with its history.
    Show {
        /// Its address: `<namespace>/<type>/<id>`.
        #[arg(value_name = "ADDRESS")]
        address: AddressArg,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Attempt a delivery at once.
    Retry(Verb),
    /// Cancel a delivery: it is kept but not attempted, and can be retried.
    Cancel(Verb),
    /// Give a delivery up: it becomes a dead letter.
    Discard(Verb),
    /// Remove a delivery that was given up or cancelled, with its history. This cannot be undone.
    Purge(Verb),
}

/// A command to one delivery.
#[derive(Debug, Args)]
pub(crate) struct Verb {
    /// Its address: `<namespace>/<type>/<id>`.
    #[arg(value_name = "ADDRESS")]
    address: AddressArg,
    #[command(flatten)]
    actor: Actor,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Who gives the command, and why. Both are recorded in the history.
#[derive(Debug, Args)]
pub(crate) struct Actor {
    /// Who gives the command.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "statefun")]
    pub(crate) actor: String,
    /// Why it is given.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

impl Verb {
    /// Posts `verb` below `path`, and shows the result.
    pub(crate) async fn run(&self, path: &str, verb: &str, as_json: bool) -> anyhow::Result<()> {
        let path = format!("{path}/{}/{verb}", self.address.path());
        let body = json!({"actor": self.actor.actor, "reason": self.actor.reason});
        let item = self.admin.connect()?.post(&path, &body).await?;
        if as_json {
            output::json(&item)?;
        } else {
            output::line(line(&item))?;
        }
        Ok(())
    }
}

const PATH: &str = "/api/deliveries";
/// The states of deliveries that have not ended. Successful ones are not kept.
const WAITING: &[&str] = &["acknowledged", "awaiting", "executing"];
/// The states of ended deliveries that are kept.
const ENDED: &[&str] = &["discarded", "cancelled"];

pub(crate) async fn run(args: DeliveriesArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    match args.command {
        DeliveriesCommand::List {
            ended,
            state,
            target,
            why,
            type_name,
            extent,
            admin,
        } => {
            let query = Query::default()
                .with("target", target)
                .with("reason", why)
                .with("type", type_name);
            let (states, empty): (Vec<&str>, _) = match (ended, state.as_slice()) {
                (true, _) => (ENDED.to_vec(), "no deliveries have ended without success"),
                (false, []) => (WAITING.to_vec(), "no deliveries are waiting"),
                (false, states) => {
                    let states = states.iter().map(String::as_str).collect();
                    (states, "no deliveries in this state")
                }
            };
            let query = states
                .into_iter()
                .fold(query, |query, state| query.with("state", Some(state)));
            extent
                .print(&admin.connect()?, PATH, query, as_json, empty, line)
                .await?;
        }
        DeliveriesCommand::Show { address, admin } => {
            let item = admin
                .connect()?
                .get(&format!("{PATH}/{}", address.path()))
                .await?;
            show(&item, as_json)?;
        }
        DeliveriesCommand::Retry(verb) => verb.run(PATH, "retry", as_json).await?,
        DeliveriesCommand::Cancel(verb) => verb.run(PATH, "cancel", as_json).await?,
        DeliveriesCommand::Discard(verb) => verb.run(PATH, "discard", as_json).await?,
        DeliveriesCommand::Purge(verb) => verb.run(PATH, "purge", as_json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One delivery on one line.
pub(crate) fn line(item: &Value) -> String {
    let mut text = format!("{}  {}", field(item, "address"), field(item, "state"));
    if let Some(reason) = text_at(item, "/reason") {
        text.push_str(&format!(" ({reason})"));
    }
    if item.get("attempt").is_some() {
        text.push_str(&format!("  attempt {}", field(item, "attempt")));
    }
    if let Some(origin) = text_at(item, "/origin") {
        text.push_str(&format!("  from {origin}"));
    }
    if let Some(target) = text_at(item, "/target") {
        text.push_str(&format!("  to {target}"));
    }
    if let Some(due) = text_at(item, "/due") {
        text.push_str(&format!("  due {due}"));
    }
    if let Some(message) = text_at(item, "/error/message") {
        text.push_str(&format!("  {message}"));
    }
    if let Some(damaged) = text_at(item, "/damaged") {
        text.push_str(&format!("  damaged: {damaged}"));
    }
    text
}

/// One delivery with its steps.
pub(crate) fn show(item: &Value, as_json: bool) -> std::io::Result<()> {
    if as_json {
        return output::json(item);
    }
    output::line(line(item))?;
    for step in list_at(item, "/transitions") {
        output::line(step_line(step))?;
    }
    Ok(())
}

fn step_line(step: &Value) -> String {
    let mut text = match step.get("count").and_then(Value::as_u64) {
        Some(count) => format!(
            "  {} to {}  {count} rounds, the last: attempt {}  {}",
            field(step, "first_at"),
            field(step, "last_at"),
            field(step, "attempt"),
            field(step, "state_after")
        ),
        None => format!(
            "  {}  attempt {}  {}",
            field(step, "created_at"),
            field(step, "attempt"),
            field(step, "state_after")
        ),
    };
    for name in ["reason", "due", "actor", "note"] {
        if let Some(value) = step.get(name).and_then(Value::as_str) {
            text.push_str(&format!("  {name} {value}"));
        }
    }
    if let Some(message) = text_at(step, "/error/message") {
        text.push_str(&format!("  {message}"));
    }
    text
}
