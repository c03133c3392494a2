//! Helpers of the integration tests; none of them is for users.

#[cfg(feature = "http-client")]
pub(crate) mod canned;
#[cfg(feature = "pipeline")]
pub(crate) mod destination;
#[cfg(feature = "http")]
#[allow(
    dead_code,
    reason = "not every test with the real runtime is in every build"
)]
pub(crate) mod flink;
#[cfg(feature = "http")]
pub(crate) mod functions;
#[cfg(all(feature = "http", feature = "lambda"))]
pub(crate) mod lambda_api;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod ledger;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod load;
#[cfg(all(feature = "cli", feature = "testing"))]
pub(crate) mod made;
#[cfg(all(feature = "cli", feature = "testing"))]
pub(crate) mod process;
#[cfg(any(feature = "http", feature = "http-client"))]
pub(crate) mod raw;
#[cfg(feature = "testing")]
pub(crate) mod reply;
#[cfg(all(feature = "cli", feature = "testing"))]
pub(crate) mod scripted;
#[cfg(all(feature = "cli", feature = "testing"))]
pub(crate) mod sdk_servers;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod seeds;
#[cfg(feature = "runtime")]
pub(crate) mod until;
