//! `statefun sink`: an HTTP destination that counts, and can be switched off and on.

mod counts;
mod server;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::host_port;
use crate::{output, signals};

use counts::Counts;

/// Start an HTTP destination that counts requests, for trying pipelines and outages.
///
/// It answers every POST, PUT and PATCH, and remembers idempotency keys to count duplicates.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun sink                       listens on 127.0.0.1:9000 and prints a line per request
  statefun sink 127.0.0.1:9001 --status 400
  curl localhost:9000                 what has arrived
  curl -X POST localhost:9000/off     answers 503 from now on
  curl -X POST localhost:9000/on      answers 200 again
  curl -X POST localhost:9000/status/429")]
pub(crate) struct SinkArgs {
    /// Where to listen.
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:9000", value_parser = host_port)]
    address: String,
    /// The status to answer with.
    #[arg(long, value_name = "N", default_value = "200", value_parser = status)]
    status: StatusCode,
    /// Print the totals, at most once a second, instead of a line per request.
    #[arg(long)]
    quiet: bool,
}

/// A final status: 1xx are not.
pub(crate) fn status(text: &str) -> Result<StatusCode, String> {
    match text.parse() {
        Ok(code @ 200..=599) => StatusCode::from_u16(code).map_err(|err| err.to_string()),
        _ => Err("a status is a number from 200 to 599".to_owned()),
    }
}

pub(crate) async fn run(args: SinkArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(&args.address)
        .await
        .with_context(|| format!("cannot listen on {}", args.address))?;
    let address = listener.local_addr()?;
    let stop = signals::stop()?;
    if as_json {
        output::json(&json!({"listening": address.to_string()}))?;
    } else {
        output::line(format_args!(
            "sink listens on http://{address} (POST /off and /on switch it)"
        ))?;
    }
    let counts = Arc::new(Counts::new(args.status));
    let style = match (args.quiet, as_json) {
        (true, _) => server::Style::Silent,
        (false, true) => server::Style::Json,
        (false, false) => server::Style::Text,
    };
    tokio::select! {
        () = server::serve(listener, counts.clone(), style) => {}
        progress = show_progress(&counts, as_json), if args.quiet => progress?,
        () = stop => {}
    }
    tell_totals(&counts, as_json)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the totals each second in which they changed.
async fn show_progress(counts: &Counts, as_json: bool) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = counts.totals();
    loop {
        ticks.tick().await;
        let totals = counts.totals();
        if totals != last {
            tell_totals(counts, as_json)?;
            last = totals;
        }
    }
}

fn tell_totals(counts: &Counts, as_json: bool) -> anyhow::Result<()> {
    let totals = counts.totals();
    if as_json {
        output::json(&totals.to_json())?;
    } else {
        output::line(totals)?;
    }
    Ok(())
}
