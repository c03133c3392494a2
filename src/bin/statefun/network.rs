//! Proxies and certificate authorities from the environment: the only place that reads them.

use std::path::Path;

use anyhow::Context;
use stateful_functions::files::MAX_PEM_BYTES;
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, Network, Proxies};

use crate::input;

/// Reads `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, in lower case too, and `SSL_CERT_FILE`.
pub(crate) fn of_environment() -> anyhow::Result<Network> {
    let http = variable("HTTP_PROXY")?;
    let https = variable("HTTPS_PROXY")?;
    let except = variable("NO_PROXY")?;
    let mut network = Network::default();
    let value =
        |variable: &Option<(String, String)>| variable.as_ref().map(|(_, value)| value.clone());
    // One after the other, so that an error names its variable.
    for (variable, proxies) in [
        (
            &http,
            Proxies::from_variables(value(&http).as_deref(), None, None),
        ),
        (
            &https,
            Proxies::from_variables(None, value(&https).as_deref(), None),
        ),
        (
            &except,
            Proxies::from_variables(None, None, value(&except).as_deref()),
        ),
    ] {
        let name = variable.as_ref().map_or("", |(name, _)| name.as_str());
        proxies.with_context(|| format!("environment variable {name}"))?;
    }
    network.proxies = Proxies::from_variables(
        value(&http).as_deref(),
        value(&https).as_deref(),
        value(&except).as_deref(),
    )?;
    network.public_authorities_pem = authorities()?;
    Ok(network)
}

/// The certificates that replace those of the public authorities.
fn authorities() -> anyhow::Result<Option<Vec<u8>>> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let place = || format!("environment variable SSL_CERT_FILE, {}", path.display());
    let pem = input::file(Path::new(&path), MAX_PEM_BYTES).with_context(place)?;
    let mut config = HttpClientConfig::default();
    config.public_authorities_pem = Some(pem.clone());
    if pem.trim_ascii().is_empty() {
        anyhow::bail!("{}: no certificate found", place());
    }
    HttpClient::new(config).with_context(place)?;
    Ok(Some(pem))
}

/// The name by which a variable is set, and its value; `None` when it is unset or empty.
fn variable(name: &str) -> anyhow::Result<Option<(String, String)>> {
    for name in [name.to_owned(), name.to_ascii_lowercase()] {
        match std::env::var(&name) {
            Ok(value) if value.is_empty() => {}
            Ok(value) => return Ok(Some((name, value))),
            Err(std::env::VarError::NotPresent) => {}
            Err(err) => return Err(err).with_context(|| format!("environment variable {name}")),
        }
    }
    Ok(None)
}
