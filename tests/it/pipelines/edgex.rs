//! Pipelines of EdgeX functions, from the message to the destination and to the caller.

use serde_json::{Value, json};
use stateful_functions::pipeline::{
    Answer, Pipeline, PipelineBuilder, PipelineConfig, RECORD, Record, Secrets, Uuid,
};
use stateful_functions::{Address, Message, MessageBuilder, TypeName};

use super::town::Town;
use crate::support::destination::{Destination, Reaction};

pub(crate) fn event() -> Value {
    json!({
        "apiVersion": "v3", "requestId": "",
        "event": {
            "apiVersion": "v3", "id": "7a1707f0-166f-4c4b-bc9d-1d54c74e0137", "profileName": "P", "deviceName": "D",
            "sourceName": "S", "origin": 1_700_000_000_000_000_000_i64, "made": "here",
            "readings": [{
                "id": "82eb2e26-0f24-48aa-ae4c-de9dac3fb9bc", "origin": 1_700_000_000_000_000_000_i64, "deviceName": "D",
                "resourceName": "R", "profileName": "P", "valueType": "Int32", "value": "42",
            }],
        },
    })
}

fn declared(stages: &Value) -> PipelineBuilder {
    let config = PipelineConfig::from_json(&json!({"name": "p", "stages": stages}));
    Pipeline::declared(config.unwrap())
}

fn message(payload: &Value) -> Message {
    let entry = Address::new(TypeName::new("pipelines/p"), "d1");
    let record = Record::new(payload.to_string())
        .with_content_type("application/json")
        .with_id(Uuid::from_u128(7));
    MessageBuilder::to(entry)
        .value_as(&RECORD, &record)
        .unwrap()
}

fn caller() -> Address {
    Address::new(TypeName::new("test/caller"), "c1")
}

/// What the caller of a pipeline gets: type and data.
async fn called(stages: &Value, payload: &Value) -> Vec<(String, String)> {
    let mut town = Town::new(declared(stages));
    town.deliver(Some(caller()), message(payload)).await;
    let answers = town.outside.iter().map(|answer| {
        assert_eq!(*answer.target(), caller());
        let data = answer.raw_value().unwrap_or_default();
        let data = String::from_utf8_lossy(&data).into_owned();
        (answer.value_type_name().to_owned(), data)
    });
    answers.collect()
}

#[tokio::test]
async fn pl_01_an_event_passes_filters_and_is_exported_as_it_was_transformed() {
    let destination = Destination::start().await;
    let mut town = Town::new(declared(&json!([
        {"edgex-target": {"type": "event"}},
        {"FilterByDeviceName": {"DeviceNames": "D", "Match": "exact"}},
        {"AddTags": {"Tags": "site:north"}},
        {"Transform": {"Type": "json"}},
        {"http-export": {"url": destination.url("/{profilename}/{devicename}/{sourcename}")}},
    ])));
    town.deliver(None, message(&event())).await;
    let mut other = event();
    other["event"]["deviceName"] = json!("E");
    town.deliver(None, message(&other)).await;

    let received = destination.received();
    assert_eq!(received.len(), 1);
    assert!(received[0].head.starts_with("POST /P/D/S "));
    let sent: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(sent["tags"], json!({"site": "north"}));
    assert_eq!(sent["made"], "here");
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn pl_05_a_payload_that_is_not_an_event_is_a_dead_letter_with_its_reason() {
    let stages = json!([{"edgex-target": {"type": "event"}}, {"Transform": {"Type": "xml"}}]);
    let mut town = Town::new(declared(&stages));
    let mut blank = event();
    blank["event"]["deviceName"] = json!("");
    town.deliver(None, message(&blank)).await;
    assert_eq!(town.stands(), "discarded decode 1");
}

#[tokio::test]
async fn pl_29_the_caller_gets_the_response_under_its_content_type() {
    let filter = |name: &str| {
        json!([
            {"edgex-target": {"type": "event"}},
            {"FilterByDeviceName": {"DeviceNames": name, "Match": "exact"}},
            {"Transform": {"Type": "xml"}},
            {"SetResponseData": {}},
        ])
    };
    let stopped = called(&filter("E"), &event()).await;
    assert_eq!(stopped, [("text/plain".to_owned(), String::new())]);
    let matched = called(&filter("D"), &event()).await;
    assert_eq!(matched.len(), 1);
    assert_eq!(matched[0].0, "application/xml");
    assert!(
        matched[0].1.starts_with("<Event><ApiVersion>v3"),
        "{matched:?}"
    );
    let compressed = json!([
        {"edgex-target": {"type": "event"}}, {"Transform": {"Type": "json"}},
        {"Compress": {"Algorithm": "gzip"}}, {"SetResponseData": {}},
    ]);
    assert_eq!(called(&compressed, &event()).await[0].0, "text/plain");
    let raw = json!([
        {"edgex-target": {"type": "raw"}}, {"FilterByDeviceName": {"DeviceNames": "D"}}, {"SetResponseData": {}},
    ]);
    let refused = called(&raw, &event()).await;
    let text = "FilterByDeviceName: type received is not an Event";
    let refusal: Value = serde_json::from_str(&refused[0].1).unwrap();
    assert_eq!(refused[0].0, "statefun.pipelines/refusal");
    assert_eq!(refusal, json!({"statusCode": 422, "message": text}));
    let invalid = called(&filter("D"), &json!({"event": {}})).await;
    let refusal: Value = serde_json::from_str(&invalid[0].1).unwrap();
    assert_eq!(refusal["statusCode"], 400);
}

#[tokio::test]
async fn callers_of_a_pipeline_without_a_response_are_not_answered() {
    let stages = json!([{"edgex-target": {"type": "event"}}, {"Transform": {"Type": "xml"}}]);
    assert_eq!(called(&stages, &event()).await, []);
}

#[tokio::test]
async fn the_caller_of_a_record_that_is_given_up_at_once_gets_the_reason() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(400));
    let export = json!({"http-export": {"url": destination.url("/")}});
    let answers = called(&json!([export, {"SetResponseData": {}}]), &event()).await;
    let refusal: Value = serde_json::from_str(&answers[0].1).unwrap();
    assert_eq!(answers[0].0, "statefun.pipelines/refusal");
    assert_eq!(refusal["statusCode"], 422);
}

#[tokio::test]
async fn the_caller_of_a_batch_does_not_wait_for_it() {
    let stages = json!([
        {"edgex-target": {"type": "event"}}, {"batch": {"count": 5}}, {"SetResponseData": {}},
    ]);
    let answers = called(&stages, &event()).await;
    assert_eq!(answers, [("text/plain".to_owned(), String::new())]);
}

#[tokio::test]
async fn pl_37_a_record_waits_for_its_key_and_goes_on_once_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("aes")).unwrap();
    let destination = Destination::start().await;
    let secrets = Secrets::default().directory(folder.path());
    let stages = json!([
        {"Encrypt": {"Algorithm": "aes256", "SecretName": "aes", "SecretValueKey": "key"}},
        {"http-export": {"url": destination.url("/")}},
    ]);
    let mut town = Town::new(declared(&stages).secrets(&secrets));
    town.deliver(None, message(&event())).await;
    assert_eq!(town.stands(), "awaiting retry 1");
    std::fs::write(folder.path().join("aes/key"), "0f".repeat(64)).unwrap();
    town.advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(town.remembering(), []);
    assert_eq!(
        destination.received()[0].header("content-type"),
        Some("text/plain")
    );
}

#[tokio::test]
async fn pl_28_a_response_survives_a_wait_before_the_stage_that_follows() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("aes")).unwrap();
    let secrets = Secrets::default().directory(folder.path());
    let stages = json!([
        {"edgex-target": {"type": "event"}}, {"Transform": {"Type": "xml"}}, {"SetResponseData": {}},
        {"Encrypt": {"Algorithm": "aes256", "SecretName": "aes", "SecretValueKey": "key"}},
    ]);
    let mut town = Town::new(declared(&stages).secrets(&secrets));
    town.deliver(Some(caller()), message(&event())).await;
    assert_eq!(town.stands(), "awaiting retry 1");
    std::fs::write(folder.path().join("aes/key"), "0f".repeat(64)).unwrap();
    town.advance(std::time::Duration::from_secs(60)).await;
    let answer = town.outside.pop().unwrap();
    assert!(answer.raw_value().unwrap().starts_with(b"<Event>"));
}

#[test]
fn functions_are_stages_of_the_builder_too() {
    let built = Pipeline::builder("p")
        .declared("edgex-target", &json!({"type": "event"}))
        .declared(
            "FilterByDeviceName",
            &json!({"DeviceNames": "D", "Match": "full"}),
        )
        .stage("own", |record: &mut Record| {
            record.set_response("done");
            Answer::Continue
        })
        .declared("AddTags", &json!({"Tags": "a"}))
        .build();
    let faults = built.unwrap_err().to_string();
    assert_eq!(
        faults,
        "pipeline `p`: stages[3].AddTags.Tags: `a` is not a tag of the form `key:value`"
    );
}

fn export(url: &str, more: &[(&str, &str)]) -> Value {
    let mut parameters = json!({"Method": "post", "MimeType": "text/csv", "Url": url});
    for (key, text) in more {
        parameters[*key] = json!(text);
    }
    json!({"HTTPExport": parameters})
}

#[tokio::test]
async fn pl_16_and_r_27_a_record_that_could_not_be_sent_is_given_up_or_kept_or_goes_on() {
    let destination = Destination::start().await;
    destination.react(Reaction::Answer(404, "", Vec::new()));
    let url = destination.url("/out");
    let then = destination.url("/then");
    let stages = |more: &[(&str, &str)]| json!([export(&url, more), export(&then, &[])]);

    let mut town = Town::new(declared(&stages(&[])));
    town.deliver(None, message(&event())).await;
    assert_eq!(town.stands(), "discarded no_persist 1");

    let mut town = Town::new(declared(&stages(&[("PersistOnError", "true")])));
    town.deliver(None, message(&event())).await;
    assert_eq!(town.stands(), "awaiting retry 1");
    let (_, kept) = town.only();
    assert!(kept.delivery().attempt == 1);

    let goes_on = [("ContinueOnSendError", "true"), ("ReturnInputData", "true")];
    let before = destination.received().len();
    let mut town = Town::new(declared(&stages(&goes_on)));
    town.deliver(None, message(&event())).await;
    let received = destination.received();
    assert_eq!(received.len(), before + 2);
    assert_eq!(received[before].body, received[before + 1].body);
    assert_eq!(received[before].header("content-type"), Some("text/csv"));
}

#[tokio::test]
async fn pl_17_and_r_19_a_secret_header_is_sent_and_without_its_secret_nothing_is() {
    let destination = Destination::start().await;
    let triple = [
        ("HeaderName", "x-key"),
        ("SecretName", "crm"),
        ("SecretValueKey", "token"),
        ("PersistOnError", "true"),
    ];
    let stages = json!([export(&destination.url("/"), &triple)]);
    let mut town = Town::new(declared(&stages));
    town.deliver(None, message(&event())).await;
    assert_eq!(destination.received().len(), 0);
    assert_eq!(town.stands(), "awaiting retry 1");

    let secrets = Secrets::default().insecure("crm", [("token", "abc")]);
    let mut town = Town::new(declared(&stages).secrets(&secrets));
    town.deliver(None, message(&event())).await;
    assert_eq!(destination.received()[0].header("x-key"), Some("abc"));
}

#[tokio::test]
async fn pl_12_and_pl_13_batches_of_events_and_of_bytes_are_exported_as_lists() {
    let destination = Destination::start().await;
    let stages = |more: &Value| {
        let mut batch = json!({"Mode": "bycount", "BatchThreshold": "3"});
        for (key, text) in more.as_object().unwrap() {
            batch[key] = text.clone();
        }
        json!([{"edgex-target": {"type": "event"}}, {"Batch": batch}, export(&destination.url("/"), &[])])
    };
    for (more, is_events) in [(json!({"IsEventData": "true"}), true), (json!({}), false)] {
        let mut town = Town::new(declared(&stages(&more)));
        let before = destination.received().len();
        for n in 1..=7 {
            let record = Record::new(event().to_string())
                .with_content_type("application/json")
                .with_id(Uuid::from_u128(n));
            let entry = Address::new(TypeName::new("pipelines/p"), "d1");
            let message = MessageBuilder::to(entry)
                .value_as(&RECORD, &record)
                .unwrap();
            town.deliver(None, message).await;
        }
        let received = destination.received();
        assert_eq!(received.len(), before + 2);
        let list: Value = serde_json::from_slice(&received[before].body).unwrap();
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), 3);
        assert!(list.iter().all(|item| item == &list[0]));
        assert_eq!(list[0].is_object(), is_events);
    }
}

#[tokio::test]
async fn pl_07_a_record_goes_to_each_pipeline_whose_topics_match() {
    let spec = json!({"name": "p", "edgex": {
        "TargetType": "raw", "ExecutionOrder": "SetResponseData",
        "PerTopicPipelines": {
            "a": {"Id": "one", "Topics": "edgex/events/+/D1/#, x", "ExecutionOrder": "SetResponseData"},
            "b": {"Id": "two", "Topics": "edgex/events/P1/#", "ExecutionOrder": "SetResponseData"},
        },
        "Functions": {"SetResponseData": {}},
    }});
    for (topic, pipelines) in [
        (
            "edgex/events/P1/D1/S1",
            vec!["pipelines/one", "pipelines/two"],
        ),
        ("edgex/events/P1/D2/S1", vec!["pipelines/two"]),
        ("edgex/events/P2/D2/S1", vec![]),
    ] {
        let configs = PipelineConfig::all_from_json(&spec).unwrap();
        let mut town = Town::new(Pipeline::declared(configs[0].clone()));
        let entry = Address::new(TypeName::new("pipelines/p"), "d1");
        let record = Record::new("x").with_value("receivedtopic", topic);
        let message = MessageBuilder::to(entry)
            .value_as(&RECORD, &record)
            .unwrap();
        town.deliver(Some(caller()), message).await;
        let answer = town
            .outside
            .iter()
            .find(|message| *message.target() == caller());
        assert_eq!(
            answer.unwrap().raw_value().unwrap(),
            "x",
            "of the default pipeline"
        );
        let routed = town
            .outside
            .iter()
            .map(|message| message.target().type_name().as_str());
        let routed: Vec<_> = routed
            .filter(|name| name.starts_with("pipelines/"))
            .collect();
        assert_eq!(routed, pipelines, "{topic}");

        // A pipeline that gets it by its topic has no caller.
        let Some(message) = town
            .outside
            .iter()
            .find(|message| message.target() != &caller())
        else {
            continue;
        };
        let hub = Some(Address::new(TypeName::new("pipelines/p"), "d1"));
        let config = configs
            .into_iter()
            .find(|config| config.name() == pipelines[0].rsplit('/').next().unwrap());
        let mut other = Town::new(Pipeline::declared(config.unwrap()));
        other.deliver(hub, message.clone()).await;
        assert_eq!(other.outside.len(), 0);
    }
}

#[tokio::test]
async fn data_is_pushed_to_core_data_as_an_event_at_the_path_of_its_names() {
    let destination = Destination::start().await;
    let push = |value_type: &str| {
        json!([{"PushToCore": {
            "ProfileName": "P", "DeviceName": "D 1", "ResourceName": "R", "ValueType": value_type,
            "CoreDataUrl": destination.url("/"), "ServiceKey": "app",
        }}])
    };
    let mut town = Town::new(declared(&push("String")));
    town.send("d1", "some text").await;
    let received = destination.received();
    assert!(
        received[0]
            .head
            .starts_with("POST /api/v3/event/app/P/D%201/R ")
    );
    assert_eq!(received[0].header("content-type"), Some("application/json"));
    let request: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(request["event"]["readings"][0]["value"], "some text");
    assert_eq!(town.remembering(), []);

    let mut town = Town::new(declared(&push("Int8")));
    town.send("d1", "some text").await;
    assert_eq!(town.stands(), "discarded stage_error 1");
    assert_eq!(destination.received().len(), 1);
}
