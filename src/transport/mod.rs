//! The handler on hyper and on `lambda_runtime`, the pooled HTTP client, and what MQTT clients have in common: thin shells around bytes.
//! `exchange` decides how requests are answered, for all transports.

#[cfg(any(feature = "http", feature = "http-client"))]
pub mod http;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "mqtt")]
pub(crate) mod mqtt;

#[cfg(any(feature = "http", feature = "lambda"))]
mod exchange;
