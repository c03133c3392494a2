//! Application services of EdgeX: a configuration directory of app-service-configurable runs as it is.
//!
//! `configuration` reads the files into checked values, without I/O. `service` binds what they describe to a runtime: the pipelines, the
//! trigger, and the service's HTTP routes (`rest`). `docs/edgex.md` is the guide for users. May use every part except the binary.

#[cfg_attr(
    not(feature = "mqtt"),
    allow(
        dead_code,
        unused_imports,
        reason = "the triggers of MQTT use the rest"
    )
)]
mod configuration;
#[cfg(feature = "mqtt")]
mod envelope;
#[cfg(feature = "mqtt")]
mod mqtt;
mod rest;
mod secrets_file;
mod service;

pub use configuration::{
    Configuration, ConfigurationOptions, EdgexVariables, InvalidConfiguration, MissingSetting,
    PlacesOfFiles,
};

/// Reads a time such as `15s` or `1m30s`.
///
/// # Errors
/// If the text is not one.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::time::span::parse(text).map_err(|invalid| invalid.to_string())
}
