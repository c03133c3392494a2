//! One random workload on every home of functions: the same commands leave the same state and the same records everywhere.
//!
//! A seed makes trees of commands (`generator`) in the language of `tests/functions/README.md`, and a `model` predicts what they leave
//! behind. A home is fed with them, its function server and its runtime are killed in between, and in the end every address and every
//! record has to be as predicted, and nothing may be left waiting.
//!
//! - `WORKLOAD_SEED=7 cargo test --features full workload_on` plays seed 7 again, on all homes; a failure says which test and seed.
//! - `WORKLOAD_SEEDS=10 WORKLOAD_COMMANDS=100000 cargo test --features full workload_on -- --nocapture` is the long mode: ten seeds
//!   in a row from `WORKLOAD_SEED` (default 1) on, of this many commands each (default 20,000).

pub(crate) mod found;
mod generator;
pub(crate) mod homes;
mod interpreter;
pub(crate) mod model;
mod play;
pub(crate) mod program;
mod schedule;

use std::io::Write as _;
use std::path::Path;

use homes::Home;
use homes::embedded::Embedded;
use homes::flink::OnFlink;
use homes::servers::Server;

use crate::support::sdk_servers::{Language, SdkServer};
use crate::support::seeds::number;

/// Plays every seed on a home of its own. Where `start` gives none it has said why.
async fn on<H: Home>(test: &str, start: impl AsyncFn(u64) -> Option<H>) {
    let first = number("WORKLOAD_SEED").unwrap_or(1);
    let commands = number("WORKLOAD_COMMANDS").unwrap_or(20_000);
    for seed in first..first + number("WORKLOAD_SEEDS").unwrap_or(1) {
        let Some(mut home) = start(seed).await else {
            return;
        };
        match play::play(&mut home, seed, commands).await {
            // The test runner would keep what `println!` says.
            Ok(figures) => drop(writeln!(std::io::stderr(), "{test}, {figures}")),
            Err(differences) => panic!(
                "{test}, seed {seed}: home and model differ:\n  {}\nreplay: WORKLOAD_SEED={seed} WORKLOAD_COMMANDS={commands} cargo test --features full {test}",
                differences.join("\n  ")
            ),
        }
    }
}

/// The embedded binary with functions with an official SDK.
async fn with_sdk(test: &str, language: Language) {
    if language.is_there(test) {
        let server =
            |marks: &Path| -> Box<dyn Server> { Box::new(SdkServer::start(language, marks)) };
        on(test, async |_| Some(Embedded::with_server(server))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_66_workload_on_flink_with_rust() {
    let test = "sf_66_workload_on_flink_with_rust";
    on(test, async |seed| {
        OnFlink::start(1 + (seed % 2) as u32).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_66_workload_on_the_binary_with_rust() {
    let test = "sf_66_workload_on_the_binary_with_rust";
    on(test, async |_| Some(Embedded::with_rust())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_66_workload_on_the_runtime_in_process() {
    let test = "sf_66_workload_on_the_runtime_in_process";
    on(test, async |_| Some(Embedded::in_process())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_sf_66_workload_on_the_binary_with_python() {
    with_sdk(
        "sf_65_sf_66_workload_on_the_binary_with_python",
        Language::Python,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_sf_66_workload_on_the_binary_with_go() {
    with_sdk("sf_65_sf_66_workload_on_the_binary_with_go", Language::Go).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_sf_66_workload_on_the_binary_with_javascript() {
    let test = "sf_65_sf_66_workload_on_the_binary_with_javascript";
    with_sdk(test, Language::JavaScript).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_sf_66_workload_on_the_binary_with_java() {
    let test = "sf_65_sf_66_workload_on_the_binary_with_java";
    with_sdk(test, Language::Java).await;
}
