//! The handler on hyper and on `lambda_runtime`, and the pooled HTTP client: thin shells around bytes.
//! `exchange` decides how requests are answered, for all transports.

#[cfg(any(feature = "http", feature = "http-client"))]
pub mod http;
#[cfg(feature = "lambda")]
pub mod lambda;

#[cfg(any(feature = "http", feature = "lambda"))]
mod exchange;
