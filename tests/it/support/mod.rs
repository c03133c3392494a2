//! Helpers of the integration tests; none of them is for users.

#[cfg(feature = "http-client")]
pub(crate) mod canned;
pub(crate) mod raw;
