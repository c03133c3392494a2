//! The handler on hyper and on `lambda_runtime`, and the pooled HTTP client: thin shells around bytes.

#[cfg(any(feature = "http", feature = "http-client"))]
pub mod http;
