//! Profiles in the shape of those that EdgeX ships run as they are: `tests/data/edgex/res`, written for these tests.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use stateful_functions::edgex::{Configuration, ConfigurationOptions, EdgexVariables};
use stateful_functions::module::ModuleFile;

use super::command;
use crate::mqtt::broker::Broker;
use crate::pipelines::edgex::event;
use crate::support::destination::Destination;
use crate::support::process::Process;

const PROFILES: [&str; 7] = [
    "sample",
    "http-export",
    "mqtt-export",
    "metrics-influxdb",
    "rules-engine",
    "external-mqtt-trigger",
    "functional-tests",
];

fn res() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/edgex/res")
}

#[test]
fn pl_33_profiles_load_without_faults_and_unused_entries_are_ignored() {
    for profile in PROFILES {
        let path = res().join(profile).join("configuration.yaml");
        let text = fs::read_to_string(&path).unwrap();
        let file = ModuleFile {
            name: "configuration.yaml",
            text: &text,
        };
        let mut options = ConfigurationOptions::default();
        options.profile = Some(profile.to_owned());
        let read = Configuration::read(file, None, &options, &EdgexVariables::new());
        let configuration = read.unwrap_or_else(|invalid| panic!("{profile}: {invalid}"));
        assert_eq!(configuration.service_key(), format!("app-{profile}"));
        assert!(configuration.startup_message().contains("run"));
    }
}

#[tokio::test]
async fn pl_33_each_profile_starts_and_stops_with_a_broker_that_is_away() {
    for profile in PROFILES {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(&res(), profile, folder.path());
        command
            .env("MESSAGEBUS_PORT", "9")
            .env("TRIGGER_EXTERNALMQTT_URL", "tcp://127.0.0.1:9");
        let mut process = Process::of(command);
        assert!(
            process
                .url("edgex service")
                .starts_with("http://127.0.0.1:")
        );
        assert_eq!(process.terminate(), Some(0), "{profile}");
    }
}

#[tokio::test]
async fn the_profile_http_export_brings_an_event_from_the_bus_to_its_destination() {
    let Some(broker) = Broker::start("edgex: profile http-export").await else {
        return;
    };
    let destination = Destination::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&res(), "http-export", folder.path());
    command
        .env("MESSAGEBUS_HOST", "127.0.0.1")
        .env("MESSAGEBUS_PORT", broker.port.to_string())
        .env(
            "WRITABLE_PIPELINE_FUNCTIONS_FILTERBYRESOURCENAME_PARAMETERS_RESOURCENAMES",
            "R",
        )
        .env(
            "WRITABLE_PIPELINE_FUNCTIONS_HTTPEXPORT_PARAMETERS_URL",
            destination.url("/{devicename}"),
        );
    let mut process = Process::of(command);
    broker.logs("SUBACK to app-http-export", 1).await;
    let envelope = json!({
        "apiVersion": "v3", "correlationID": "c", "contentType": "application/json", "payload": event(),
    });
    broker.publish("edgex/events/device/one/P/D/S", 1, &[&envelope.to_string()]);
    destination.until(|received| received.len() == 1).await;
    assert!(destination.received()[0].head.starts_with("POST /D "));
    assert_eq!(process.terminate(), Some(0));
}
