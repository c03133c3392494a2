//! `statefun run`: the runtime with a module file.

use std::io;
use std::num::NonZeroU32;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use stateful_functions::module::{Module, ModuleFile};
use stateful_functions::runtime::{FailurePolicy, OnError, Runtime, RuntimeConfig, StartError};

use crate::args::ModuleArgs;
use crate::host::HostArgs;
use crate::{check, environment, network, output};

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
    #[command(flatten)]
    host: HostArgs,
    /// How often a batch is tried before `--on-error` applies. Default: unlimited.
    #[arg(long, alias = "park-after", value_name = "N")]
    attempts: Option<NonZeroU32>,
    /// What to do when the attempts of a batch are used up. Default: `park`, or `fail` with `--strict`.
    #[arg(long, value_name = "WHAT", requires = "attempts")]
    on_error: Option<AfterAttempts>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AfterAttempts {
    /// The address is parked until `statefun queues resume`; others continue
    Park,
    /// The application ends with exit code 1; the next start tries the same batch again
    Fail,
}

pub(crate) async fn run(args: RunArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = args.host.admin_config()?;
    let module = load(&args.module)?;
    let collisions = module.collisions_with_admin(&args.host.admin);
    if !collisions.is_empty() {
        let told: Vec<String> = collisions.iter().map(ToString::to_string).collect();
        anyhow::bail!("{}", told.join("\n"));
    }
    let builder = Runtime::builder()
        .config(config(&args))
        .network(network::of_environment()?)
        .environment(environment::of_process()?)
        .module(&module)?
        .admin(admin);
    let explained = |err| explained(err, &module, &args.host.admin);
    args.host.run(builder, as_json, explained).await
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
    args.host.divide(&mut config);
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
