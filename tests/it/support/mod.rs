//! Helpers of the integration tests; none of them is for users.

#[cfg(feature = "http-client")]
pub(crate) mod canned;
#[cfg(feature = "pipeline")]
pub(crate) mod destination;
#[cfg(feature = "http")]
pub(crate) mod functions;
#[cfg(all(feature = "http", feature = "lambda"))]
pub(crate) mod lambda_api;
#[cfg(feature = "cli")]
pub(crate) mod process;
pub(crate) mod raw;
