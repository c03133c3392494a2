//! The other routes of a service, its settings from all layers, and what it refuses at the start.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{Service, command, refused, text};
use crate::support::destination::Destination;

const SERVICE: &str = r#"
Trigger: {Type: http}
Service: {StartupMsg: "it runs"}
MySection: {ApiToken: abc, Rate: 3}
Writable:
  StoreAndForward: {Enabled: true, RetryInterval: 1s}
  InsecureSecrets:
    crm: {SecretName: crm, SecretData: {user: abc}}
  Pipeline:
    TargetType: raw
    ExecutionOrder: HTTPExport
    Functions:
      HTTPExport:
        Parameters: {Method: post, Url: "{URL}", MimeType: text/plain, PersistOnError: "true", HeaderName: authorization, SecretName: crm, SecretValueKey: token}
"#;

fn json_of(answer: &stateful_functions::transport::http::client::HttpResponse) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|err| panic!("{err} in {}", text(answer)))
}

#[tokio::test]
async fn the_routes_of_edgex_answer_and_show_no_secret() {
    let service = Service::start(SERVICE);
    let ping = json_of(&service.get("/api/v3/ping").await);
    assert_eq!(
        (&ping["apiVersion"], &ping["serviceName"]),
        (&json!("v3"), &json!("app-test"))
    );
    assert!(
        ping["timestamp"].as_str().unwrap().contains(" UTC 2"),
        "{ping}"
    );
    let version = json_of(&service.get("/api/v3/version").await);
    assert_eq!(version["sdk_version"], env!("CARGO_PKG_VERSION"));
    let answer = service.get("/api/v3/config").await;
    assert!(!text(&answer).contains("abc"), "{}", text(&answer));
    let config = json_of(&answer);
    assert_eq!(config["config"]["Service"]["RequestTimeout"], "5s");
    assert_eq!(
        config["config"]["CustomConfiguration"]["MySection"]["Rate"],
        3
    );
    assert_eq!(service.get("/healthz").await.status.as_u16(), 200);
    let metrics = service.get("/metrics").await;
    assert!(
        text(&metrics).contains("statefun_store_writable 1"),
        "{}",
        text(&metrics)
    );
    let unknown = service.get("/api/v3/pong").await;
    assert_eq!(unknown.status.as_u16(), 404);
}

#[tokio::test]
async fn pl_37_data_waits_for_its_secret_and_is_delivered_once_it_is_there() {
    let destination = Destination::start().await;
    let mut service = Service::start(&SERVICE.replace("{URL}", &destination.url("/")));
    let kept = service.post("/api/v3/trigger", &[], "data").await;
    assert_eq!(kept.status.as_u16(), 202, "{}", text(&kept));
    let request = |name: &str, data: Value| {
        json!({"apiVersion": "v3", "requestId": "r", "secretName": name, "secretData": data})
            .to_string()
    };
    for wrong in [
        "{".to_owned(),
        request("", json!([{"key": "token", "value": "abc"}])),
        request("crm", json!([])),
        request("crm", json!([{"key": "token"}])),
        request("crm", json!([{"value": "abc"}])),
    ] {
        let answer = service.post("/api/v3/secret", &[], &wrong).await;
        assert_eq!(answer.status.as_u16(), 400, "{wrong}");
        assert!(!text(&answer).contains("abc"), "{}", text(&answer));
    }
    let secret = request("crm", json!([{"key": "token", "value": "abc"}]));
    let taken = service.post("/api/v3/secret", &[], &secret).await;
    assert_eq!(taken.status.as_u16(), 201);
    assert_eq!(
        json_of(&taken),
        json!({"apiVersion": "v3", "requestId": "r", "statusCode": 201})
    );
    destination.until(|received| received.len() == 1).await;
    let received = destination.received();
    assert_eq!(received[0].header("authorization"), Some("abc"));
    assert_eq!(received[0].text(), "data");
    assert_eq!(service.process.terminate(), Some(0));
}

#[tokio::test]
async fn secrets_are_kept_in_their_file_if_there_is_one() {
    let destination = Destination::start().await;
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("secrets.json");
    let text_of = SERVICE.replace("{URL}", &destination.url("/")).replace(
        "StartupMsg:",
        &format!("SecretsFile: '{}', StartupMsg:", file.display()),
    );
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let service = Service::start(&text_of);
    let secret = r#"{"secretName": "crm", "secretData": [{"key": "token", "value": "abc"}]}"#;
    let taken = service.post("/api/v3/secret", &[], secret).await;
    assert_eq!(taken.status.as_u16(), 201, "{}", text(&taken));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let sent = service.post("/api/v3/trigger", &[], "data").await;
    assert_eq!(sent.status.as_u16(), 200, "{}", text(&sent));
    assert_eq!(
        destination.received()[0].header("authorization"),
        Some("abc")
    );
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

#[test]
fn all_faults_of_a_configuration_are_reported_at_once_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let res = folder.path().join("res");
    fs::create_dir_all(res.join("one")).unwrap();
    let path = res.join("one/configuration.yaml");
    fs::write(
        &path,
        "Trigger: {Type: http, StoredStatus: 1}\nWritable:\n  Pipeline:\n    ExecutionOrder: Nope\n",
    )
    .unwrap();
    let mut wrong = command(&res, "one", folder.path());
    wrong.env("SERVICE_PORT", "many").args(["-r", "-cp=keeper"]);
    let (told, code) = refused(wrong);
    assert_eq!(code, Some(1), "{told}");
    for text in [
        "warning: -cp, -r have no effect",
        "the configuration has 3 faults",
        "environment variable SERVICE_PORT: `Service.Port` is a whole number",
        "configuration.yaml:1:37: `Trigger.StoredStatus`: 1 is neither 202 nor 422",
        "configuration.yaml:4:21: `Writable.Pipeline.ExecutionOrder`: function `Nope` is not in `Functions`",
    ] {
        assert!(told.contains(text), "{text}\nin {told}");
    }
    let (told, code) = refused(command(&res, "two", folder.path()));
    assert_eq!(code, Some(1));
    assert!(told.contains("profiles there: one"), "{told}");
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn the_common_file_the_environment_and_the_flags_lie_over_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let res = folder.path().join("res");
    fs::create_dir_all(res.join("one")).unwrap();
    fs::write(res.join("one/configuration.yaml"), SERVICE).unwrap();
    let common = folder.path().join("common.yaml");
    fs::write(
        &common,
        "all-services: {Service: {RequestTimeout: 7s, Host: nowhere.invalid}}\n",
    )
    .unwrap();
    let mut command = command(&res, "nope", folder.path());
    command
        .arg("-cc")
        .arg(&common)
        .args(["-sk", "mine-<profile>", "-d"])
        .env("EDGEX_PROFILE", "one")
        .env(
            "WRITABLE_PIPELINE_FUNCTIONS_HTTPEXPORT_PARAMETERS_URL",
            "http://other.invalid/",
        );
    let process = crate::support::process::Process::of(command);
    let service = Service { process, folder };
    let config = json_of(&service.get("/api/v3/config").await);
    assert_eq!(config["serviceName"], "mine-one");
    let config = &config["config"];
    assert_eq!(config["Service"]["RequestTimeout"], "7s");
    assert_eq!(config["Service"]["Host"], "localhost");
    let parameters = &config["Writable"]["Pipeline"]["Functions"]["HTTPExport"]["Parameters"];
    assert_eq!(parameters["Url"], "http://other.invalid/");
}
