//! Waiting deliveries and dead letters: shown, retried, cancelled.

use std::collections::BTreeSet;

use ::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stateful_functions::runtime::Runtime;
use stateful_functions::transport::http::client::HttpResponse;

use super::{Api, admin, code};
use crate::runtime::{Started, text};
use crate::support::destination::{Destination, Reaction};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Two pipelines that export to a destination and try again only when told to, and an egress that does the same.
async fn exporting(destination: &Destination) -> Started {
    let pipeline = |name: &str| {
        format!(
            "kind: statefun.pipelines.v1/pipeline\nspec:\n  name: {name}\n  stages:\n    - http-export: {{url: {}, retry: {{first: 1h, max: 1h}}, circuit: false}}\n---\n",
            destination.url("/hook")
        )
    };
    let module = format!(
        "{}{}kind: statefun.http.v1/egress\nspec: {{id: statefun.samples/out, url: {}, retry: {{first: 1h, max: 1h}}}}\n---\n{}",
        pipeline("orders"),
        pipeline("bills"),
        destination.url("/egress"),
        crate::runtime::SAMPLES
    );
    Started::with(
        Runtime::builder().admin(admin("127.0.0.1:0", None)),
        &module,
    )
    .await
}

fn alice(reason: &str) -> Value {
    json!({"actor": "alice", "reason": reason})
}

impl Started {
    async fn order(&self, pipeline: &str, body: &str) {
        let accepted = self
            .post(&format!("/send/pipelines/{pipeline}/shop-7"), &[JSON], body)
            .await;
        assert_eq!(accepted.status, 202);
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        self.get(path).await["items"].as_array().unwrap().clone()
    }

    /// The items of a list, once it has that many.
    async fn items_once(&self, path: &str, count: usize) -> Vec<Value> {
        loop {
            let items = self.items(path).await;
            if items.len() == count {
                return items;
            }
        }
    }

    async fn verb(&self, list: &str, item: &Value, verb: &str, body: &Value) -> HttpResponse {
        let address = item["address"].as_str().unwrap();
        self.act(&format!("/api/{list}/{address}/{verb}"), body)
            .await
    }
}

fn json_of(response: &HttpResponse) -> Value {
    assert_eq!(response.status, 200, "{}", text(response));
    serde_json::from_slice(&response.body).unwrap()
}

#[tokio::test]
async fn a_waiting_delivery_is_shown_with_its_steps_and_sent_on_retry() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let started = exporting(&destination).await;
    started.order("orders", r#"{"n":1}"#).await;

    let waiting = started
        .items_once("/api/deliveries?state=awaiting", 1)
        .await
        .remove(0);
    assert_eq!(
        (&waiting["reason"], &waiting["attempt"]),
        (&json!("retry"), &json!(1))
    );
    assert_eq!(waiting["target"], json!(destination.url("")));
    assert!(
        waiting["address"]
            .as_str()
            .unwrap()
            .starts_with("pipelines/orders.http-export/"),
        "{waiting}"
    );
    let details = started
        .get(&format!(
            "/api/deliveries/{}",
            waiting["address"].as_str().unwrap()
        ))
        .await;
    let steps = details["transitions"].as_array().unwrap();
    let states: Vec<&str> = steps
        .iter()
        .map(|step| step["state_after"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["acknowledged", "executing", "failed", "awaiting"]);
    assert_eq!(
        (&details["pipeline"], &details["content_type"]),
        (&json!("orders"), &json!("application/json"))
    );

    let still = json_of(
        &started
            .verb("deliveries", &waiting, "retry", &alice("is it back?"))
            .await,
    );
    assert_eq!(
        (&still["state"], &still["attempt"]),
        (&json!("awaiting"), &json!(2))
    );
    destination.react(Reaction::status(200));
    let done = json_of(
        &started
            .verb("deliveries", &waiting, "retry", &alice("it is back"))
            .await,
    );
    assert_eq!(
        (&done["state"], &done["attempt"]),
        (&json!("succeeded"), &json!(3))
    );

    assert_eq!(started.items("/api/deliveries").await, [json!(null); 0]);
    let gone = started
        .verb("deliveries", &waiting, "retry", &alice("again"))
        .await;
    assert_eq!(code(&gone), (404, "delivery.not_found".to_owned()));
    let keys: BTreeSet<_> = destination
        .received()
        .iter()
        .map(|request| request.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert_eq!((destination.received().len(), keys.len()), (3, 1));
}

#[tokio::test]
async fn a_delivery_is_cancelled_with_an_actor_and_a_reason_and_can_be_retried() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let started = exporting(&destination).await;
    started.order("orders", r#"{"n":1}"#).await;
    let waiting = started.items_once("/api/deliveries", 1).await.remove(0);

    for (body, word) in [
        (json!({}), "actor"),
        (json!({"actor": "alice"}), "reason"),
        (alice(" "), "reason"),
        (json!(7), "actor"),
    ] {
        let refused = started.verb("deliveries", &waiting, "cancel", &body).await;
        assert_eq!(code(&refused), (400, "bad_request".to_owned()), "{body}");
        assert!(text(&refused).contains(word), "{}", text(&refused));
    }
    let cancelled = json_of(
        &started
            .verb("deliveries", &waiting, "cancel", &alice("sent by hand"))
            .await,
    );
    assert_eq!(cancelled["state"], "cancelled");
    let again = started
        .verb("deliveries", &waiting, "cancel", &alice("again"))
        .await;
    assert_eq!(code(&again), (409, "job.bad_state".to_owned()));
    let shown = started
        .items("/api/deliveries?state=cancelled")
        .await
        .remove(0);
    let steps = started
        .get(&format!(
            "/api/deliveries/{}",
            shown["address"].as_str().unwrap()
        ))
        .await;
    let last = steps["transitions"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (&last["actor"], &last["note"]),
        (&json!("alice"), &json!("sent by hand"))
    );

    destination.react(Reaction::status(200));
    json_of(
        &started
            .verb("deliveries", &waiting, "retry", &alice("it was not"))
            .await,
    );
    started.items_once("/api/deliveries", 0).await;
}

#[tokio::test]
async fn a_dead_letter_keeps_its_bytes_and_is_sent_again_on_redrive() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(400));
    let started = exporting(&destination).await;
    started.order("orders", r#"{"n":1}"#).await;

    let letter = started.items_once("/api/dead-letters", 1).await.remove(0);
    assert_eq!(
        (&letter["state"], &letter["reason"]),
        (&json!("discarded"), &json!("permanent"))
    );
    assert!(letter.get("base64").is_none(), "{letter}");
    assert_eq!(
        started.items("/api/dead-letters?reason=exhausted").await,
        [json!(null); 0]
    );
    let path = format!("/api/dead-letters/{}", letter["address"].as_str().unwrap());
    let shown = started.get(&path).await;
    assert_eq!(
        STANDARD.decode(shown["base64"].as_str().unwrap()).unwrap(),
        br#"{"n":1}"#
    );
    let export = started
        .ask(Method::GET, "/api/dead-letters/export", &[], "")
        .await;
    assert_eq!(serde_json::from_str::<Value>(text(&export)).unwrap(), shown);
    assert_eq!(started.items("/api/dead-letters?full=true").await, [shown]);

    destination.react(Reaction::status(200));
    let done = json_of(
        &started
            .verb("dead-letters", &letter, "redrive", &alice("url repaired"))
            .await,
    );
    assert_eq!(
        (&done["state"], &done["reason"]),
        (&json!("awaiting"), &json!("requeued"))
    );
    started.items_once("/api/deliveries", 0).await;
    let gone = started.ask(Method::GET, &path, &[], "").await;
    assert_eq!(code(&gone), (404, "dead_letter.not_found".to_owned()));
    assert_eq!(destination.bodies(), [r#"{"n":1}"#, r#"{"n":1}"#]);
}

#[tokio::test]
async fn a_dead_letter_is_edited_over_the_api_and_sent_again() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(400));
    let started = exporting(&destination).await;
    started.order("orders", r#"{"n":1}"#).await;
    let letter = started.items_once("/api/dead-letters", 1).await.remove(0);
    for body in [
        alice("a typo"),
        json!({"actor": "alice", "reason": "x", "payload": "{}"}),
    ] {
        let refused = started.verb("dead-letters", &letter, "edit", &body).await;
        assert_eq!(code(&refused), (400, "bad_request".to_owned()), "{body}");
    }
    destination.react(Reaction::status(200));
    let edit = json!({"actor": "alice", "reason": "a typo", "payload": {"text": r#"{"n":2}"#}, "values": {"edited": "yes"}});
    let edited = json_of(&started.verb("dead-letters", &letter, "edit", &edit).await);
    assert_eq!(edited["state"], "awaiting");
    destination.until(|received| received.len() == 2).await;
    assert_eq!(destination.bodies(), [r#"{"n":1}"#, r#"{"n":2}"#]);
}

#[tokio::test]
async fn a_purged_dead_letter_is_gone() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(400));
    let started = exporting(&destination).await;
    started.order("orders", "1").await;
    let letter = started.items_once("/api/dead-letters", 1).await.remove(0);
    json_of(
        &started
            .verb("dead-letters", &letter, "purge", &alice("of no use"))
            .await,
    );
    assert_eq!(started.items("/api/dead-letters").await, [json!(null); 0]);
}

/// The prompt of a terminal stood behind a list, as it did behind the answers of `statefun sink`.
#[tokio::test]
async fn a_list_ends_with_a_line_feed() {
    let destination = Destination::start().await;
    let started = exporting(&destination).await;
    for path in ["/api/deliveries", "/api/dead-letters", "/api/state"] {
        let list = started.ask(Method::GET, path, &[], "").await;
        assert_eq!(text(&list), "{\"items\":[],\"next\":null}\n", "{path}");
    }
}

/// Cancelled deliveries could be found, and only be removed under the name of dead letters.
#[tokio::test]
async fn a_cancelled_delivery_is_purged_and_a_waiting_one_is_not() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let started = exporting(&destination).await;
    started.order("orders", "1").await;
    let waiting = started.items_once("/api/deliveries", 1).await.remove(0);
    let purge = alice("of no use");
    let refused = started.verb("deliveries", &waiting, "purge", &purge).await;
    assert_eq!(code(&refused), (409, "job.bad_state".to_owned()));

    let cancel = alice("sent by hand");
    json_of(
        &started
            .verb("deliveries", &waiting, "cancel", &cancel)
            .await,
    );
    let purged = started.verb("deliveries", &waiting, "purge", &purge).await;
    assert_eq!(json_of(&purged)["state"], "cancelled");
    assert_eq!(started.items("/api/deliveries").await, [json!(null); 0]);
    let again = started.verb("deliveries", &waiting, "purge", &purge).await;
    assert_eq!(code(&again), (404, "delivery.not_found".to_owned()));
}

#[tokio::test]
async fn lists_cover_all_stages_and_redrive_sends_everything_that_matches_a_filter() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(400));
    let started = exporting(&destination).await;
    for n in 0..30 {
        started.order("orders", &n.to_string()).await;
        started.order("bills", &n.to_string()).await;
    }
    let count = async |filter: &str| {
        started
            .items(&format!("/api/dead-letters?limit=1000{filter}"))
            .await
            .len()
    };
    while count("").await < 60 {}
    assert_eq!(count("&type=pipelines%2Fbills.http-export").await, 30);
    assert_eq!(count("&target=http%3A%2F%2Felsewhere").await, 0);

    let (mut seen, mut after) = (BTreeSet::new(), String::new());
    loop {
        let page = started
            .get(&format!("/api/dead-letters?limit=7{after}"))
            .await;
        for item in page["items"].as_array().unwrap() {
            assert!(
                seen.insert(item["address"].as_str().unwrap().to_owned()),
                "{item} twice"
            );
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 60);

    let bills = "/api/dead-letters/redrive?type=pipelines%2Fbills.http-export";
    let dry = json!({"actor": "alice", "reason": "repaired", "dry_run": true});
    assert_eq!(
        json_of(&started.act(bills, &dry).await),
        json!({"redriven": 30, "dry_run": true})
    );
    destination.forget();
    destination.react(Reaction::status(200));
    assert_eq!(
        json_of(&started.act(bills, &alice("repaired")).await)["redriven"],
        30
    );
    destination.until(|received| received.len() == 30).await;
    while count("").await > 30 {}
    let bodies: BTreeSet<_> = destination.bodies().into_iter().collect();
    assert_eq!(bodies.len(), 30);
}

#[tokio::test]
async fn a_record_that_an_http_egress_cannot_deliver_waits_as_a_delivery() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let started = exporting(&destination).await;
    started
        .post(
            "/send/statefun.samples/reminder/bob",
            &[],
            "in 1ms drink your tea",
        )
        .await;
    let waiting = started
        .items_once("/api/deliveries?state=awaiting", 1)
        .await
        .remove(0);
    assert!(
        waiting["address"]
            .as_str()
            .unwrap()
            .starts_with("statefun.egress/statefun.samples:out.http-export/"),
        "{waiting}"
    );
    destination.react(Reaction::status(200));
    json_of(
        &started
            .verb("deliveries", &waiting, "retry", &alice("it is back"))
            .await,
    );
    assert_eq!(destination.bodies().pop().unwrap(), "drink your tea");
}

#[tokio::test]
async fn a_state_that_no_delivery_has_is_refused_with_the_known_ones() {
    let destination = Destination::start().await;
    let started = exporting(&destination).await;
    let refused = started
        .ask(Method::GET, "/api/deliveries?state=waiting", &[], "")
        .await;
    assert_eq!(code(&refused), (400, "bad_request".to_owned()));
    assert!(text(&refused).contains("awaiting"), "{}", text(&refused));
    // A function that is not a stage gets no commands.
    let other = started
        .act(
            "/api/deliveries/statefun.samples/counter/a/retry",
            &alice("x"),
        )
        .await;
    assert_eq!(code(&other), (404, "delivery.not_found".to_owned()));
}
