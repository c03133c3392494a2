//! Helpers of the integration tests; none of them is for users.

#[cfg(feature = "http-client")]
pub(crate) mod canned;
#[cfg(any(feature = "http", feature = "lambda"))]
pub(crate) mod functions;
#[cfg(any(feature = "http", feature = "http-client"))]
pub(crate) mod raw;
