//! Kind: nothing looks like success. The data folder of a running runtime was removed: files without a name go on taking bytes and syncs, so
//! sends were answered 202, `/health` said ok, and all of it was gone with the process. The same with one file of it.
//!
//! Right is: within seconds the store closes with the cause, `/health` fails, and nothing more is acknowledged.

use std::fs;
use std::path::Path;

use ::http::Method;
use futures_util::future::join_all;
use stateful_functions::runtime::Runtime;

use crate::runtime::{SAMPLES, Started, admin, text};
use crate::support::until::until;

/// Starts a runtime, has `remove` take something away, and returns what `/health` says then.
async fn without(remove: impl Fn(&Path)) -> String {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("data");
    let started = Started::with(Runtime::builder().data(&folder).admin(admin()), SAMPLES).await;
    let send = async || {
        let sent = started
            .post("/send/statefun.samples/counter/a", &[], "1")
            .await;
        (sent.status.as_u16(), text(&sent).to_owned())
    };
    let health = async || {
        started
            .request(Method::GET, "admin api", "/health", &[], "")
            .await
    };
    assert_eq!(send().await.0, 202);
    assert_eq!(health().await.status, 200);
    remove(&folder);
    let failing = until("health to fail", async || {
        let health = health().await;
        let told = text(&health);
        // A slow disk fails it, too.
        (health.status == 503 && told.contains("while it was in use")).then(|| told.to_owned())
    });
    let failing = failing.await;
    let refused = until("requests to be refused with the cause", async || {
        let (status, told) = send().await;
        assert_ne!(status, 202, "nothing more is acknowledged");
        (status == 503 && told.contains("while it was in use")).then_some(told)
    });
    refused.await;
    // What is in memory and in open files can still be saved.
    let export = started
        .request(Method::GET, "admin api", "/api/state/export", &[], "")
        .await;
    assert!(
        text(&export).contains("statefun.samples/counter/a"),
        "{}",
        text(&export)
    );
    failing
}

#[tokio::test]
async fn a_folder_that_is_removed_under_a_runtime_closes_it_with_the_cause() {
    let told = without(|folder| fs::remove_dir_all(folder).unwrap()).await;
    assert!(told.contains("was removed while it was in use"), "{told}");
    assert!(told.contains("statefun state export"), "{told}");
}

#[tokio::test]
async fn a_file_that_the_next_start_needs_is_missed_like_the_folder() {
    let removed = ["log-0000000001", "folder", "lock"].map(async |name: &'static str| {
        let told = without(move |folder| fs::remove_file(folder.join(name)).unwrap()).await;
        assert!(
            told.contains(&format!("file {name} was removed from data folder")),
            "{told}"
        );
    });
    join_all(removed).await;
}

#[tokio::test]
async fn a_folder_that_is_moved_away_and_replaced_is_missed() {
    let told = without(|folder| {
        fs::remove_dir_all(folder).unwrap();
        fs::create_dir(folder).unwrap();
        for name in ["log-0000000001", "folder", "lock"] {
            fs::write(folder.join(name), "").unwrap();
        }
    });
    assert!(
        told.await
            .contains("was replaced by another one while it was in use")
    );
}
