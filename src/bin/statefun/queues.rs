//! `statefun queues`: what waits where.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::admin::{AddressArg, AdminArgs, Query};
use crate::json::{field, list_at, text_at};
use crate::output;

/// Show what waits at addresses and egresses; resume an address that is parked or waits for a retry.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  statefun queues                              addresses with failures first
  statefun queues --limit 5 --json
  statefun queues resume example/greeter/bob   try it again, now"
)]
pub(crate) struct QueuesArgs {
    #[command(subcommand)]
    command: Option<QueuesCommand>,
    /// At most so many addresses, up to 1000.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Subcommand)]
enum QueuesCommand {
    /// Try an address that is parked or waits for a retry again, now.
    Resume {
        /// Which: `<namespace>/<type>/<id>`.
        #[arg(value_name = "ADDRESS")]
        address: AddressArg,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

pub(crate) async fn run(args: QueuesArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(QueuesCommand::Resume { address, admin }) => {
            let path = format!("/api/queues/{}/resume", address.path());
            let answer = admin.connect()?.post(&path, &json!({})).await?;
            if as_json {
                output::json(&answer)?;
            } else {
                output::line("resumed")?;
            }
        }
        None => {
            let query = Query::default().with("limit", Some(args.limit));
            let queues = args
                .admin
                .connect()?
                .get(&format!("/api/queues{}", query.text()))
                .await?;
            if as_json {
                output::json(&queues)?;
            } else {
                print(&queues)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(queues: &Value) -> anyhow::Result<()> {
    let none = Value::Null;
    let totals = queues.get("totals").unwrap_or(&none);
    output::line(format_args!(
        "{} messages wait or are in flight, {} calls out, {} addresses parked, {} timers",
        field(totals, "backlog"),
        field(totals, "calls"),
        counted(totals, "parked"),
        counted(totals, "timers")
    ))?;
    for address in list_at(queues, "/addresses") {
        output::line(address_line(address))?;
    }
    for function in list_at(queues, "/functions") {
        if function.get("full") == Some(&Value::Bool(true)) {
            output::line(format_args!(
                "function {}: {} messages, its whole share: messages to it, and to functions that send to it, are refused",
                field(function, "function"),
                field(function, "backlog")
            ))?;
        }
    }
    for egress in list_at(queues, "/egresses") {
        output::line(format_args!(
            "egress {}: {} waiting{}{}",
            field(egress, "egress"),
            field(egress, "outbox"),
            failed_attempts(egress),
            last_failure(egress)
        ))?;
    }
    for destination in list_at(queues, "/destinations") {
        output::line(destination_line(destination))?;
    }
    for source in list_at(queues, "/ingresses") {
        output::line(format_args!(
            "ingress {}: {} brought{}{}",
            field(source, "ingress"),
            field(source, "brought"),
            failed_attempts(source),
            last_failure(source)
        ))?;
    }
    for gone in list_at(queues, "/gone") {
        output::line(format_args!(
            "{} {} exists no more and keeps {} values or records since before this start",
            field(gone, "kind"),
            field(gone, "name"),
            field(gone, "keeps")
        ))?;
    }
    Ok(())
}

/// A number that was counted up to a bound only.
fn counted(totals: &Value, name: &str) -> String {
    let is_bound = totals.get(name) == totals.get("counted_to");
    format!(
        "{}{}",
        field(totals, name),
        if is_bound { " or more" } else { "" }
    )
}

fn address_line(address: &Value) -> String {
    let mut text = format!(
        "{}: {}",
        field(address, "address"),
        field(address, "activity")
    );
    for (name, words) in [
        ("waiting", "waiting"),
        ("in_flight", "in flight"),
        ("failures", "failures"),
        ("failed_attempts", "failed attempts"),
    ] {
        if let Some(count @ 1..) = address.get(name).and_then(Value::as_u64) {
            text.push_str(&format!(", {count} {words}"));
        }
    }
    for (name, words) in [("retry_at", "tried again at"), ("since", "since")] {
        if let Some(time) = address.get(name).and_then(Value::as_str) {
            text.push_str(&format!(", {words} {time}"));
        }
    }
    text + &last_failure(address)
}

fn destination_line(destination: &Value) -> String {
    let mut text = format!("destination {}: ", field(destination, "target"));
    match destination.get("waiting").and_then(Value::as_u64) {
        Some(waiting) => text.push_str(&format!("{waiting} waiting")),
        None => text.push_str("what waits is still being counted"),
    }
    if let Some(age) = destination
        .get("oldest_age_seconds")
        .and_then(Value::as_u64)
    {
        text.push_str(&format!(", the oldest for {age} s"));
    }
    if let Some(count @ 1..) = destination.get("dead_letters").and_then(Value::as_u64) {
        text.push_str(&format!(", {count} dead letters"));
    }
    text + &format!(
        ", circuit {}; since the start {} delivered, {} failed attempts, {} given up",
        field(destination, "circuit"),
        field(destination, "delivered"),
        field(destination, "failed_attempts"),
        field(destination, "given_up")
    )
}

fn failed_attempts(item: &Value) -> String {
    match item.get("failed_attempts").and_then(Value::as_u64) {
        Some(count @ 1..) => format!(", {count} failed attempts"),
        _ => String::new(),
    }
}

fn last_failure(item: &Value) -> String {
    text_at(item, "/last_failure").map_or(String::new(), |text| format!("; last failure: {text}"))
}
