//! Helpers of the integration tests; none of them is for users.

#[cfg(all(
    any(feature = "kafka", feature = "kinesis"),
    feature = "cli",
    feature = "testing"
))]
pub(crate) mod asked;
#[cfg(feature = "http-client")]
pub(crate) mod canned;
#[cfg(feature = "pipeline")]
pub(crate) mod destination;
#[cfg(all(
    any(feature = "kafka", feature = "kinesis"),
    feature = "cli",
    feature = "testing"
))]
pub(crate) mod example;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod flink;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod front;
#[cfg(feature = "http")]
pub(crate) mod functions;
#[cfg(all(feature = "cli", feature = "testing"))]
pub(crate) mod installed;
#[cfg(all(feature = "http", feature = "lambda"))]
pub(crate) mod lambda_api;
#[cfg(all(feature = "lambda", feature = "runtime", feature = "testing"))]
mod lambda_url;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod ledger;
#[cfg(feature = "runtime")]
pub(crate) mod link;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod load;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod made;
#[cfg(all(
    any(feature = "kafka", feature = "kinesis"),
    feature = "cli",
    feature = "testing"
))]
pub(crate) mod numbered;
#[cfg(feature = "runtime")]
pub(crate) mod ports;
#[cfg(all(feature = "cli", feature = "testing"))]
pub(crate) mod process;
#[cfg(all(feature = "pipeline", feature = "testing"))]
pub(crate) mod proxy;
#[cfg(any(feature = "http", feature = "http-client"))]
pub(crate) mod raw;
#[cfg(feature = "testing")]
pub(crate) mod reply;
#[cfg(all(
    any(feature = "kafka", feature = "kinesis"),
    feature = "cli",
    feature = "testing"
))]
pub(crate) mod scene;
#[cfg(all(feature = "cli", feature = "testing"))]
pub(crate) mod scripted;
#[cfg(all(feature = "cli", feature = "testing"))]
pub(crate) mod sdk_servers;
#[cfg(all(feature = "runtime", feature = "testing"))]
pub(crate) mod seeds;
#[cfg(feature = "http")]
pub(crate) mod served;
#[cfg(feature = "http-client")]
pub(crate) mod tls;
#[cfg(feature = "runtime")]
pub(crate) mod until;

/// This program as another process that does one thing: an ignored test, named by its whole path.
#[cfg(any(
    all(feature = "http", feature = "lambda"),
    all(feature = "runtime", feature = "testing")
))]
pub(crate) fn another_self(test: &str) -> tokio::process::Command {
    let program = std::env::current_exe().unwrap();
    let mut process = tokio::process::Command::new(program);
    process.args([test, "--exact", "--ignored", "--nocapture"]);
    process
}
