//! `statefun run`: the runtime with a module file.

use std::io;
use std::num::{NonZeroU8, NonZeroU32};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;
use stateful_functions::admin::AdminConfig;
use stateful_functions::module::{Module, ModuleFile};
use stateful_functions::runtime::{
    ApplicationFailure, FailurePolicy, OnError, Runtime, RuntimeConfig, StartError,
};

use crate::admin::{host_port, token};
use crate::args::{ADMIN, ModuleArgs};
use crate::{check, environment, network, output, signals};

/// Run a module: its ingresses, functions, pipelines and egresses, with all durable data in one folder.
///
/// Prints a line per listener, and `ready` when all of them listen. SIGTERM, SIGINT (ctrl-c) and SIGHUP stop it: it accepts nothing more,
/// waits up to 10 s for calls in progress, and exits with 0. With `--strict` or `--on-error fail` it also ends, with exit code 1, when the attempts of a batch are used up.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun run                                  module.yaml, data in ./statefun-data
  statefun run shop.yaml --data /var/lib/shop
  statefun run --ephemeral                      everything in memory, and lost when it ends
  statefun run --set PORT=8092 --admin 127.0.0.1:0
  statefun run --attempts 5                     an address that fails 5 times is parked; others go on
  statefun run --strict                         a failed batch is retried each second, without end, as on StateFun
  statefun run --strict --attempts 1            the first failure ends the application")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) module: ModuleArgs,
    /// The data folder. It is created if it does not exist.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "statefun-data",
        conflicts_with = "ephemeral"
    )]
    data: PathBuf,
    /// Keep everything in memory.
    #[arg(long)]
    ephemeral: bool,
    /// How often a batch is tried before `--on-error` applies. Default: unlimited.
    #[arg(long, alias = "park-after", value_name = "N")]
    attempts: Option<NonZeroU32>,
    /// What to do when the attempts of a batch are used up. Default: `park`, or `fail` with `--strict`.
    #[arg(long, value_name = "WHAT", requires = "attempts")]
    on_error: Option<AfterAttempts>,
    /// Number of partitions among which ids are divided, each with a thread of its own. May change with each start. Default: half the processors,
    /// at least 1, at most 8.
    #[arg(long, value_name = "N")]
    partitions: Option<NonZeroU8>,
    /// Where the admin API listens.
    #[arg(long, value_name = "ADDR", default_value = ADMIN, value_parser = host_port)]
    admin: String,
    /// The bearer token of the admin API, 8 or more characters. Required when it listens on an address that the network reaches.
    #[arg(
        long,
        value_name = "TEXT",
        env = "STATEFUN_ADMIN_TOKEN",
        hide_env_values = true
    )]
    admin_token: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AfterAttempts {
    /// The address is parked until `statefun queues resume`; others continue
    Park,
    /// The application ends with exit code 1; the next start tries the same batch again
    Fail,
}

pub(crate) async fn run(args: RunArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let token = token(args.admin_token.as_deref(), "--admin-token")?;
    let module = load(&args.module)?;
    let collisions = module.collisions_with_admin(&args.admin);
    if !collisions.is_empty() {
        let told: Vec<String> = collisions.iter().map(ToString::to_string).collect();
        anyhow::bail!("{}", told.join("\n"));
    }
    let mut admin = AdminConfig::default();
    admin.listen.clone_from(&args.admin);
    admin.token = token;
    let builder = Runtime::builder()
        .config(config(&args))
        .network(network::of_environment()?)
        .environment(environment::of_process()?)
        .module(&module)?
        .admin(admin);
    let builder = if args.ephemeral {
        builder.ephemeral()
    } else {
        builder.data(&args.data)
    };
    let stop = signals::stop().context("signals cannot be received")?;
    let started = builder.start().await;
    let runtime = started.map_err(|err| explained(err, &module, &args.admin))?;
    for listener in runtime.listeners() {
        let (name, address) = (&listener.name, listener.address);
        if as_json {
            output::json(&json!({"listener": name, "address": address.to_string()}))?;
        } else {
            output::line(format_args!("{name} listens on {address}"))?;
        }
    }
    if as_json {
        output::json(&json!({"ready": true}))?;
    } else {
        output::line("ready")?;
    }
    let failure: Option<ApplicationFailure> = tokio::select! {
        () = stop => None,
        failure = runtime.failed() => Some(failure),
    };
    runtime.shutdown().await;
    failure.map_or(Ok(ExitCode::SUCCESS), |failure| Err(failure.into()))
}

/// The error of a start, with the setting to change if a port is in use.
fn explained(err: StartError, module: &Module, admin: &str) -> anyhow::Error {
    let StartError::Listen {
        name,
        address,
        source,
    } = &err
    else {
        return err.into();
    };
    if source.kind() != io::ErrorKind::AddrInUse {
        return err.into();
    }
    let remedy = match module.location_of_listener(address) {
        Some(location) => {
            format!("change its address at {}:{}", location.file, location.line)
        }
        None if address == admin => "choose another with --admin HOST:PORT".to_owned(),
        None => "choose another".to_owned(),
    };
    anyhow::anyhow!("the {name} cannot listen on {address}: the port is in use; {remedy}")
}

fn config(args: &RunArgs) -> RuntimeConfig {
    let mut config = RuntimeConfig::default();
    if args.module.strict {
        config.failure = FailurePolicy::strict();
    }
    config.failure.attempts = args.attempts;
    if let Some(partitions) = args.partitions {
        config.partitions = partitions;
    }
    match args.on_error {
        Some(AfterAttempts::Park) => config.failure.on_error = OnError::Park,
        Some(AfterAttempts::Fail) => config.failure.on_error = OnError::Fail,
        None => {}
    }
    config
}

/// The module. Its warnings are printed.
fn load(args: &ModuleArgs) -> anyhow::Result<Module> {
    let texts = check::read(args)?;
    let files: Vec<ModuleFile<'_>> = texts
        .iter()
        .map(|(name, text)| ModuleFile { name, text })
        .collect();
    let parsed = Module::parse(&files, &args.placeholders(&texts)?).map_err(|mut invalid| {
        invalid.faults = args.told(invalid.faults);
        invalid
    });
    let module = parsed?;
    for warning in args.told(module.warnings.clone()) {
        output::note(format_args!("warning: {warning}"));
    }
    Ok(module)
}
