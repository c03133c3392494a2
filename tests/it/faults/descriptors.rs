//! Kind: no reserve for recovery, here of file descriptors. As many clients as the process had descriptors kept the log from opening its
//! next file, calls from connecting, and operators from reaching the admin API.

use std::process::Command;
use std::time::Duration;

use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::runtime::SAMPLES;
use crate::support::another_self;
use crate::support::functions::{call, functions};
use crate::support::process::Process;
use crate::support::raw::RawMessage;
use crate::support::served::served;

/// `command`, with this many descriptors.
fn limited(command: &Command, descriptors: u32) -> Command {
    let mut limited = Command::new("sh");
    limited
        .arg("-c")
        .arg(format!("ulimit -n {descriptors}; exec \"$@\""))
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args())
        .env_remove("STATEFUN_ADMIN_TOKEN")
        .env("STATEFUN_LOG", "error");
    limited
}

#[tokio::test]
async fn clients_leave_descriptors_for_the_log_for_calls_and_for_the_admin_api() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.yaml");
    std::fs::write(&module, SAMPLES).unwrap();
    let data = folder.path().join("data");
    let process = Process::of(limited(&Process::command(&module, &data), 96));
    let address = process.url("http ingress").replace("http://", "");
    let mut crowd = Vec::new();
    for head in ["", "POST /send"].into_iter().cycle().take(140) {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        crowd.push(connection);
    }
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let ask = async |request: HttpRequest| {
        let answer = client.send(request, Duration::from_secs(60)).await.unwrap();
        (
            answer.status.as_u16(),
            String::from_utf8(answer.body.to_vec()).unwrap(),
        )
    };
    let url =
        |listener: &str, path: &str| format!("{}{path}", process.url(listener)).parse().unwrap();
    let path = "/call/statefun.samples/counter/a";
    for total in ["5", "10"] {
        let mut request = HttpRequest::new(::http::Method::POST, url("http ingress", path));
        request.body = "5".into();
        assert_eq!(ask(request).await, (200, total.to_owned()));
    }
    let get = |path| HttpRequest::new(::http::Method::GET, url("admin api", path));
    assert_eq!(ask(get("/health")).await.0, 200);
    let (_, metrics) = ask(get("/metrics")).await;
    assert!(
        metrics.contains("statefun_http_connections_limit 48\n"),
        "{metrics}"
    );
    drop(crowd);
}

/// Not a test: a process that runs out of descriptors, and gets some back.
#[test]
#[ignore = "started by other tests"]
fn process_that_runs_out_of_descriptors() {
    let executor = tokio::runtime::Runtime::new().unwrap();
    executor.block_on(async {
        let address = served(functions()).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        let body = call("counter");
        let head = format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), &body].concat();
        idle.write_all(&request).await.unwrap();
        assert_eq!(RawMessage::read(&mut idle).await.unwrap().status(), 200);
        let mut files: Vec<_> =
            std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        files.pop();
        // It takes the last descriptor, and finds none at the other side.
        let mut late = TcpStream::connect(address).await.unwrap();
        late.write_all(&request).await.unwrap();
        // The idle connection is closed, so that the new one is answered although no descriptors are left.
        let mut end = Vec::new();
        idle.read_to_end(&mut end).await.unwrap();
        assert!(end.is_empty());
        assert_eq!(RawMessage::read(&mut late).await.unwrap().status(), 200);
        drop((idle, files));
        let mut last = TcpStream::connect(address).await.unwrap();
        last.write_all(&request).await.unwrap();
        assert_eq!(RawMessage::read(&mut last).await.unwrap().status(), 200);
    });
}

/// payjoin/rust-payjoin#1608: after one EMFILE a server no longer accepted connections.
#[tokio::test]
async fn a_server_without_descriptors_closes_idle_connections_and_hears_again() {
    let process = another_self("faults::descriptors::process_that_runs_out_of_descriptors");
    let output = limited(process.as_std(), 64).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}"
    );
}
