//! Configurations at a URL.

use std::process::Command;

use super::{Service, command, refused, text};
use crate::support::destination::{Destination, Reaction};
use crate::support::process::Process;

const PRIVATE: &[u8] = b"
Trigger: {Type: http}
Writable:
  Pipeline:
    TargetType: raw
    ExecutionOrder: SetResponseData
    Functions: {SetResponseData: {Parameters: {ResponseContentType: text/plain}}}
";
const COMMON: &[u8] = b"
all-services: {Service: {RequestTimeout: 7s}}
app-services: {Service: {StartupMsg: from a URL}}
";

/// A server with both files.
async fn files() -> Destination {
    let server = Destination::start().await;
    server.react_with(|request| {
        let body = match request.head.split(' ').nth(1) {
            Some("/private.yaml") => PRIVATE,
            Some("/common.yaml") => COMMON,
            _ => return Reaction::status(404),
        };
        Reaction::Answer(200, "", body.to_vec())
    });
    server
}

/// A service whose files are at these URLs.
fn at(folder: &std::path::Path, private: &str, common: &str) -> Command {
    let mut command = command(folder, "", folder);
    command.args(["-cf", private, "-cc", common]);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_runs_from_a_private_and_a_common_file_at_urls() {
    let server = files().await;
    let folder = tempfile::tempdir().unwrap();
    let (private, common) = (server.url("/private.yaml"), server.url("/common.yaml"));
    let command = at(folder.path(), &private, &common);
    let process = tokio::task::spawn_blocking(move || Process::of(command));
    let service = Service {
        process: process.await.unwrap(),
        folder,
    };
    let answer = service.post("/api/v3/trigger", &[], "hey").await;
    assert_eq!(text(&answer), "hey");
    let shown = service.get("/api/v3/config").await;
    assert!(
        text(&shown).contains(r#""RequestTimeout":"7s""#),
        "{}",
        text(&shown)
    );
    assert!(text(&shown).contains("from a URL"), "{}", text(&shown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_without_a_file_or_without_an_answer_stops_the_start_and_is_named() {
    let server = files().await;
    let folder = tempfile::tempdir().unwrap();
    let (private, missing) = (server.url("/private.yaml"), server.url("/nope.yaml"));
    let command = at(folder.path(), &private, &missing);
    let (told, code) = tokio::task::spawn_blocking(|| refused(command))
        .await
        .unwrap();
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&missing) && told.contains("404"), "{told}");

    server.react(Reaction::Hang);
    let mut command = at(folder.path(), &private, &missing);
    command.env("EDGEX_FILE_URI_TIMEOUT", "50ms");
    let (told, code) = tokio::task::spawn_blocking(|| refused(command))
        .await
        .unwrap();
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&private), "{told}");

    let mut command = at(folder.path(), &private, &missing);
    command.env("EDGEX_FILE_URI_TIMEOUT", "soon");
    let (told, _) = tokio::task::spawn_blocking(|| refused(command))
        .await
        .unwrap();
    assert!(told.contains("EDGEX_FILE_URI_TIMEOUT"), "{told}");
}
