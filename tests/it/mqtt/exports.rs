//! Pipelines that export to a broker: `mqtt-export`, and `MQTTExport` of EdgeX.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use stateful_functions::runtime::Runtime;

use super::broker::{Broker, certificate};
use crate::faults::hidden_attempts::{get, started};
use crate::pipelines::edgex::event;
use crate::runtime::Started;
use crate::support::destination::{Destination, Reaction};
use crate::support::process::Process;
use crate::support::until::until;

const INGRESS: &str = "kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0'}
---
";

/// A pipeline `p` with these stages.
fn pipeline(stages: &Value) -> String {
    let spec = json!({"name": "p", "stages": stages});
    let document = json!({"kind": "statefun.pipelines.v1/pipeline", "spec": spec});
    format!("{INGRESS}{document}\n")
}

/// A pipeline `p` of EdgeX with one function.
fn edgex(parameters: &Value) -> String {
    let functions = json!({"MQTTExport": {"Parameters": parameters}});
    let section = json!({
        "Pipeline": {"ExecutionOrder": "MQTTExport", "Functions": functions},
        "StoreAndForward": {"Enabled": true, "RetryInterval": "1s", "MaxRetryCount": 0},
    });
    let spec = json!({"name": "p", "edgex": section});
    let document = json!({"kind": "statefun.pipelines.v1/pipeline", "spec": spec});
    format!("{INGRESS}{document}\n")
}

/// An export to `out` that tries again each second.
fn export(broker: &Broker, more: &Value) -> Value {
    let retry = json!({"every": "1s", "attempts": "endless"});
    let mut export =
        json!({"url": broker.url(), "topic": "out", "clientId": "exporter", "retry": retry});
    for (key, value) in more.as_object().unwrap() {
        export[key] = value.clone();
    }
    json!({"mqtt-export": export})
}

async fn send(started: &Started, text: &str) {
    let headers = [("content-type", "text/plain")];
    let sent = started.post("/send/pipelines/p/a", &headers, text).await;
    assert_eq!(sent.status, 202);
}

/// The deliveries that have not ended, once `suits` holds for them.
async fn deliveries(started: &Started, suits: impl Fn(&str) -> bool) -> String {
    until("the deliveries", async || {
        let listed = get(started, "/api/deliveries").await;
        suits(&listed).then_some(listed)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_published_to_the_topic_that_is_made_of_them_with_every_qos() {
    for qos in 0..3 {
        let Some(broker) = Broker::start("mqtt export topics").await else {
            return;
        };
        broker.make_session("reader", "#", 2);
        let stage = export(&broker, &json!({"topic": "press/{id}", "qos": qos}));
        let started = started(Runtime::builder(), &pipeline(&json!([stage]))).await;
        for id in 0..3 {
            let body = json!({"id": id}).to_string();
            let headers = [("content-type", "application/json")];
            let sent = started.post("/send/pipelines/p/a", &headers, &body).await;
            assert_eq!(sent.status, 202);
        }
        let mut taken = broker.take("reader", "#", 3);
        taken.sort();
        let expected = [0, 1, 2].map(|id| format!("press/{id} {{\"id\":{id}}}"));
        assert_eq!(taken, expected, "qos {qos}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edgex_section_publishes_events_retained_under_its_client_id_and_its_will_after_a_kill()
{
    let Some(broker) = Broker::start("mqtt export of edgex").await else {
        return;
    };
    broker.make_session("watcher", "gone", 2);
    let parameters = json!({
        "BrokerAddress": broker.url().replace("mqtt:", "tcp:"), "Topic": "edgex/{devicename}", "SecretName": "",
        "AuthMode": "none", "ClientId": "gateway", "Qos": "1", "Retain": "true", "PersistOnError": "true",
        "WillEnabled": "true", "WillTopic": "gone", "WillPayload": "gateway", "WillQos": "1",
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.yaml");
    fs::write(&file, edgex(&parameters)).unwrap();
    let mut runtime = Process::run(&file, &folder.path().join("data"));
    accept(&runtime, &event().to_string()).await;
    let taken = broker.take("later", "edgex/#", 1);
    assert!(taken[0].starts_with("edgex/D {"), "{taken:?}");
    broker.logs("New client connected from 127.0.0.1", 1).await;
    broker.logs("as gateway", 1).await;
    runtime.kill();
    assert_eq!(broker.take("watcher", "gone", 1), ["gone gateway"]);
}

/// Sends to the pipeline of a process.
async fn accept(runtime: &Process, body: &str) {
    use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
    let url = format!("{}/send/pipelines/p/a", runtime.url("http ingress"));
    let mut request = HttpRequest::post(url.parse().unwrap(), body.to_owned());
    let json = ::http::HeaderValue::from_static("application/json");
    request.headers.insert("content-type", json);
    let http = HttpClient::new(HttpClientConfig::default()).unwrap();
    let minute = std::time::Duration::from_secs(60);
    let sent = http.send(request, minute).await.unwrap();
    assert_eq!(sent.status.as_u16(), 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pl_24_records_wait_for_a_broker_that_is_away_through_kill_9_and_all_arrive_when_it_is_back()
 {
    let Some(broker) = Broker::start("mqtt export, broker away").await else {
        return;
    };
    broker.make_session("reader", "out", 2);
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (
        folder.path().join("module.yaml"),
        folder.path().join("data"),
    );
    fs::write(&file, pipeline(&json!([export(&broker, &json!({}))]))).unwrap();
    let mut runtime = Process::run(&file, &data);
    accept(&runtime, "0").await;
    assert_eq!(broker.take("reader", "out", 1), ["out 0"]);
    broker.stop();
    for n in 1..20 {
        accept(&runtime, &n.to_string()).await;
        if n % 5 == 0 {
            runtime.kill();
            runtime = Process::run(&file, &data);
        }
    }
    broker.restart().await;
    let mut taken = Vec::new();
    // A record that was under way when the process was killed may come twice.
    while taken.len() < 19 {
        taken.extend(broker.take("reader", "out", 1));
        taken.sort();
        taken.dedup();
    }
    let mut expected: Vec<String> = (1..20).map(|n| format!("out {n}")).collect();
    expected.sort();
    assert_eq!(taken, expected);
    drop(runtime);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_22_a_broker_that_acknowledges_nothing_has_not_got_the_record() {
    let Some(broker) = Broker::start("mqtt export, silent broker").await else {
        return;
    };
    broker.make_session("reader", "out", 2);
    let more = json!({"timeout": "1s", "circuit": false});
    let module = pipeline(&json!([export(&broker, &more)]));
    let started = started(Runtime::builder(), &module).await;
    send(&started, "one").await;
    assert_eq!(broker.take("reader", "out", 1), ["out one"]);
    // It takes bytes, and does nothing with them.
    broker.pause();
    send(&started, "two").await;
    let waits = deliveries(&started, |listed| listed.contains("timeout")).await;
    assert!(waits.contains("no acknowledgement in time"), "{waits}");
    broker.go_on();
    assert_eq!(broker.take("reader", "out", 1), ["out two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_exports_with_one_broker_and_client_id_share_a_connection_which_is_opened_again() {
    let Some(broker) = Broker::start("mqtt export, shared connection").await else {
        return;
    };
    broker.make_session("reader", "#", 2);
    let stages = json!([
        export(&broker, &json!({"topic": "a"})),
        export(&broker, &json!({"topic": "b", "qos": 2}))
    ]);
    let started = started(Runtime::builder(), &pipeline(&stages)).await;
    send(&started, "one").await;
    assert_eq!(broker.take("reader", "#", 2), ["a one", "b one"]);
    broker.logs("as exporter (", 1).await;
    broker.stop();
    broker.restart().await;
    send(&started, "two").await;
    assert_eq!(broker.take("reader", "#", 2), ["a two", "b two"]);
    let log = fs::read_to_string(broker.path("log")).unwrap();
    assert_eq!(
        log.matches("as exporter (").count(),
        2,
        "one for each broker's life"
    );
}

fn secret(folder: &Path, key: &str, text: &str) {
    let path = folder.join("mqtt");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join(key), text).unwrap();
}

fn set_password(broker: &Broker, password: &str) {
    let file = broker.path("users");
    fs::File::create(&file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new("mosquitto_passwd");
    let set = command.arg("-b").arg(&file).args(["gateway", password]);
    assert!(set.output().unwrap().status.success());
    broker.reload();
}

/// A pipeline whose secrets are files in a folder.
fn with_secrets(stage: &Value, folder: &Path) -> String {
    let spec = json!({"name": "p", "secrets": {"directory": folder}, "stages": [stage]});
    let document = json!({"kind": "statefun.pipelines.v1/pipeline", "spec": spec});
    format!("{INGRESS}{document}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pl_37_records_wait_for_a_secret_and_a_changed_one_is_used_for_the_next_record() {
    let settings = "allow_anonymous false\npassword_file FOLDER/users\n";
    let Some(broker) = Broker::start_with("mqtt export secrets", settings).await else {
        return;
    };
    set_password(&broker, "first");
    let folder = tempfile::tempdir().unwrap();
    let auth = json!({"auth": "usernamepassword", "secret": "mqtt", "retain": true});
    let module = with_secrets(&export(&broker, &auth), folder.path());
    let started = started(Runtime::builder(), &module).await;
    send(&started, "one").await;
    deliveries(&started, |listed| {
        listed.contains("no source of secrets has")
    })
    .await;
    secret(folder.path(), "username", "gateway");
    secret(folder.path(), "password", "wrong");
    let refused = deliveries(&started, |listed| listed.contains("refuse")).await;
    assert!(!refused.contains("wrong"), "{refused}");
    secret(folder.path(), "password", "first");
    broker.logs("Received PUBLISH from exporter", 1).await;
    set_password(&broker, "second");
    secret(folder.path(), "password", "second");
    send(&started, "two").await;
    broker.logs("Received PUBLISH from exporter", 2).await;
    broker.logs("as exporter (", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_comes_from_a_secret_and_the_brokers_own_is_checked_unless_told_otherwise()
 {
    let settings = format!(
        "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        certificate("authority.crt"),
        certificate("server.crt"),
        certificate("server.key"),
    );
    let Some(broker) = Broker::start_with("mqtt export certificates", &settings).await else {
        return;
    };
    let url = format!("mqtts://localhost:{}", broker.port);
    let folder = tempfile::tempdir().unwrap();
    for (key, file) in [("clientcert", "client.crt"), ("clientkey", "client.key")] {
        let text = fs::read_to_string(certificate(file)).unwrap();
        secret(folder.path(), key, &text);
    }
    let auth = json!({"url": url, "auth": "clientcert", "secret": "mqtt"});
    let module = with_secrets(&export(&broker, &auth), folder.path());
    let well = started(Runtime::builder(), &module).await;
    send(&well, "one").await;
    let unknown = deliveries(&well, |listed| listed.contains("certificate")).await;
    assert!(unknown.contains("tls"), "{unknown}");
    let authority = fs::read_to_string(certificate("authority.crt")).unwrap();
    secret(folder.path(), "cacert", &authority);
    broker.logs("Received PUBLISH from exporter", 1).await;
    drop(well);

    fs::remove_file(folder.path().join("mqtt/cacert")).unwrap();
    let auth = json!({"url": url, "auth": "clientcert", "secret": "mqtt", "skipVerify": true, "clientId": "careless"});
    let module = with_secrets(&export(&broker, &auth), folder.path());
    let careless = started(Runtime::builder(), &module).await;
    send(&careless, "two").await;
    broker.logs("Received PUBLISH from careless", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_opened_before_the_first_record_and_again_when_it_is_lost_if_that_is_asked_for()
 {
    let Some(broker) = Broker::start("mqtt export, connected early").await else {
        return;
    };
    let more = json!({"preConnect": {"retries": 5, "interval": "1s"}, "autoReconnect": true, "maxReconnectInterval": "1s"});
    let module = pipeline(&json!([export(&broker, &more)]));
    let _started = started(Runtime::builder(), &module).await;
    broker.logs("as exporter (", 1).await;
    broker.stop();
    broker.restart().await;
    broker.logs("as exporter (", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn isolated_exports_deliver_to_each_destination_whatever_the_others_do() {
    let Some(broker) = Broker::start("mqtt export, isolated").await else {
        return;
    };
    broker.make_session("reader", "out", 2);
    broker.stop();
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let last = Destination::start().await;
    let http = |url: String| {
        let retry = json!({"every": "1s", "attempts": "endless"});
        json!({"http-export": {"url": url, "retry": retry, "onFailure": "isolate"}})
    };
    let stages = json!([
        export(&broker, &json!({"onFailure": "isolate"})),
        http(destination.url("/")),
        {"set": {"passed": true}},
        http(last.url("/")),
    ]);
    let started = started(Runtime::builder(), &pipeline(&stages)).await;
    let headers = [("content-type", "application/json")];
    let sent = started
        .post("/send/pipelines/p/a", &headers, r#"{"n":1}"#)
        .await;
    assert_eq!(sent.status, 202);
    let got = until("the last destination", async || {
        last.bodies().first().cloned()
    })
    .await;
    assert_eq!(got, r#"{"n":1,"passed":true}"#);
    destination.react(Reaction::status(200));
    until("the second destination", async || {
        destination
            .bodies()
            .contains(&r#"{"n":1}"#.to_owned())
            .then_some(())
    })
    .await;
    broker.restart().await;
    assert_eq!(broker.take("reader", "out", 1), [r#"out {"n":1}"#]);
    deliveries(&started, |listed| !listed.contains("awaiting")).await;
    assert_eq!(last.bodies().len(), 1, "nothing went on twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_export_sends_to_the_topic_that_it_names_by_an_egress_of_the_module() {
    let Some(broker) = Broker::start("kafka export by an egress").await else {
        return;
    };
    broker.make_session("reader", "#", 2);
    let url = broker.url();
    let section = json!({
        "TargetType": "raw", "ExecutionOrder": "KafkaExport, MQTTExport",
        "Functions": {
            "KafkaExport": {"Parameters": {"Egress": "test/out", "Topic": "orders/{shop}", "Key": "{shop}"}},
            "MQTTExport": {"Parameters": {
                "BrokerAddress": url, "Topic": "after", "SecretName": "", "AuthMode": "none", "ClientId": "after", "Qos": "2"}},
        },
    });
    let egress = json!({"kind": "statefun.mqtt.v1/egress", "spec": {"id": "test/out", "url": url}});
    let spec = json!({"name": "p", "edgex": section});
    let pipeline = json!({"kind": "statefun.pipelines.v1/pipeline", "spec": spec});
    let module = format!("{INGRESS}{egress}\n---\n{pipeline}\n");
    let started = started(Runtime::builder(), &module).await;
    let headers = [("content-type", "application/json")];
    let body = r#"{"shop":"north"}"#;
    let sent = started.post("/send/pipelines/p/a", &headers, body).await;
    assert_eq!(sent.status, 202);
    let mut taken = broker.take("reader", "#", 2);
    taken.sort();
    assert_eq!(
        taken,
        [format!("after {body}"), format!("orders/north {body}")]
    );
}
