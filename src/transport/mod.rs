//! The handler on hyper and on `lambda_runtime`, and the pooled HTTP client: thin shells around bytes.
//! What a request is answered is decided once, for all transports, in `exchange`.

#[cfg(any(feature = "http", feature = "http-client"))]
pub mod http;
#[cfg(feature = "lambda")]
pub mod lambda;

#[cfg(any(feature = "http", feature = "lambda"))]
mod exchange;
