//! The `statefun` binary: a file per command. Uses the library's public API only.

mod admin;
mod args;
mod call;
mod check;
mod dead_letters;
mod deliveries;
mod environment;
mod host;
mod input;
mod jobs;
mod json;
mod list;
mod log_lines;
mod logging;
mod network;
mod new;
mod output;
mod pipeline;
mod queues;
mod redrive;
mod run;
mod send;
mod set_aside;
mod signals;
mod sink;
mod state;
mod status;
mod value;

use std::pin::Pin;
use std::process::ExitCode;

use args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run().unwrap_or_else(|err| output::failed(&err))
}

fn run() -> anyhow::Result<ExitCode> {
    let cli = match Cli::checked() {
        Ok(cli) => cli,
        Err(usage) => {
            usage.print()?;
            return Ok(ExitCode::from(u8::try_from(usage.exit_code())?));
        }
    };
    let log = cli.log.start(&cli.command)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // In a box, the future is compiled once, and not for each kind of executor.
    let ended: Pin<Box<dyn Future<Output = anyhow::Result<ExitCode>>>> = Box::pin(async move {
        match cli.command {
            Command::New(args) => new::run(&args, cli.json),
            Command::Run(args) => run::run(args, cli.json).await,
            Command::Check(args) => check::run(&args, cli.json).await,
            Command::Pipeline(args) => pipeline::run(args, cli.json).await,
            Command::Send(args) => send::run(args, cli.json).await,
            Command::Call(args) => call::run(args, cli.json).await,
            Command::Status(args) => status::run(args, cli.json).await,
            Command::State(args) => state::run(args, cli.json).await,
            Command::Queues(args) => queues::run(args, cli.json).await,
            Command::Deliveries(args) => deliveries::run(args, cli.json).await,
            Command::DeadLetters(args) => dead_letters::run(args, cli.json).await,
            Command::Jobs(args) => jobs::run(args, cli.json).await,
            Command::SetAside(args) => set_aside::run(args, cli.json).await,
            Command::Sink(args) => sink::run(args, cli.json).await,
        }
    });
    let ended = runtime.block_on(ended);
    log.flush();
    ended
}
