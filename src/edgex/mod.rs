//! Application services of EdgeX: a configuration directory of app-service-configurable runs as it is.
//!
//! `configuration` reads the files into checked values, without I/O. `service` binds what they describe to a runtime: the pipelines, the
//! trigger (`mqtt`, `custom_trigger`), and the service's HTTP routes (`rest`). `application` is what an application adds in Rust: functions
//! with their context, triggers, routes, and publishers. `docs/edgex.md` is the guide for users. May use every part except the binary.

mod application;
mod bus;
#[cfg_attr(
    not(feature = "mqtt"),
    allow(
        dead_code,
        unused_imports,
        reason = "the triggers of MQTT use the rest"
    )
)]
mod configuration;
mod custom_trigger;
#[cfg_attr(
    not(feature = "mqtt"),
    allow(dead_code, reason = "the triggers of MQTT use the rest")
)]
mod envelope;
mod functions;
mod message;
#[cfg(feature = "mqtt")]
mod mqtt;
mod publisher;
mod reload;
mod rest;
mod routes;
mod secrets_file;
mod service;
mod services;
#[cfg(feature = "postgres")]
mod store;
mod telemetry;

pub use application::{Application, ApplicationError, ConfigurationChanges};
pub use configuration::{
    Configuration, ConfigurationOptions, EdgexVariables, InvalidConfiguration, MissingSetting,
    PlacesOfFiles,
};
pub use custom_trigger::{
    CustomTrigger, TriggerError, TriggerInlet, TriggerMessage, TriggerResponse,
};
pub use functions::{
    AppContext, AppData, AppFunction, Functions, Outcome, PublishError, Unresolved,
};
pub use message::MessageContext;
pub use publisher::BackgroundPublisher;
pub use reload::ConfigurationFiles;
pub use routes::Authentication;
#[cfg(feature = "postgres")]
pub use store::{
    InvalidObject, Left, MovedObjects, ObjectStore, StoreError, StoredObject, export_stored,
    import_stored,
};

/// Reads a time such as `15s` or `1m30s`.
///
/// # Errors
/// If the text is not one.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::time::span::parse(text).map_err(|invalid| invalid.to_string())
}
