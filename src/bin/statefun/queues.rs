//! `statefun queues`: pending messages by address, egress and destination.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateful_functions::printable::counted;

use crate::admin::{AddressArg, AdminArgs, Query};
use crate::json::{field, list_at, text_at};
use crate::list::{damaged_line, is_damaged, sound};
use crate::output;

/// Show what is pending at addresses, egresses and destinations; resume an address that is parked or waits for a retry.
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
    /// Show at most this many addresses, up to 1000.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Subcommand)]
enum QueuesCommand {
    /// Try an address that is parked or waits for a retry again at once.
    Resume {
        /// The address: `<namespace>/<type>/<id>`.
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
            let damaged = list_at(&queues, "/addresses").iter();
            sound(damaged.filter(|one| is_damaged(one)).count())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(queues: &Value) -> anyhow::Result<()> {
    output::line(totals_line(queues.get("totals").unwrap_or(&Value::Null)))?;
    for address in list_at(queues, "/addresses") {
        output::line(if is_damaged(address) {
            damaged_line(address)
        } else {
            address_line(address)
        })?;
    }
    for function in list_at(queues, "/functions") {
        if function.get("full") == Some(&Value::Bool(true)) {
            output::line(format_args!(
                "function {}: {}, which is its limit: messages to it, and to functions that send to it, are refused",
                field(function, "function"),
                total(function, "backlog", "message")
            ))?;
        }
    }
    for egress in list_at(queues, "/egresses") {
        output::line(format_args!(
            "egress {}: {} waiting{}{}{}",
            field(egress, "egress"),
            field(egress, "outbox"),
            set_aside(egress),
            failed_attempts(egress),
            last_failure(egress)
        ))?;
    }
    for refused in list_at(queues, "/set_aside") {
        output::line(format_args!(
            "  record {} of {} is set aside: {}",
            field(refused, "id"),
            field(refused, "egress"),
            field(refused, "reason")
        ))?;
    }
    for destination in list_at(queues, "/destinations") {
        output::line(format_args!(
            "destination {}",
            destination_line(destination)
        ))?;
    }
    for source in list_at(queues, "/ingresses") {
        output::line(format_args!(
            "ingress {}: {} taken in{}{}{}",
            field(source, "ingress"),
            total(source, "brought", "message"),
            not_brought(source),
            failed_attempts(source),
            last_failure(source)
        ))?;
        for split in list_at(source, "/splits") {
            output::line(split_line(split))?;
        }
    }
    for gone in list_at(queues, "/gone") {
        output::line(gone_line(gone))?;
    }
    Ok(())
}

/// A stage, function or egress that the module no longer has.
pub(crate) fn gone_line(gone: &Value) -> String {
    format!(
        "{} {} is no longer in the module, but has {} from before this start",
        field(gone, "kind"),
        field(gone, "name"),
        total(gone, "keeps", "item")
    )
}

/// The totals in one line.
pub(crate) fn totals_line(totals: &Value) -> String {
    format!(
        "{} pending, {} running, {} parked, {}",
        total(totals, "backlog", "message"),
        total(totals, "calls", "call"),
        total(totals, "parked", "address"),
        total(totals, "timers", "timer")
    )
}

/// A count; some are counted only up to a limit.
pub(crate) fn total(totals: &Value, name: &str, noun: &str) -> String {
    let Some(count) = totals.get(name).and_then(Value::as_u64) else {
        return format!("{noun}: -");
    };
    let is_bound = totals.get("counted_to").and_then(Value::as_u64) == Some(count);
    let all = counted(count, noun);
    if is_bound {
        format!("at least {all}")
    } else {
        all
    }
}

/// Position and lag of a split.
fn split_line(split: &Value) -> String {
    let behind = split.get("behind").and_then(Value::as_u64);
    let behind_ms = split.get("behind_ms").and_then(Value::as_u64);
    let behind = match (behind, behind_ms) {
        (Some(records), _) => format!(", {records} behind"),
        (None, Some(millis)) => format!(", {millis} ms behind"),
        (None, None) => String::new(),
    };
    format!(
        "  {}: at {}{behind}",
        field(split, "split"),
        field(split, "position")
    )
}

/// Records that an ingress could not bring.
fn not_brought(source: &Value) -> String {
    match some(source, "set_aside", "record") {
        none if none.is_empty() => none,
        records => format!("{records} set aside (see statefun dead-letters list)"),
    }
}

/// Records that the far side refuses.
fn set_aside(egress: &Value) -> String {
    match egress.get("set_aside").and_then(Value::as_u64) {
        None | Some(0) => String::new(),
        Some(records) => format!(", {records} set aside because they are refused"),
    }
}

pub(crate) fn address_line(address: &Value) -> String {
    let activity = field(address, "activity");
    let mut text = format!("{}: {}", field(address, "address"), doing(&activity));
    for (name, words) in [("waiting", "waiting"), ("in_flight", "in flight")] {
        if let Some(count @ 1..) = address.get(name).and_then(Value::as_u64) {
            text.push_str(&format!(", {} {words}", counted(count, "message")));
        }
    }
    for (name, noun) in [
        ("failures", "failure"),
        ("failed_attempts", "failed attempt"),
    ] {
        text.push_str(&some(address, name, noun));
    }
    for (name, words) in [("retry_at", "next try at"), ("since", "since")] {
        if let Some(time) = address.get(name).and_then(Value::as_str) {
            text.push_str(&format!(", {words} {time}"));
        }
    }
    text + &last_failure(address)
}

/// An activity in words.
fn doing(activity: &str) -> &str {
    match activity {
        "in_flight" => "call in progress",
        "awaits_disk" => "waits for the disk",
        "awaits_type" => "waits for the first call of its type",
        "awaits_slot" => "waits for a call slot",
        "backs_off" => "waits to be tried again",
        other => other,
    }
}

pub(crate) fn destination_line(destination: &Value) -> String {
    let mut text = format!("{}: ", field(destination, "target"));
    match destination.get("waiting").and_then(Value::as_u64) {
        Some(waiting) => text.push_str(&format!("{waiting} waiting")),
        None => text.push_str("waiting deliveries are still being counted"),
    }
    if let Some(age) = destination
        .get("oldest_age_seconds")
        .and_then(Value::as_u64)
    {
        text.push_str(&format!(", the oldest for {age} s"));
    }
    text.push_str(&some(destination, "dead_letters", "dead letter"));
    let attempts = some(destination, "attempts_in_progress", "attempt");
    if !attempts.is_empty() {
        let (since, age) = (
            field(destination, "oldest_attempt"),
            field(destination, "oldest_attempt_seconds"),
        );
        text.push_str(&format!(
            "{attempts} in progress, for up to {age} s (since {since})"
        ));
    }
    text + &format!(
        ", circuit {}; since the start: {} delivered, {}, {} given up",
        field(destination, "circuit"),
        field(destination, "delivered"),
        total(destination, "failed_attempts", "failed attempt"),
        field(destination, "given_up")
    )
}

fn failed_attempts(item: &Value) -> String {
    some(item, "failed_attempts", "failed attempt")
}

/// `, 2 failures`, when there are any.
fn some(item: &Value, name: &str, noun: &str) -> String {
    match item.get(name).and_then(Value::as_u64) {
        Some(count @ 1..) => format!(", {}", counted(count, noun)),
        _ => String::new(),
    }
}

fn last_failure(item: &Value) -> String {
    text_at(item, "/last_failure").map_or(String::new(), |text| format!("; last failure: {text}"))
}
