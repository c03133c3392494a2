//! `statefun jobs`: events are submitted, and their jobs are shown and changed.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use stateful_functions::jobs::NewEvent;

use crate::admin::{AdminArgs, Query, encoded};
use crate::deliveries::{Actor, line, show};
use crate::json::{field, list_at, on_one_line, without};
use crate::list::Extent;
use crate::{input, output, redrive};

/// Submit events; show their jobs and the steps of each; retry, cancel, discard or purge them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun jobs submit order.paid -d @order.json       to every destination that has an action for it
  statefun jobs submit order.paid -d '{\"total\": 12}' --target crm --source shop
  statefun jobs list --state discarded
  statefun jobs show 0ujtsYcgvSTl8PAuAdqWYSMnLOv        a job and its timeline
  statefun jobs event 0ujtsYcgvSTl8PAuAdqWYSMnLOv       an event and its jobs
  statefun jobs retry 0ujtsYcgvSTl8PAuAdqWYSMnLOv --reason 'crm is repaired'
  statefun jobs redrive --destination crm --dry-run --reason 'crm is repaired'
  statefun jobs stats")]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    command: JobsCommand,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// Submit an event, which becomes a job for each destination that has an action for it.
    Submit {
        /// What happened: the name of the event.
        #[arg(value_name = "NAME")]
        name: String,
        /// Its data: JSON, or `@` and the name of a file with JSON. `@-` reads standard input.
        #[arg(short, long, value_name = "JSON")]
        data: Option<String>,
        /// Where it comes from.
        #[arg(long, value_name = "TEXT", default_value = "")]
        source: String,
        /// Only to this destination. May be repeated.
        #[arg(long, value_name = "DESTINATION")]
        target: Vec<String>,
        /// The order key of its jobs.
        #[arg(long, value_name = "TEXT")]
        key: Option<String>,
        /// The namespace of the destinations, if there are several.
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// List jobs.
    List {
        /// Only those in this state: awaiting, executing, succeeded, discarded, cancelled. May be repeated.
        #[arg(long, value_name = "STATE")]
        state: Vec<String>,
        /// Only those of this destination.
        #[arg(long, value_name = "DESTINATION")]
        destination: Option<String>,
        /// Only those that wait, or were given up, for this reason, such as `retry`.
        #[arg(long, value_name = "REASON")]
        why: Option<String>,
        /// Only those in this namespace.
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
        #[command(flatten)]
        extent: Extent,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show a job with its timeline.
    Show(One),
    /// Show an event with its jobs.
    Event {
        #[command(flatten)]
        one: One,
        /// The namespace of the destinations, if there are several.
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
    },
    /// Attempt a job at once; also one that was given up or cancelled.
    Retry(Verb),
    /// Cancel a job that waits.
    Cancel(Verb),
    /// Give a job up: it becomes a dead letter.
    Discard(Verb),
    /// Remove a job that has ended, with its history. This cannot be undone.
    Purge(Verb),
    /// Send jobs again that were given up.
    Redrive {
        /// Only those of this destination.
        #[arg(long, value_name = "DESTINATION")]
        destination: Option<String>,
        /// Only those given up for this reason, such as `exhausted` or `permanent`.
        #[arg(long, value_name = "REASON")]
        why: Option<String>,
        /// Only those in this namespace.
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
        /// Only count them.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        actor: Actor,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Count the jobs of each destination.
    Stats {
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// A job or an event.
#[derive(Debug, Args)]
struct One {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A command to one job.
#[derive(Debug, Args)]
struct Verb {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    actor: Actor,
}

const PATH: &str = "/api/jobs";
/// The fields of a job and an event that may be any JSON.
const OF_USERS: [&str; 2] = ["context", "data"];
/// Larger data is refused by the admin API anyway.
const MAX_DATA_BYTES: u64 = 64 << 20;

pub(crate) async fn run(args: JobsArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    match args.command {
        JobsCommand::Submit {
            name,
            data,
            source,
            target,
            key,
            namespace,
            admin,
        } => {
            let mut event = NewEvent::new(source, name).targets(target);
            event.key = key;
            event.data = data.as_deref().map(read_data).transpose()?;
            let query = Query::default().with("namespace", namespace);
            let path = format!("/api/events{}", query.text());
            let accepted = admin.connect()?.post(&path, &event).await?;
            show_event(&accepted, as_json)?;
        }
        JobsCommand::List {
            state,
            destination,
            why,
            namespace,
            extent,
            admin,
        } => {
            let query = Query::default()
                .with("destination", destination)
                .with("reason", why)
                .with("namespace", namespace);
            let query = state
                .into_iter()
                .fold(query, |query, state| query.with("state", Some(state)));
            let admin = admin.connect()?;
            extent
                .print(&admin, PATH, query, as_json, "no jobs", job_line)
                .await?;
        }
        JobsCommand::Show(One { id, admin }) => {
            let (admin, path) = (admin.connect()?, format!("{PATH}/{}", encoded(&id)));
            let mut job = admin.get_fields(&path).await?;
            let steps = admin.get(&format!("{path}/transitions")).await?;
            let steps: Vec<Value> = list_at(&steps, "/items").iter().rev().cloned().collect();
            job.insert("transitions".to_owned(), to_raw_value(&steps)?);
            match as_json {
                true => output::json_piece(on_one_line(&job)?)?,
                false => show(&without(&job, &OF_USERS)?, as_json)?,
            }
        }
        JobsCommand::Event { one, namespace } => {
            let query = Query::default().with("namespace", namespace);
            let path = format!("/api/events/{}{}", encoded(&one.id), query.text());
            let event = one.admin.connect()?.get_fields(&path).await?;
            match as_json {
                true => output::json_piece(on_one_line(&event)?)?,
                false => show_event(&without(&event, &OF_USERS)?, as_json)?,
            }
        }
        JobsCommand::Retry(verb) => verb.run("retry", as_json).await?,
        JobsCommand::Cancel(verb) => verb.run("cancel", as_json).await?,
        JobsCommand::Discard(verb) => verb.run("discard", as_json).await?,
        JobsCommand::Purge(verb) => verb.run("purge", as_json).await?,
        JobsCommand::Redrive {
            destination,
            why,
            namespace,
            dry_run,
            actor,
            admin,
        } => {
            let query = Query::default()
                .with("destination", destination)
                .with("reason", why)
                .with("namespace", namespace);
            let (path, body) = redrive::request(PATH, None, &query, &actor, dry_run);
            let answer = admin.connect()?.post(&path, &body).await?;
            redrive::print(&answer, None, dry_run, as_json)?;
        }
        JobsCommand::Stats { admin } => {
            let stats = admin.connect()?.get("/api/stats/jobs").await?;
            if as_json {
                output::json(&stats)?;
                return Ok(ExitCode::SUCCESS);
            }
            for item in list_at(&stats, "/items") {
                output::line(stats_line(item))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Verb {
    async fn run(&self, verb: &str, as_json: bool) -> anyhow::Result<()> {
        let path = format!("{PATH}/{}/{verb}", encoded(&self.one.id));
        let body = json!({"actor": self.actor.actor, "reason": self.actor.reason});
        let item = self.one.admin.connect()?.post(&path, &body).await?;
        match as_json {
            true => output::json(&item)?,
            false => output::line(line(&item))?,
        }
        Ok(())
    }
}

fn read_data(text: &str) -> anyhow::Result<Box<RawValue>> {
    let bytes = match text.strip_prefix('@') {
        None => text.as_bytes().to_vec(),
        Some("-") => input::standard(MAX_DATA_BYTES)?,
        Some(file) => input::file(&PathBuf::from(file), MAX_DATA_BYTES)
            .with_context(|| format!("cannot read {file}"))?,
    };
    serde_json::from_slice(&bytes).context("the data is not JSON")
}

/// One job on one line.
fn job_line(item: &Value) -> String {
    let (id, destination) = (field(item, "id"), field(item, "destination"));
    let rest = line(item);
    let rest = rest.split_once("  ").map_or("", |(_, rest)| rest);
    format!("{id}  {destination}  {rest}")
}

fn show_event(event: &Value, as_json: bool) -> std::io::Result<()> {
    if as_json {
        return output::json(event);
    }
    output::line(format_args!("event {}", field(event, "id")))?;
    let jobs = list_at(event, "/jobs");
    if jobs.is_empty() {
        output::line("  no destination has an action for it; nothing is kept")?;
    }
    for job in jobs {
        let (id, destination) = (field(job, "id"), field(job, "destination"));
        let state = job.get("state").and_then(Value::as_str);
        let state = state.map_or_else(String::new, |state| format!("  {state}"));
        output::line(format_args!("  job {id}  {destination}{state}"))?;
    }
    Ok(())
}

fn stats_line(item: &Value) -> String {
    let states = item.get("states").and_then(Value::as_object);
    let states = states.into_iter().flatten();
    let counts: Vec<String> = states
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let counts = match counts.as_slice() {
        [] => "no jobs".to_owned(),
        counts => counts.join(", "),
    };
    format!("{}  {counts}", field(item, "destination"))
}
