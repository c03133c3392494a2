//! `statefun pipeline run`: an application service of EdgeX, from its configuration directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use stateful_functions::edgex::{
    Configuration, ConfigurationFiles, ConfigurationOptions, EdgexVariables, duration,
};
use stateful_functions::module::ModuleFile;
use stateful_functions::runtime::{Runtime, RuntimeConfig};
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpRequest, Network,
};

use crate::host::HostArgs;
use crate::{environment, input, network, output};

/// Larger files are not configurations.
const MAX_BYTES: u64 = 16 << 20;
/// How long a configuration at a URL is waited for.
const URL_WITHIN: Duration = Duration::from_secs(15);

/// Run an application service of EdgeX from its configuration directory, with all durable data in one folder.
///
/// Reads the files that app-service-configurable reads, with the same flags, profiles and environment variables. Prints a line per listener, and
/// `ready` when all of them listen. SIGTERM, SIGINT (ctrl-c) and SIGHUP stop it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  statefun pipeline run -cd res -p http-export
  statefun pipeline run -cd res -p mqtt-export -cc common.yaml --data /var/lib/export
  EDGEX_PROFILE=http-export SERVICE_PORT=59720 statefun pipeline run -cd res")]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Has no effect: there is no configuration provider.
    #[arg(long = "configProvider", value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    config_provider: Option<String>,
    /// Has no effect: there is no registry.
    #[arg(long, short)]
    registry: bool,
    /// Has no effect: there is no configuration provider.
    #[arg(long, short)]
    overwrite: bool,
    /// Has no effect: the version of core services is not checked.
    #[arg(long = "skipVersionCheck", short = 's')]
    skip_version_check: bool,
    #[command(flatten)]
    host: HostArgs,
}

impl ServiceArgs {
    /// The flags that are given and have no effect.
    fn without_effect(&self) -> Vec<&'static str> {
        let flags = [
            (self.config_provider.is_some(), "-cp"),
            (self.registry, "-r"),
            (self.overwrite, "-o"),
            (self.skip_version_check, "-s"),
        ];
        let given = flags.into_iter().filter(|(is_given, _)| *is_given);
        given.map(|(_, flag)| flag).collect()
    }
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// -cd: the folder with a folder for each profile. Default `./res`.
    #[arg(long = "configDir", short = 'c', value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// -cf: the name of the private file, or its URL. Default `configuration.yaml`.
    #[arg(long = "configFile", value_name = "FILE")]
    config_file: Option<String>,
    /// The profile.
    #[arg(long, short, value_name = "NAME")]
    profile: Option<String>,
    /// -cc: the file with the common settings, or its URL. Default: EdgeX's own, which are built in.
    #[arg(long = "commonConfig", value_name = "FILE")]
    common_config: Option<String>,
    /// -sk: the name of the service, in which `<profile>` is replaced. Default `app-<profile>`.
    #[arg(long = "serviceKey", value_name = "KEY")]
    service_key: Option<String>,
    /// All hosts are localhost.
    #[arg(long, short)]
    dev: bool,
    /// -rsh: the host of the service, that of the systems it uses, and the address to listen on.
    #[arg(long = "remoteServiceHosts", value_name = "LOCAL,REMOTE,BIND")]
    remote_service_hosts: Option<String>,
}

impl FileArgs {
    fn options(&self) -> ConfigurationOptions {
        let mut options = ConfigurationOptions::default();
        options.config_dir.clone_from(&self.config_dir);
        options.config_file.clone_from(&self.config_file);
        options.profile.clone_from(&self.profile);
        options.common_config.clone_from(&self.common_config);
        options.service_key.clone_from(&self.service_key);
        options.is_dev = self.dev;
        options
            .remote_service_hosts
            .clone_from(&self.remote_service_hosts);
        options
    }

    /// The configuration, whose warnings are told.
    pub(super) async fn configuration(
        &self,
        variables: &EdgexVariables,
        network: &Network,
    ) -> anyhow::Result<Configuration> {
        let configuration = configuration(&self.options(), variables, network).await?;
        for warning in configuration.warnings() {
            output::note(format_args!("warning: {warning}"));
        }
        Ok(configuration)
    }
}

pub(crate) async fn run(args: &ServiceArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let admin = args.host.admin_config()?;
    let ignored = args.without_effect();
    if !ignored.is_empty() {
        let (flags, verb) = (
            ignored.join(", "),
            if ignored.len() == 1 { "has" } else { "have" },
        );
        output::note(format_args!(
            "warning: {flags} {verb} no effect: there is neither a registry nor a configuration provider, and no version is checked"
        ));
    }
    let (variables, network) = (variables(), network::of_environment()?);
    let configuration = args.files.configuration(&variables, &network).await?;
    for name in configuration.overridden() {
        tracing::info!(name, "a setting comes from the environment");
    }
    let mut config = RuntimeConfig::default();
    args.host.divide(&mut config);
    let builder = Runtime::builder()
        .config(config)
        .network(network)
        .environment(environment::of_process()?)
        .edgex(&configuration)?
        .admin(admin);
    args.host.run(builder, as_json, anyhow::Error::from).await
}

/// The variables of the environment that are text.
pub(super) fn variables() -> EdgexVariables {
    let variables = std::env::vars_os();
    let texts = variables
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    texts.collect::<BTreeMap<_, _>>()
}

async fn configuration(
    options: &ConfigurationOptions,
    variables: &EdgexVariables,
    network: &Network,
) -> anyhow::Result<Configuration> {
    let places = options.places(variables);
    let private = text(&places.private, variables, network).await;
    let private = private.with_context(|| profiles(&places.private))?;
    let common = match &places.common {
        Some(place) => Some((place, text(place, variables, network).await?)),
        None => None,
    };
    let private = ModuleFile {
        name: &places.private,
        text: &private,
    };
    let common = common
        .as_ref()
        .map(|(name, text)| ModuleFile { name, text });
    let read = Configuration::read(private, common, options, variables)?;
    // What is at a URL is read once, and then nothing is watched.
    let mut all = places.common.iter().chain([&places.private]);
    if all.any(|place| place.contains("://")) {
        return Ok(read);
    }
    let files = ConfigurationFiles::new(
        &places.private,
        places.common.as_ref().map(PathBuf::from),
        options.clone(),
        variables.clone(),
    );
    let common = common.map(|common| common.text.to_owned());
    Ok(read.watching(files.as_read(private.text, common)))
}

/// The text at a path or a URL.
async fn text(
    place: &str,
    variables: &EdgexVariables,
    network: &Network,
) -> anyhow::Result<String> {
    let bytes = if place.contains("://") {
        fetched(place, variables, network).await?
    } else {
        let read = input::file(Path::new(place), MAX_BYTES);
        read.with_context(|| format!("{place} cannot be read"))?
    };
    String::from_utf8(bytes).with_context(|| format!("{place} is not text in UTF-8"))
}

async fn fetched(
    url: &str,
    variables: &EdgexVariables,
    network: &Network,
) -> anyhow::Result<Vec<u8>> {
    const WITHIN: &str = "EDGEX_FILE_URI_TIMEOUT";
    let within = match variables.get(WITHIN) {
        Some(text) => duration(text).map_err(|err| anyhow::anyhow!("{WITHIN}: {err}"))?,
        None => URL_WITHIN,
    };
    let client = HttpClient::new(HttpClientConfig::default().network(network))?;
    let request = HttpRequest::new(http::Method::GET, url.parse()?);
    let answer = client.send(request, within).await?;
    anyhow::ensure!(
        answer.status.is_success(),
        "GET {url} was answered with {}",
        answer.status
    );
    Ok(answer.body.to_vec())
}

/// What to do when there is no private file: the profiles that there are.
fn profiles(private: &str) -> String {
    let file = Path::new(private);
    let profiles = file.parent().and_then(Path::parent).and_then(|folder| {
        let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
        let is_profile =
            |folder: &Path| folder.join(file.file_name().unwrap_or_default()).is_file();
        let mut names: Vec<String> = entries
            .filter(|entry| is_profile(&entry.path()))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        Some(names.join(", ")).filter(|names| !names.is_empty())
    });
    let known = profiles.map_or_else(String::new, |names| format!("; profiles there: {names}"));
    format!(
        "there is no configuration: name its folder with -cd and a profile in it with -p{known}"
    )
}
