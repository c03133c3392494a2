//! What commands that run a runtime have in common: where its data is, the admin API, listeners, signals.

use std::num::NonZeroU8;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use stateful_functions::admin::AdminConfig;
use stateful_functions::runtime::{ApplicationFailure, RuntimeBuilder, RuntimeConfig, StartError};

use crate::admin::{host_port, token};
use crate::args::ADMIN;
use crate::{output, signals};

/// Where a runtime keeps its data, and how operators reach it.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
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
    /// Number of partitions among which ids are divided, each with a thread of its own. May change with each start. Default: half the processors,
    /// at least 1, at most 8.
    #[arg(long, value_name = "N")]
    partitions: Option<NonZeroU8>,
    /// Where the admin API listens.
    #[arg(long, value_name = "ADDR", default_value = ADMIN, value_parser = host_port)]
    pub(crate) admin: String,
    /// The bearer token of the admin API, 8 or more characters. Required when it listens on an address that the network reaches.
    #[arg(
        long,
        value_name = "TEXT",
        env = "STATEFUN_ADMIN_TOKEN",
        hide_env_values = true
    )]
    admin_token: Option<String>,
}

impl HostArgs {
    /// The admin API as these options have it.
    ///
    /// # Errors
    /// If the token is none.
    pub(crate) fn admin_config(&self) -> anyhow::Result<AdminConfig> {
        let mut admin = AdminConfig::default();
        admin.listen.clone_from(&self.admin);
        admin.token = token(self.admin_token.as_deref(), "--admin-token")?;
        Ok(admin)
    }

    /// Sets the number of partitions.
    pub(crate) const fn divide(&self, config: &mut RuntimeConfig) {
        if let Some(partitions) = self.partitions {
            config.partitions = partitions;
        }
    }

    /// Runs until a signal or a failure ends it. `explained` says what an error of the start means.
    pub(crate) async fn run(
        &self,
        builder: RuntimeBuilder,
        as_json: bool,
        explained: impl FnOnce(StartError) -> anyhow::Error,
    ) -> anyhow::Result<ExitCode> {
        let builder = if self.ephemeral {
            builder.ephemeral()
        } else {
            builder.data(&self.data)
        };
        let stop = signals::stop().context("signals cannot be received")?;
        let runtime = builder.start().await.map_err(explained)?;
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
}
