//! The command line: commands, options, examples.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};
use stateful_functions::module::{Finding, Placeholders};
use tracing_subscriber::EnvFilter;

use crate::{
    call, check, dead_letters, deliveries, jobs, log_lines::LogLines, logging, new, pipeline,
    queues, run, send, set_aside, sink, state, status,
};

/// Stateful functions with durable state, messages and timers; runs and checks module files.
#[derive(Debug, Parser)]
#[command(name = "statefun", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) log: Log,
}

const EXAMPLES: &str = "\
Examples:
  statefun new shop                   makes a project with two functions and their tests
  statefun run                        runs module.yaml
  statefun check module.yaml          tells what is wrong with a module file
  statefun pipeline run -cd res       runs an application service of EdgeX
  statefun call statefun.samples/greeter/bob hello
  statefun status                     what needs attention, on one screen
  statefun state list                 the values that functions keep
  statefun sink                       a destination to try pipelines with, on port 9000";

impl Cli {
    /// The command line, checked for contradictions.
    pub(crate) fn checked() -> Result<Self, clap::Error> {
        let line = pipeline::in_our_spelling(std::env::args_os());
        let matches = Self::command().try_get_matches_from(line)?;
        let cli = Self::from_arg_matches(&matches)?;
        let set_twice = match &cli.command {
            Command::Run(run::RunArgs { module, .. })
            | Command::Check(check::CheckArgs { module, .. }) => module.set_twice(),
            Command::Pipeline(args) => args.set_twice(),
            _ => {
                state_of_two_places(&matches)?;
                None
            }
        };
        match set_twice {
            Some(key) => Err(conflict(&format!(
                "--set gives `{key}` two values; give it once"
            ))),
            None => Ok(cli),
        }
    }
}

/// `--data` reads a folder, in place of asking a running runtime: both at once are a contradiction.
fn state_of_two_places(matches: &ArgMatches) -> Result<(), clap::Error> {
    if matches.subcommand_name() != Some("state") {
        return Ok(());
    }
    let mut command = matches;
    while let Some((_, inner)) = command.subcommand() {
        command = inner;
    }
    let is_given = |name| {
        let is_known = command.try_contains_id(name).is_ok();
        is_known && command.value_source(name) == Some(ValueSource::CommandLine)
    };
    for other in ["admin", "token"] {
        if is_given("data") && is_given(other) {
            return Err(conflict(&format!(
                "--data reads a folder, and --{other} asks a running runtime; give one of them"
            )));
        }
    }
    Ok(())
}

fn conflict(text: &str) -> clap::Error {
    Cli::command().error(ErrorKind::ArgumentConflict, text)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(new::NewArgs),
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Pipeline(pipeline::PipelineArgs),
    Send(send::SendArgs),
    Call(call::CallArgs),
    Status(status::StatusArgs),
    State(state::StateArgs),
    Queues(queues::QueuesArgs),
    Deliveries(deliveries::DeliveriesArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Jobs(jobs::JobsArgs),
    SetAside(set_aside::SetAsideArgs),
    Sink(sink::SinkArgs),
}

/// What is logged, and in which form. Logs go to standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct Log {
    /// What to log, such as `warn` or `info,stateful_functions::runtime=debug`.
    #[arg(
        long = "log",
        value_name = "FILTER",
        env = "STATEFUN_LOG",
        global = true
    )]
    filter: Option<String>,
    /// The form of log lines.
    #[arg(
        long = "log-format",
        value_name = "FORMAT",
        env = "STATEFUN_LOG_FORMAT",
        global = true,
        default_value = "text"
    )]
    format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Log {
    /// Starts logging. Without a filter, commands that keep running log at `info`, all others at `warn`.
    /// What is returned takes the lines.
    pub(crate) fn start(&self, command: &Command) -> anyhow::Result<LogLines> {
        let default = match command {
            Command::Run(_) | Command::Sink(_) => "info",
            Command::Pipeline(args) if args.keeps_running() => "info",
            _ => "warn",
        };
        let filter = EnvFilter::try_new(self.filter.as_deref().unwrap_or(default))?;
        let lines = LogLines::to(io::stderr())?;
        let (text, json) = (lines.clone(), lines.clone());
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || text.clone())
            .with_ansi(io::stderr().is_terminal());
        match self.format {
            LogFormat::Text => log.fmt_fields(logging::printable_fields()).init(),
            LogFormat::Json => log
                .with_writer(move || logging::PrintableJson(json.clone()))
                .json()
                .init(),
        }
        Ok(lines)
    }
}

/// Module files, and the values of their placeholders.
#[derive(Debug, Args)]
pub(crate) struct ModuleArgs {
    /// Module files; all of them together are one module.
    #[arg(value_name = "FILE", default_value = "module.yaml")]
    pub(crate) files: Vec<PathBuf>,
    /// The value of a placeholder `${KEY}`; overrides the environment variable KEY. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, conflicts_with = "strict")]
    set: Vec<(String, String)>,
    /// Behave as StateFun does where this runtime is more lenient: placeholders are not replaced, faults are reported in its words, a failed batch is
    /// retried each second, without end or, with `--attempts N`, until the whole application ends after N attempts of a batch.
    #[arg(long)]
    pub(crate) strict: bool,
}

impl ModuleArgs {
    /// Files, and the environment for their placeholders.
    pub(crate) const fn of(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            set: Vec::new(),
            strict: false,
        }
    }

    /// A placeholder with two different values.
    pub(crate) fn set_twice(&self) -> Option<&str> {
        let mut set = BTreeMap::new();
        let mut twice = self.set.iter().filter(|(key, value)| {
            let before = *set.entry(key).or_insert(value);
            before != value
        });
        twice.next().map(|(key, _)| key.as_str())
    }

    /// The findings, with `--strict` in StateFun's words.
    pub(crate) fn told(&self, findings: Vec<Finding>) -> Vec<Finding> {
        if !self.strict {
            return findings;
        }
        findings.into_iter().map(Finding::as_upstream).collect()
    }

    /// The values of the placeholders in `texts`, which are names and texts of files.
    ///
    /// # Errors
    /// When one of them names a variable of the environment that is not text.
    pub(crate) fn placeholders(&self, texts: &[(String, String)]) -> anyhow::Result<Placeholders> {
        if self.strict {
            return Ok(Placeholders::Literal);
        }
        let mut environment = Vec::new();
        for (key, value) in std::env::vars_os() {
            let Ok(key) = key.into_string() else {
                continue; // no placeholder has such a name
            };
            let is_set = self.set.iter().any(|(set, _)| *set == key);
            match value.into_string() {
                Ok(value) => environment.push((key, value)),
                Err(_) if is_set => {}
                Err(_) => {
                    let reference = format!("${{{key}");
                    let named = |text: &str| text.contains(&reference);
                    if let Some((file, _)) = texts.iter().find(|(_, text)| named(text)) {
                        anyhow::bail!(
                            "{file} names ${{{key}}}, whose value in the environment is not text in UTF-8; give it with --set {key}=VALUE"
                        );
                    }
                }
            }
        }
        let all = environment.iter().chain(&self.set);
        let global = all
            .filter_map(|(key, value)| Some((key.strip_prefix(GLOBAL)?.to_owned(), value.clone())));
        // Later ones override earlier ones.
        let values: BTreeMap<_, _> = environment
            .iter()
            .cloned()
            .chain(global)
            .chain(self.set.iter().cloned())
            .collect();
        Ok(Placeholders::Replaced(values))
    }
}

/// Where the admin API listens by default. Not 8091: StateFun's own examples have their playground egress there.
pub(crate) const ADMIN: &str = "127.0.0.1:8191";

/// The prefix of StateFun's own settings for modules; they override the environment.
const GLOBAL: &str = "statefun.module.global-config.";

pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
