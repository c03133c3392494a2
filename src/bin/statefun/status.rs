//! `statefun status`: everything that needs attention, on one screen.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::admin::{AdminArgs, Query};
use crate::json::{field, list_at};
use crate::output;
use crate::queues::{address_line, destination_line, gone_line, total, totals_line};

/// Show the status of a runtime on one screen: its health, failing functions, what the module no longer has, destinations, dead letters, records set aside, disk.
///
/// Exits with 0 if the runtime is healthy, 1 if it is not or cannot be reached.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun status
  statefun status --json
  statefun status --admin 10.0.0.7:8191     of a runtime on another machine, with STATEFUN_ADMIN_TOKEN set")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    admin: AdminArgs,
}

/// Lines of a section, at most; `statefun queues` shows all.
const LINES: usize = 10;
/// A call is shown once it has been in progress for this long, in seconds.
const LONG: u64 = 5;
/// The gauges about the disk.
const DISK: &[&str] = &[
    "store_writable",
    "store_free_bytes",
    "store_needed_bytes",
    "store_log_bytes",
    "store_overlay_bytes",
];

pub(crate) async fn run(args: StatusArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = args.admin.connect()?;
    let health = admin.health().await?;
    let query = Query::default().with("limit", Some(1000));
    let queues = admin.get(&format!("/api/queues{}", query.text())).await?;
    let status = status(&health, &queues, &admin.text("/metrics").await?);
    if as_json {
        output::json(&status)?;
    } else {
        for line in lines(&status) {
            output::line(line)?;
        }
    }
    let is_ok = status.get("status").is_some_and(|status| status == "ok");
    Ok(if is_ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn status(health: &Value, queues: &Value, metrics: &str) -> Value {
    let number = |item: &Value, name: &str| item.get(name).and_then(Value::as_u64).unwrap_or(0);
    let failing = |item: &&Value| {
        number(item, "failures") > 0
            || number(item, "failed_attempts") > 0
            || item.get("damaged").is_some()
    };
    let chosen = |pointer: &str| -> Vec<Value> {
        let items = list_at(queues, pointer).iter();
        items.filter(failing).cloned().collect()
    };
    let is_long = |item: &&Value| number(item, "in_flight_seconds") >= LONG && !failing(item);
    let long_calls = list_at(queues, "/addresses").iter().filter(is_long);
    let set_aside = list_at(queues, "/egresses").iter();
    let set_aside = set_aside.filter(|egress| number(egress, "set_aside") > 0);
    let set_aside = set_aside
        .map(|egress| json!({"egress": egress.get("egress"), "records": egress.get("set_aside")}));
    let not_brought = list_at(queues, "/ingresses").iter();
    let not_brought = not_brought.filter(|ingress| number(ingress, "set_aside") > 0);
    let not_brought = not_brought.map(
        |ingress| json!({"ingress": ingress.get("ingress"), "records": ingress.get("set_aside")}),
    );
    let destinations = list_at(queues, "/destinations");
    let dead_letters: u64 = destinations
        .iter()
        .map(|of| number(of, "dead_letters"))
        .sum();
    let disk = DISK
        .iter()
        .map(|name| ((*name).to_owned(), json!(gauge(metrics, name))));
    json!({
        "status": health.get("status"),
        "reasons": list_at(health, "/reasons"),
        "limited": list_at(health, "/limited"),
        "totals": queues.get("totals"),
        "failing_addresses": chosen("/addresses"),
        "long_calls": long_calls.cloned().collect::<Value>(),
        "failing_egresses": chosen("/egresses"),
        "failing_ingresses": chosen("/ingresses"),
        "set_aside": set_aside.collect::<Value>(),
        "not_brought": not_brought.collect::<Value>(),
        "gone": list_at(queues, "/gone"),
        "destinations": destinations,
        "dead_letters": dead_letters,
        "disk": disk.collect::<Value>(),
    })
}

/// The value of a gauge without labels.
fn gauge(metrics: &str, name: &str) -> Option<u64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("statefun_")?.strip_prefix(name));
    line?.trim().parse().ok()
}

fn lines(status: &Value) -> Vec<String> {
    let none = Value::Null;
    let mut lines = vec![format!("status: {}", field(status, "status"))];
    for name in ["reasons", "limited"] {
        let texts = list_at(status, &format!("/{name}")).iter();
        lines.extend(
            texts
                .filter_map(Value::as_str)
                .map(|text| format!("  {text}")),
        );
    }
    lines.push(totals_line(status.get("totals").unwrap_or(&none)));
    let disk = status.get("disk").unwrap_or(&none);
    lines.push(disk_line(disk));
    let mut section = |title: &str, empty: &str, pointer: &str, line: &dyn Fn(&Value) -> String| {
        let items = list_at(status, pointer);
        if items.is_empty() {
            lines.extend((!empty.is_empty()).then(|| empty.to_owned()));
            return;
        }
        lines.push(format!("{title}:"));
        lines.extend(
            items
                .iter()
                .take(LINES)
                .map(|item| format!("  {}", line(item))),
        );
        if items.len() > LINES {
            lines.push(format!(
                "  and {} more: see statefun queues",
                items.len() - LINES
            ));
        }
    };
    let of = |name: &'static str| {
        move |item: &Value| {
            format!(
                "{}: {}; last failure: {}",
                field(item, name),
                total(item, "failed_attempts", "failed attempt"),
                field(item, "last_failure")
            )
        }
    };
    section(
        "failing functions",
        "no failing functions",
        "/failing_addresses",
        &address_line,
    );
    section(
        "calls in progress for some seconds",
        "",
        "/long_calls",
        &address_line,
    );
    section("failing egresses", "", "/failing_egresses", &of("egress"));
    section(
        "failing ingresses",
        "",
        "/failing_ingresses",
        &of("ingress"),
    );
    section(
        "records set aside because they are refused (see statefun set-aside list)",
        "",
        "/set_aside",
        &|refused| {
            let (egress, records) = (field(refused, "egress"), field(refused, "records"));
            format!("{egress}: {records}")
        },
    );
    section(
        "records that an ingress has set aside (see statefun dead-letters list)",
        "",
        "/not_brought",
        &|refused| {
            let (ingress, records) = (field(refused, "ingress"), field(refused, "records"));
            format!("{ingress}: {records}")
        },
    );
    section(
        "stored data without an owner (see statefun deliveries)",
        "",
        "/gone",
        &gone_line,
    );
    section(
        "destinations",
        "no destinations",
        "/destinations",
        &destination_line,
    );
    lines.push(match field(status, "dead_letters").as_ref() {
        "0" => "no dead letters".to_owned(),
        "1" => "1 dead letter: see statefun dead-letters list".to_owned(),
        count => format!("{count} dead letters: see statefun dead-letters list"),
    });
    lines
}

/// Whether the disk takes rounds, its free space and how much of that is needed, and what a start would read.
fn disk_line(disk: &Value) -> String {
    let bytes = |name: &str| disk.get(name).and_then(Value::as_u64);
    let mut text = match bytes("store_writable") {
        Some(1) => "disk: writable".to_owned(),
        Some(_) => "disk: NOT writable".to_owned(),
        None => "disk: unknown".to_owned(),
    };
    if let (Some(free), Some(needed)) = (bytes("store_free_bytes"), bytes("store_needed_bytes")) {
        text.push_str(&format!(
            ", {} free (intake stops below {})",
            size(free),
            size(needed)
        ));
    }
    for (name, what) in [
        ("store_log_bytes", "to replay at a start"),
        ("store_overlay_bytes", "of rows in memory"),
    ] {
        let size = bytes(name).map_or_else(|| "unknown".to_owned(), size);
        text.push_str(&format!(", {size} {what}"));
    }
    text
}

/// A number of bytes, for people.
fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes < 10 << 10 => format!("{bytes} bytes"),
        bytes if bytes < 1 << 20 => format!("{} KiB", bytes >> 10),
        bytes if bytes < 10 << 30 => format!("{} MiB", bytes >> 20),
        bytes => format!("{} GiB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_shows_what_fails_and_nothing_of_what_does_not() {
        let health = json!({"status": "failing", "reasons": ["the disk is full"]});
        let queues = json!({
            "totals": {"backlog": 1, "calls": 1, "parked": 0, "timers": 2, "counted_to": 100_000},
            "addresses": [
                {"address": "a/b/bad", "activity": "backs_off", "failures": 2, "last_failure": "no"},
                {"address": "a/b/good", "activity": "in_flight", "failures": 0, "failed_attempts": 0, "in_flight_seconds": 1},
                {"address": "a/b/slow", "activity": "in_flight", "since": "10:00", "failures": 0, "in_flight_seconds": 70},
            ],
            "egresses": [{"egress": "a/out", "outbox": 0, "set_aside": 3}, {"egress": "a/fine", "outbox": 0, "set_aside": 0}],
            "ingresses": [{"ingress": "a/in", "set_aside": 2}, {"ingress": "a/clean", "set_aside": 0}],
            "destinations": [{"target": "http://h:1", "waiting": 4, "dead_letters": 1, "circuit": "open",
                              "delivered": 0, "failed_attempts": 5, "given_up": 1,
                              "attempts_in_progress": 1, "oldest_attempt": "10:00", "oldest_attempt_seconds": 9}],
        });
        let metrics = "# TYPE x gauge\nstatefun_store_writable 0\nstatefun_store_log_bytes 20480\nstatefun_store_free_bytes 22000000\nstatefun_store_needed_bytes 25165824\n";
        let text = lines(&status(&health, &queues, metrics)).join("\n");
        for shown in [
            "status: failing\n  the disk is full\n1 message pending, 1 call running",
            "disk: NOT writable, 20 MiB free (intake stops below 24 MiB), 20 KiB to replay",
            "  a/b/bad: ",
            "some seconds:\n  a/b/slow: call in progress, since 10:00\n",
            ", 1 attempt in progress, for up to 9 s (since 10:00), circuit open",
            "refused (see statefun set-aside list):\n  a/out: 3\n",
            "set aside (see statefun dead-letters list):\n  a/in: 2\n",
            "destinations:\n  http://h:1: 4 waiting",
            "1 dead letter: see",
        ] {
            assert!(text.contains(shown), "{shown} is not in\n{text}");
        }
        for hidden in ["a/b/good", "a/fine", "a/clean"] {
            assert!(!text.contains(hidden), "{hidden} is in\n{text}");
        }
    }
}
