//! Store and forward as EdgeX has it, without its ways to lose data (R-01 to R-29 of its list; others are beside what they are about).

use std::time::Duration;

use serde_json::{Value, json};
use stateful_functions::delivery::Verb;
use stateful_functions::pipeline::{Pipeline, PipelineBuilder, PipelineConfig, RECORD, Record};
use stateful_functions::{Address, MessageBuilder, TypeName};

use super::town::Town;
use crate::support::destination::{Destination, Reaction};

const SECOND: Duration = Duration::from_secs(1);

/// An EdgeX service `p` of raw data whose functions are exports, each with more parameters.
fn service(store_and_forward: &Value, exports: &[(&str, String, Value)]) -> PipelineBuilder {
    let order: Vec<&str> = exports.iter().map(|(name, ..)| *name).collect();
    let mut functions = json!({"SetResponseData": {}});
    for (name, url, more) in exports.iter().filter(|(_, url, _)| !url.is_empty()) {
        let mut parameters = json!({"Method": "post", "MimeType": "", "Url": url});
        for (key, text) in more.as_object().unwrap() {
            parameters[key] = text.clone();
        }
        functions[*name] = json!({"Parameters": parameters});
    }
    let writable = json!({
        "Pipeline": {"TargetType": "raw", "ExecutionOrder": order.join(","), "Functions": functions},
        "StoreAndForward": store_and_forward,
    });
    let spec = json!({"name": "p", "edgex": writable});
    let configs = PipelineConfig::all_from_json(&spec).unwrap();
    Pipeline::declared(configs[0].clone())
}

fn enabled() -> Value {
    json!({"Enabled": "true", "RetryInterval": "1s", "MaxRetryCount": "10"})
}

fn disabled() -> Value {
    json!({"Enabled": "false", "RetryInterval": "1s", "MaxRetryCount": "10"})
}

fn persisting(destination: &Destination) -> [(&'static str, String, Value); 1] {
    let more = json!({"PersistOnError": "true"});
    [("HTTPExport", destination.url("/"), more)]
}

#[tokio::test]
async fn pl_19_without_store_and_forward_what_cannot_be_sent_is_dropped_and_counted() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = Town::new(service(&disabled(), &persisting(&destination)));
    town.send("d1", "one").await;
    assert_eq!(town.pending(), 0, "nothing is tried again");
    town.advance(6 * SECOND).await;
    assert_eq!(town.remembering(), []);
    let dropped = town.destinations.dropped();
    assert_eq!(
        dropped.into_iter().collect::<Vec<_>>(),
        [("store_disabled", 1)]
    );
}

/// With store and forward the same are dead letters: `no_persist` and `decode`.
#[tokio::test]
async fn r_27_what_is_not_kept_is_a_dead_letter_or_counted_by_its_reason() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(500));
    let export = [("HTTPExport", destination.url("/"), json!({}))];
    let mut town = Town::new(service(&enabled(), &export));
    town.send("d1", "one").await;
    assert_eq!(town.stands(), "discarded no_persist 1");
    assert_eq!(town.destinations.dropped().len(), 0);

    let mut town = Town::new(service(&disabled(), &export));
    town.send("d1", "one").await;
    assert_eq!(town.remembering(), []);
    let dropped = town.destinations.dropped();
    assert_eq!(dropped.into_iter().collect::<Vec<_>>(), [("no_persist", 1)]);

    let event = json!({"Pipeline": {
        "ExecutionOrder": "Transform", "Functions": {"Transform": {"Parameters": {"Type": "xml"}}},
    }, "StoreAndForward": disabled()});
    let configs = PipelineConfig::all_from_json(&json!({"name": "p", "edgex": event})).unwrap();
    let mut town = Town::new(Pipeline::declared(configs[0].clone()));
    town.send("d1", "not an event").await;
    assert_eq!(town.remembering(), []);
    let dropped = town.destinations.dropped();
    assert_eq!(dropped.into_iter().collect::<Vec<_>>(), [("decode", 1)]);
}

#[tokio::test]
async fn items_stay_untried_while_store_and_forward_is_off_and_go_on_when_it_is_on_again() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = Town::new(service(&enabled(), &persisting(&destination)));
    town.send("d1", "one").await;
    town.advance(2 * SECOND).await;
    assert_eq!(town.stands(), "awaiting retry 3");

    town.restart_with(service(&disabled(), &persisting(&destination)));
    destination.come_up().await;
    town.advance(10 * SECOND).await;
    assert_eq!(
        town.stands(),
        "awaiting retry 3",
        "not tried, and not counted"
    );
    assert_eq!(destination.received().len(), 0);

    town.restart_with(service(&enabled(), &persisting(&destination)));
    town.advance(SECOND).await;
    assert_eq!(destination.bodies(), ["one"], "within one interval");
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn an_operator_may_try_what_waits_while_store_and_forward_is_off_and_a_failure_keeps_it() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = Town::new(service(&enabled(), &persisting(&destination)));
    town.send("d1", "one").await;
    town.restart_with(service(&disabled(), &persisting(&destination)));
    let (address, _) = town.only();
    assert!(town.command(&address, Verb::Retry).await.ok);
    assert_eq!(town.stands(), "awaiting retry 2");
    assert_eq!(town.destinations.dropped().len(), 0);
}

#[tokio::test]
async fn what_is_dropped_leaves_its_place_to_those_behind_it() {
    let destination = Destination::start().await;
    destination.react_with(|request| match request.body.as_slice() {
        b"bad" => Reaction::status(500),
        _ => Reaction::status(200),
    });
    let more = json!({"PersistOnError": "true", "OrderKey": "{k}"});
    let export = [("HTTPExport", destination.url("/"), more)];
    let mut town = Town::new(service(&disabled(), &export));
    for text in ["bad", "good"] {
        let entry = Address::new(TypeName::new("pipelines/p"), "d1");
        let record = Record::new(text).with_value("k", "key");
        let message = MessageBuilder::to(entry).value_as(&RECORD, &record);
        town.deliver(None, message.unwrap()).await;
    }
    assert_eq!(destination.bodies(), ["bad", "good"]);
    assert_eq!(town.remembering(), []);
    assert_eq!(town.destinations.dropped()["store_disabled"], 1);
}

#[tokio::test]
async fn r_14_an_export_that_succeeded_is_not_sent_again_because_a_later_one_fails() {
    let (first, second) = (Destination::start().await, Destination::start().await);
    second.react(Reaction::status(500));
    let more = json!({"PersistOnError": "true", "ReturnInputData": "true"});
    let exports = [
        ("HTTPExport", first.url("/"), more.clone()),
        ("HTTPExport2", second.url("/"), more),
    ];
    let mut town = Town::new(service(&enabled(), &exports));
    town.send("d1", "one").await;
    town.advance(3 * SECOND).await;
    assert_eq!(second.received().len(), 4);
    second.react(Reaction::status(200));
    town.advance(SECOND).await;
    assert_eq!(first.bodies(), ["one"]);
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn pl_28_and_r_15_a_response_set_after_an_export_reaches_the_caller_also_after_a_wait() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut exports = persisting(&destination).to_vec();
    exports[0].2["ReturnInputData"] = json!("true");
    exports.push(("SetResponseData", String::new(), json!({})));
    let mut town = Town::new(service(&enabled(), &exports));
    let caller = Address::new(TypeName::new("test/caller"), "c1");
    let entry = Address::new(TypeName::new("pipelines/p"), "d1");
    let message = MessageBuilder::to(entry).value("data");
    town.deliver(Some(caller.clone()), message).await;
    assert_eq!(town.outside.len(), 0, "the caller waits, too");
    destination.come_up().await;
    town.advance(SECOND).await;
    let answer = town.outside.pop().unwrap();
    assert_eq!(*answer.target(), caller);
    assert_eq!(answer.raw_value().unwrap(), "data");
}

#[tokio::test]
async fn r_18_store_and_forward_needs_no_database() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = Town::new(service(
        &json!({"Enabled": true}),
        &persisting(&destination),
    ));
    town.send("d1", "one").await;
    assert_eq!(town.stands(), "awaiting retry 1");
    let wait = town.next_due().unwrap().since(town.now());
    assert_eq!(wait, 300 * SECOND, "EdgeX's defaults");
}

#[tokio::test]
async fn r_21_an_empty_payload_waits_and_is_sent_like_any_other() {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = Town::new(service(&enabled(), &persisting(&destination)));
    town.send("d1", "").await;
    assert_eq!(town.stands(), "awaiting retry 1");
    destination.come_up().await;
    town.advance(SECOND).await;
    assert_eq!(destination.bodies(), [""]);
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn an_export_chooses_its_policy_by_name() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(404));
    let mut settings = enabled();
    settings["Policies"] = json!({"strict": {"Statuses": {"404": "permanent"}}});
    settings["Statuses"] = json!({"5xx": "permanent"});
    let more = json!({"PersistOnError": "true", "Retry": "strict"});
    let named = [("HTTPExport", destination.url("/"), more)];
    let mut town = Town::new(service(&settings, &named));
    town.send("d1", "one").await;
    assert_eq!(town.stands(), "discarded permanent 1");

    let mut town = Town::new(service(&settings, &persisting(&destination)));
    town.send("d1", "one").await;
    assert_eq!(town.stands(), "awaiting retry 1", "the class of EdgeX");
    destination.react(Reaction::status(503));
    let mut town = Town::new(service(&settings, &persisting(&destination)));
    town.send("d1", "one").await;
    assert_eq!(
        town.stands(),
        "discarded permanent 1",
        "that of the service"
    );
}
