//! `statefun check --connect` asks Kinesis, says what fits and what does not, and changes nothing there.

use std::collections::VecDeque;

use super::client::Client;
use super::front::{Front, error};
use super::server::shared;
use crate::support::asked::{ask, has};

/// A service at `address`, with credentials from the environment.
fn module(address: &str, streams: &[&str]) -> String {
    let streams: String = streams
        .iter()
        .map(|stream| format!("    - {{stream: {stream}, valueType: io.statefun.types/string, targets: [statefun.samples/greeter]}}\n"))
        .collect();
    let place = format!(
        "  awsRegion: {{type: specific, id: us-east-1}}
  awsCredentials: {{type: default}}
  clientConfigProperties: [{{aws.endpoint: 'http://{address}/'}}]
"
    );
    format!(
        "kind: io.statefun.kinesis.v1/ingress
spec:
  id: test/in
{place}  streams:
{streams}---
kind: statefun.samples.v1/functions
spec: {{}}
---
kind: io.statefun.kinesis.v1/egress
spec:
  id: test/out
{place}"
    )
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_for_streams_reads_them_and_changes_nothing() {
    let Some(server) = shared("kinesis check --connect") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let (stream, missing) = (client.stream("asked", 3).await, client.name("missing"));
    client.text(&stream, "a", "one").await;
    let module = module(&front.address.to_string(), &[&stream, &missing]);
    for _ in 0..2 {
        let (code, answers) = tokio::task::block_in_place(|| ask(&module, &KEYS));
        assert_eq!(code, 0, "{answers:#?}");
        let text = format!("the stream {stream} has 3 shards and can be read");
        has(&answers, "fine", "spec.streams", &text);
        // Asking has not made it.
        let text = format!("the stream {missing} does not exist: the ingress waits for it");
        has(&answers, "warning", "spec.streams", &text);
        has(&answers, "fine", "spec.awsRegion", "knows the credentials");
        has(&answers, "unknown", "spec", "shows with the first record");
        assert_eq!(answers.len(), 4, "{answers:#?}");
    }
    let calls: Vec<String> = front.faults().calls.keys().cloned().collect();
    let asked = [
        "GetRecords",
        "GetShardIterator",
        "ListShards",
        "ListStreams",
    ];
    assert_eq!(calls, asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_access_refused_credentials_and_a_service_that_is_away_are_faults() {
    let Some(server) = shared("kinesis check --connect rights") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let (one, two) = (client.stream("one", 1).await, client.stream("two", 1).await);
    let module = module(&front.address.to_string(), &[&one, &two]);
    let check = || tokio::task::block_in_place(|| ask(&module, &KEYS));
    let next = |call: &'static str, answers: &[(u16, serde_json::Value)]| {
        let answers = VecDeque::from(answers.to_vec());
        front.faults().answers.insert(call, answers);
    };

    let text = "User a is not authorized to perform: kinesis:GetRecords";
    let denied = error("AccessDeniedException", text);
    next("GetRecords", std::slice::from_ref(&denied));
    // Whoever may not list streams may write nevertheless.
    next("ListStreams", std::slice::from_ref(&denied));
    let (code, answers) = check();
    assert_eq!(code, 1, "{answers:#?}");
    has(&answers, "fault", "spec.streams", text);
    has(&answers, "fine", "spec.streams", &two);
    has(&answers, "fine", "spec.awsRegion", "knows the credentials");

    let unknown = error("UnrecognizedClientException", "the token is invalid");
    next("ListShards", &vec![unknown.clone(); 4]);
    next("ListStreams", &vec![unknown; 4]);
    let (code, answers) = check();
    assert_eq!(code, 1, "{answers:#?}");
    let refused = |(verdict, path, text): &(String, String, String)| {
        verdict == "fault" && path == "spec.awsCredentials" && text.contains("token is invalid")
    };
    assert_eq!(answers.len(), 2, "{answers:#?}");
    assert!(answers.iter().all(refused), "{answers:#?}");

    front.faults().is_away = true;
    let (code, answers) = check();
    assert_eq!(code, 1, "{answers:#?}");
    assert_eq!(answers.len(), 2, "{answers:#?}");
    has(
        &answers,
        "fault",
        "spec.awsRegion",
        "no answer from Kinesis",
    );
}

#[test]
fn a_process_without_credentials_is_a_fault_with_its_reason() {
    let module = module("127.0.0.1:1", &["any"]);
    let variables = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ACCESS_KEY_ID", ""),
        ("HOME", "/nonexistent"),
    ];
    let (code, answers) = ask(&module, &variables);
    assert_eq!(code, 1, "{answers:#?}");
    has(&answers, "fault", "spec.awsCredentials", "credentials");
}
