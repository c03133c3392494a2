//! The `statefun` binary: a file per command. Uses the library's public API only.
#![expect(
    clippy::print_stderr,
    reason = "a command line tells errors on the error stream"
)]

mod args;
mod check;
mod output;
mod signals;
mod sink;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run().unwrap_or_else(|err| output::failed(&err))
}

fn run() -> anyhow::Result<ExitCode> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            usage.print()?;
            return Ok(ExitCode::from(u8::try_from(usage.exit_code())?));
        }
    };
    cli.log.start(&cli.command)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Check(args) => check::run(&args, cli.json),
            Command::Sink(args) => sink::run(args, cli.json).await,
        }
    })
}
