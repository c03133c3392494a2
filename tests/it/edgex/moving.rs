//! What a service on the real SDK left waiting in its database is taken over and sent, and is given back and sent by the SDK again.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ::http::{HeaderValue, Method};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use super::command;
use super::database::Postgres;
use crate::support::destination::{Destination, Reaction};
use crate::support::made::{Lack, build, fetch, made_once, skipped};
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::until::until;

/// As in EdgeX's own makefiles: the SDK refuses a database newer than the version given here.
const VERSION: &str =
    "-X github.com/edgexfoundry/app-functions-sdk-go/v4/internal.SDKVersion=4.0.0";

/// The program of `tests/edgex`.
fn sdk() -> Result<PathBuf, Lack> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/edgex");
    let inputs = ["go.mod", "go.sum", "main.go"].map(|file| source.join(file));
    let folder = made_once("edgex-service", &inputs, |folder| {
        let go = |arguments: &[&str]| {
            let mut go = Command::new("go");
            go.args(arguments).current_dir(&source);
            go
        };
        fetch(&mut go(&["mod", "download"]))?;
        let program = folder.join("service");
        build(go(&["build", "-ldflags", VERSION, "-o"]).arg(program));
        Ok(())
    })?;
    Ok(folder.join("service"))
}

/// One configuration for both.
struct Scene {
    folder: tempfile::TempDir,
    destination: Destination,
    postgres: Postgres,
    sdk: PathBuf,
    port: u16,
}

impl Scene {
    async fn new(test: &str) -> Option<Self> {
        let sdk = sdk().map_err(|lack| skipped(test, &lack)).ok()?;
        let postgres = Postgres::start(test).await?;
        let destination = Destination::start().await;
        destination.react(Reaction::status(503));
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            destination,
            postgres,
            sdk,
            port: free_port(),
        };
        scene.configure("1h");
        Some(scene)
    }

    fn res(&self) -> PathBuf {
        self.folder.path().join("res")
    }

    /// Writes the configuration, with this time between two attempts.
    fn configure(&self, interval: &str) {
        let (url, port) = (self.destination.url("/{devicename}"), self.port);
        let database = self.postgres.port;
        let text = format!(
            "Writable:
  LogLevel: ERROR
  StoreAndForward: {{Enabled: true, RetryInterval: {interval}, MaxRetryCount: 9}}
  InsecureSecrets:
    DB: {{SecretName: postgres, SecretData: {{username: postgres, password: none}}}}
  Telemetry: {{Interval: 0s}}
  Pipeline:
    ExecutionOrder: FilterByDeviceName, Transform, HTTPExport
    Functions:
      FilterByDeviceName: {{Parameters: {{DeviceNames: '^d1$,^d2$,^d3$,^d4$', FilterOut: 'false'}}}}
      Transform: {{Parameters: {{Type: json}}}}
      HTTPExport: {{Parameters: {{Method: post, Url: '{url}', MimeType: '', PersistOnError: 'true'}}}}
Service: {{HealthCheckInterval: 10s, Host: 127.0.0.1, Port: {port}, ServerBindAddr: 127.0.0.1, MaxRequestSize: 0, RequestTimeout: 30s}}
HttpServer: {{Protocol: http}}
Trigger: {{Type: http}}
MessageBus: {{Disabled: true}}
Database: {{Type: postgres, Host: 127.0.0.1, Port: {database}, Timeout: 5s}}
"
        );
        let profile = self.res().join("test");
        fs::create_dir_all(&profile).unwrap();
        fs::write(profile.join("configuration.yaml"), text).unwrap();
    }

    /// The service on the SDK, once it listens.
    async fn sdk(&self) -> Running {
        let child = Command::new(&self.sdk)
            .args(["-s", "-cd"])
            .arg(self.res())
            .args(["-p", "test"])
            .env("EDGEX_SECURITY_SECRET_STORE", "false")
            .env("EDGEX_DBNAME", "postgres")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let running = Running(child.unwrap());
        until("a service that listens", async || {
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        })
        .await;
        running
    }

    /// The service here, with the data in that folder.
    fn ours(&self, data: &str) -> Process {
        let folder = self.folder.path().join(data);
        Process::of(command(&self.res(), "test", &folder))
    }

    /// Gives an event of a device to the service at `base`; the answer's status.
    async fn trigger(&self, base: &str, device: &str) -> u16 {
        let event = serde_json::json!({"apiVersion": "v3", "requestId": "82eb2e26-0f24-48aa-ae4c-de9dac3fb9bc", "event": {
            "apiVersion": "v3", "id": "82eb2e26-0f24-48aa-ae4c-de9dac3fb9bc", "deviceName": device, "profileName": "p",
            "sourceName": "s", "origin": 1, "readings": [{
                "id": "82eb2e26-0f24-48aa-ae4c-de9dac3fb9bd", "origin": 1, "deviceName": device, "resourceName": "r",
                "profileName": "p", "valueType": "Int8", "value": "1",
            }],
        }});
        let url = format!("{base}/api/v3/trigger").parse().unwrap();
        let mut request = HttpRequest::new(Method::POST, url);
        request.body = event.to_string().into();
        let json = HeaderValue::from_static("application/json");
        request.headers.insert("content-type", json);
        let http = HttpClient::new(HttpClientConfig::default()).unwrap();
        let answer = http.send(request, Duration::from_secs(60)).await.unwrap();
        answer.status.as_u16()
    }

    /// What `statefun pipeline <verb>` tells.
    fn moved(&self, verb: &str, data: &str) -> String {
        let folder = self.folder.path().join(data);
        let output = Command::new(env!("CARGO_BIN_EXE_statefun"))
            .args(["pipeline", verb, "-cd"])
            .arg(self.res())
            .args(["-p", "test", "--data"])
            .arg(folder.join("data"))
            .env("EDGEX_DBNAME", "postgres")
            .output()
            .unwrap();
        let warnings = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{warnings}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The paths of the requests so far, which name the device.
    fn devices(&self) -> Vec<String> {
        let received = self.destination.received();
        let path = |head: &str| head.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut devices: Vec<_> = received.iter().map(|request| path(&request.head)).collect();
        devices.sort();
        devices.dedup();
        devices
    }
}

/// The service on the SDK; killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sdk_left_waiting_is_sent_here_and_what_waits_here_is_sent_by_the_sdk() {
    let test = "edgex::moving::what_the_sdk_left_waiting_is_sent_here_and_what_waits_here_is_sent_by_the_sdk";
    let Some(scene) = Scene::new(test).await else {
        return;
    };
    // The SDK cannot send three events, and stores them.
    let sdk = scene.sdk().await;
    let base = format!("http://127.0.0.1:{}", scene.port);
    for device in ["d1", "d2", "d3"] {
        assert_eq!(scene.trigger(&base, device).await, 422);
    }
    assert_eq!(scene.devices(), ["/d1", "/d2", "/d3"]);
    drop(sdk);

    let told = scene.moved("import-edgex", "one");
    assert_eq!(told.trim(), "3 taken over, 0 left");
    let told = scene.moved("import-edgex", "one");
    assert_eq!(told.trim(), "0 taken over, 0 left", "nothing is left");

    // They wait for the next attempt, after one interval, and the attempt that the SDK made counts.
    scene.destination.forget();
    let mut ours = scene.ours("one");
    let admin = crate::faults::stage_gone::Api::of(&ours, "admin api");
    let waiting = async |attempts: u64| {
        until("three that wait", async || {
            let page = admin.get("/api/deliveries?state=awaiting").await;
            let items = page["items"].as_array().unwrap().clone();
            let all = items.iter().filter(|item| item["attempt"] == attempts);
            let all: Vec<String> = all
                .map(|item| item["address"].as_str().unwrap().to_owned())
                .collect();
            (all.len() == 3).then_some(all)
        })
        .await
    };
    for address in waiting(1).await {
        admin.act(&address, "retry").await;
    }
    waiting(2).await;
    assert_eq!(scene.devices(), ["/d1", "/d2", "/d3"]);
    assert_eq!(ours.terminate(), Some(0));

    // One more waits that the SDK has never seen.
    let mut ours = scene.ours("two");
    let base_of_ours = ours.url("edgex service");
    assert_eq!(scene.trigger(&base_of_ours, "d4").await, 202);
    assert_eq!(ours.terminate(), Some(0));

    assert_eq!(
        scene.moved("export-edgex", "one").trim(),
        "3 given back, 0 left"
    );
    assert_eq!(
        scene.moved("export-edgex", "one").trim(),
        "0 given back, 0 left"
    );
    assert_eq!(
        scene.moved("export-edgex", "two").trim(),
        "1 given back, 0 left"
    );

    // The SDK knows its own versions of all four, and sends them.
    scene.configure("1s");
    scene.destination.react(Reaction::status(200));
    scene.destination.forget();
    let _sdk = scene.sdk().await;
    scene
        .destination
        .until(|received| received.len() >= 4)
        .await;
    assert_eq!(scene.devices(), ["/d1", "/d2", "/d3", "/d4"]);
}
