//! Kind: no reserve for recovery, here of disk space. A pipeline's destination was down until the disk was full. Then nothing could be recorded any more,
//! not even a success: 9 of 2,685 events arrived, and the runtime could not be started again.
//!
//! Right is: intake stops while there is space for what must still be written; everything is delivered, and the log is deleted with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use serde_json::Value;
use stateful_functions::runtime::{IntakeError, Runtime, RuntimeConfig, samples};
use stateful_functions::storage::{
    Disk as _, LogSettings, Rows, Store, Syncer, Table, Write, open,
};
use stateful_functions::testing::faulty::FaultyDisk;
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use stateful_functions::{Address, MessageBuilder, TypeName};

use crate::support::destination::{Destination, Reaction};
use crate::support::made::skipped;
use crate::support::process::Process;
use crate::support::until::until;

const STATE: Table = Table::new(2);
const MEGABYTE: u64 = 1 << 20;

fn settings(reserve_bytes: u64) -> LogSettings {
    let mut settings = LogSettings::default();
    settings.overlay_bytes = MEGABYTE as usize;
    settings.log_bytes = 4 * MEGABYTE;
    settings.segment_bytes = MEGABYTE;
    settings.reserve_bytes = reserve_bytes;
    settings.background = false;
    settings
}

fn opened(disk: &FaultyDisk, reserve_bytes: u64) -> (Store, Syncer) {
    open(Arc::new(disk.clone()), settings(reserve_bytes)).unwrap()
}

/// A start on the same disk after a kill, with as much room.
fn killed(disk: &FaultyDisk) -> FaultyDisk {
    let room = disk.room().unwrap().free;
    let after = disk.kill();
    after.set_room(Some(room));
    after
}

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

#[test]
fn intake_stops_while_outcomes_checkpoints_and_a_start_still_fit() {
    let disk = FaultyDisk::default();
    disk.set_room(Some(48 * MEGABYTE));
    let (store, mut syncer) = opened(&disk, 4 * MEGABYTE);
    let mut accepted = 0;
    while store.health().low_room.is_none() {
        store.stage(vec![Write::put(STATE, key(accepted), vec![7; 10_000])]);
        syncer.sync().unwrap();
        let done = store.checkpoint();
        let free = disk.room().unwrap().free;
        assert!(done.is_ok(), "{accepted} events, {free} free: {done:?}");
        accepted += 1;
    }
    assert!(accepted > 500, "{accepted}");
    assert!(store.pressure());
    let told = store.health().low_room.unwrap();
    assert!(
        told.contains("faulty-disk") && told.contains("free some space"),
        "{told}"
    );

    // Failed attempts continue for a while, and each writes a little.
    for number in 0..accepted {
        store.stage(vec![Write::put(STATE, key(1_000_000), key(number))]);
        syncer.sync().unwrap();
        store.checkpoint().unwrap();
    }
    drop((store, syncer));
    let disk = killed(&disk);
    let (store, mut syncer) = opened(&disk, 4 * MEGABYTE);
    for number in 0..accepted {
        assert!(
            store.get(STATE, &key(number)).unwrap().is_some(),
            "{number}"
        );
        store.stage(vec![Write::delete(STATE, key(number))]);
        syncer.sync().unwrap();
        store.checkpoint().unwrap();
    }
    let health = store.health();
    assert!(
        !health.disk_full && health.checkpoint_failure.is_none(),
        "{health:?}"
    );
    let logs = disk.list().unwrap();
    let logs = logs.iter().filter(|name| name.starts_with("log-")).count();
    assert!(logs <= 6, "{logs} log files");
}

#[test]
fn the_reserve_is_given_up_for_a_round_and_for_a_start_on_a_full_disk() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = opened(&disk, MEGABYTE);
    for number in 0..200 {
        store.stage(vec![Write::put(STATE, key(number), vec![7; 10_000])]);
        syncer.sync().unwrap();
    }
    assert!(store.checkpoint().unwrap());
    assert!(disk.list().unwrap().contains(&"reserve".to_owned()));
    drop((store, syncer));

    let full = disk.kill();
    full.set_room(Some(0));
    let (store, mut syncer) = opened(&full, MEGABYTE);
    assert!(!full.list().unwrap().contains(&"reserve".to_owned()));
    store.stage(vec![Write::delete(STATE, key(0))]);
    syncer.sync().unwrap();
    assert!(store.pressure(), "nothing more is taken in");

    let full = disk.kill();
    let (store, mut syncer) = opened(&full, MEGABYTE);
    full.set_room(Some(0));
    // Larger than what is left of the log file.
    store.stage(vec![Write::put(STATE, key(1), vec![7; 500_000])]);
    syncer.sync().unwrap();
    assert!(!full.list().unwrap().contains(&"reserve".to_owned()));
}

#[test]
fn damaged_tables_are_reported_as_damage_and_the_reserve_is_kept() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = opened(&disk, MEGABYTE);
    for number in 0..200 {
        store.stage(vec![Write::put(STATE, key(number), vec![7; 10_000])]);
        syncer.sync().unwrap();
    }
    assert!(store.checkpoint().unwrap());
    drop((store, syncer));
    for offset in 0..5 {
        disk.flip("tables.redb", offset);
    }
    // It logged that the disk is full, and removed the reserve.
    let told = open(Arc::new(disk.clone()), settings(MEGABYTE)).unwrap_err();
    assert!(
        told.to_string().contains("tables.redb is damaged"),
        "{told}"
    );
    assert!(disk.list().unwrap().contains(&"reserve".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_request_that_meets_a_full_disk_gets_an_answer_that_says_so() {
    let disk = FaultyDisk::default();
    let mut config = RuntimeConfig::default();
    config.storage = settings(0);
    let runtime = Runtime::builder()
        .functions(samples::functions().unwrap())
        .disk(Arc::new(disk.clone()))
        .config(config)
        .start()
        .await
        .unwrap();
    disk.set_room(Some(0));
    let greeter = Address::new(TypeName::new("statefun.samples/greeter"), "ann");
    let message = MessageBuilder::to(greeter).value("x".repeat(2_000_000));
    // It hung for 30 s.
    let sent = tokio::time::timeout(Duration::from_secs(25), runtime.send(&message));
    let err = sent.await.expect("an answer").unwrap_err();
    assert!(matches!(err, IntakeError::NotWritable { .. }), "{err}");
    disk.set_room(None);
    runtime.shutdown().await;
}

/// A file system of its own, in memory; gone with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted(megabytes: u32) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "statefun-test"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(folder)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(err) => Err(format!("mount: {err}")),
        }
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn module(folder: &Path, destination: &Destination) -> PathBuf {
    let text = format!(
        "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.pipelines.v1/pipeline
spec:
  name: events
  stages:
    - http-export: {{url: '{}', retry: {{every: 2s, attempts: endless, maxAge: endless}}}}
",
        destination.url("/")
    );
    let path = folder.join("module.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Sends an event of 10 KB; its status.
async fn send(http: &HttpClient, runtime: &Process, number: u64) -> u16 {
    let url = format!(
        "{}/send/pipelines/events/{number}",
        runtime.url("http ingress")
    );
    let body = serde_json::json!({"number": number, "filler": "x".repeat(10_000)});
    let mut request = HttpRequest::post(url.parse().unwrap(), body.to_string());
    let json = HeaderValue::from_static("application/json");
    request.headers.insert("content-type", json);
    let answer = http.send(request, Duration::from_secs(60)).await.unwrap();
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_small_disk_has_taken_in_arrives_after_the_outage_and_a_kill() {
    let disk = match SmallDisk::mounted(100) {
        Ok(disk) => disk,
        Err(lack) => {
            skipped("faults::disk_full::what_a_small_disk_has_taken_in", &lack);
            return;
        }
    };
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let folder = tempfile::tempdir().unwrap();
    let module = module(folder.path(), &destination);
    let mut runtime = Process::run(&module, &disk.data());
    let http = HttpClient::new(HttpClientConfig::default()).unwrap();
    let mut accepted = BTreeSet::new();
    for number in 0.. {
        match send(&http, &runtime, number).await {
            202 => accepted.insert(number),
            // The disk is behind for a moment.
            429 => continue,
            status => {
                assert_eq!(status, 503);
                break;
            }
        };
    }
    assert!(accepted.len() > 500, "{}", accepted.len());
    runtime.kill();
    let runtime = Process::run(&module, &disk.data());
    destination.forget();
    destination.react(Reaction::status(200));
    let arrived = || -> BTreeSet<u64> {
        let received = destination.received();
        let bodies = received
            .iter()
            .filter_map(|request| serde_json::from_slice::<Value>(&request.body).ok());
        bodies.filter_map(|body| body["number"].as_u64()).collect()
    };
    let all = async || arrived().is_superset(&accepted).then_some(());
    until("all that was accepted", all).await;
    let next = u64::MAX;
    let taken = async || (send(&http, &runtime, next).await == 202).then_some(());
    until("intake to go on", taken).await;
}
