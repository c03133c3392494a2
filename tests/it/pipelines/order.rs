//! Order per key: one record after the other, while other keys continue.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use stateful_functions::delivery::{Policy, Verb};
use stateful_functions::pipeline::{HttpExport, Pipeline};

use super::town::Town;
use crate::support::destination::{Destination, Reaction};
use crate::support::raw::RawMessage;

const SECOND: Duration = Duration::from_secs(1);

fn ordered(destination: &Destination) -> Town {
    let export = HttpExport::post(destination.url("/")).order_key("key");
    Town::new(Pipeline::builder("p").http_export(export))
}

async fn send(town: &mut Town, key: &str, n: u32) {
    town.send("sender", &json!({"key": key, "n": n}).to_string())
        .await;
}

fn body(request: &RawMessage) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[tokio::test]
async fn a_lane_stores_nothing_as_long_as_all_succeed() {
    let destination = Destination::start().await;
    let mut town = ordered(&destination);
    for n in 1..=3 {
        send(&mut town, "k", n).await;
    }
    assert_eq!(destination.bodies().len(), 3);
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn pl_36_records_of_a_key_wait_behind_their_head_and_others_do_not() {
    let destination = Destination::start().await;
    destination.react_with(|request| match body(request)["key"].as_str() {
        Some("k") => Reaction::status(503),
        _ => Reaction::status(200),
    });
    let mut policy = Policy::default();
    policy.wake = false; // or the success of m would have k's head tried again at once
    let export = HttpExport::post(destination.url("/"))
        .order_key("key")
        .retry(policy);
    let mut town = Town::new(Pipeline::builder("p").http_export(export));
    for n in 1..=3 {
        send(&mut town, "k", n).await;
    }
    send(&mut town, "m", 1).await;
    assert_eq!(
        destination.bodies(),
        [r#"{"key":"k","n":1}"#, r#"{"key":"m","n":1}"#],
        "only the head of k is tried, m at once"
    );
    let mut waits: Vec<String> = town
        .kept()
        .values()
        .map(|kept| kept.delivery().reason.unwrap().to_string())
        .collect();
    waits.sort();
    assert_eq!(waits, ["retry", "turn", "turn"]);

    destination.forget();
    destination.react(Reaction::status(200));
    town.advance(5 * SECOND).await;
    assert_eq!(
        destination.bodies(),
        [
            r#"{"key":"k","n":1}"#,
            r#"{"key":"k","n":2}"#,
            r#"{"key":"k","n":3}"#
        ]
    );
    assert_eq!(town.remembering(), []);
    assert_eq!(town.pending(), 0);
}

#[tokio::test]
async fn a_head_that_is_given_up_frees_the_next() {
    let destination = Destination::start().await;
    destination.react_with(|request| match body(request)["n"].as_u64() {
        Some(1) => Reaction::status(400),
        _ => Reaction::status(200),
    });
    let mut town = ordered(&destination);
    for n in 1..=2 {
        send(&mut town, "k", n).await;
    }
    assert_eq!(town.stands(), "discarded permanent 1");
    assert_eq!(destination.bodies().last().unwrap(), r#"{"key":"k","n":2}"#);
}

#[tokio::test]
async fn a_cancelled_record_leaves_the_middle_of_its_lane() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let mut town = ordered(&destination);
    for n in 1..=3 {
        send(&mut town, "k", n).await;
    }
    let payload = |kept: &stateful_functions::pipeline::Kept| kept.record().unwrap().payload();
    let second = town
        .kept()
        .into_iter()
        .find(|(_, kept)| payload(kept) == r#"{"key":"k","n":2}"#);
    let (second, _) = second.unwrap();
    let reply = town.command(&second, Verb::Retry).await;
    assert_eq!(
        reply.code.as_deref(),
        Some("job.bad_state"),
        "it must not overtake"
    );
    assert!(town.command(&second, Verb::Cancel).await.ok);

    destination.forget();
    destination.react(Reaction::status(200));
    town.advance(5 * SECOND).await;
    assert_eq!(
        destination.bodies(),
        [r#"{"key":"k","n":1}"#, r#"{"key":"k","n":3}"#]
    );

    assert!(town.command(&second, Verb::Retry).await.ok, "requeued");
    town.advance(Duration::ZERO).await;
    assert_eq!(destination.bodies().last().unwrap(), r#"{"key":"k","n":2}"#);
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn a_retried_record_queues_behind_the_others() {
    let destination = Destination::start().await;
    destination.react_with(|request| match body(request)["n"].as_u64() {
        Some(1) => Reaction::status(400),
        _ => Reaction::status(503),
    });
    let mut town = ordered(&destination);
    for n in 1..=3 {
        send(&mut town, "k", n).await;
    }
    let dead = |town: &mut Town| {
        let kept = town.kept().into_iter();
        let mut dead = kept.filter(|(_, kept)| kept.delivery().is_terminal());
        dead.next().unwrap().0
    };
    let first = dead(&mut town);
    assert!(town.command(&first, Verb::Retry).await.ok);
    destination.forget();
    destination.react(Reaction::status(200));
    town.advance(10 * SECOND).await;
    let numbers: Vec<u64> = destination
        .received()
        .iter()
        .map(|request| body(request)["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [2, 3, 1]);
    assert_eq!(town.remembering(), []);
}

#[tokio::test]
async fn a_record_without_its_key_is_a_dead_letter() {
    let destination = Destination::start().await;
    let mut town = ordered(&destination);
    town.send("sender", r#"{"n":1}"#).await;
    assert_eq!(town.stands(), "discarded permanent 1");
    let (address, _) = town.only();
    assert!(town.command(&address, Verb::Retry).await.ok);
    town.advance(Duration::ZERO).await;
    assert_eq!(town.stands(), "discarded permanent 2", "it still has none");
}

#[tokio::test]
async fn each_destination_of_a_url_with_placeholders_has_its_own_lanes() {
    let mut down = Destination::start().await;
    let up = Destination::start().await;
    down.go_down().await;
    let export = HttpExport::post("http://127.0.0.1:{port}/").order_key("key");
    let mut town = Town::new(Pipeline::builder("p").http_export(export));
    let port = |destination: &Destination| {
        destination
            .url("")
            .rsplit_once(':')
            .unwrap()
            .1
            .parse::<u16>()
            .unwrap()
    };
    for destination in [&down, &up] {
        let record = json!({"key": "k", "port": port(destination)});
        town.send("sender", &record.to_string()).await;
    }
    assert_eq!(up.received().len(), 1);
    assert_eq!(town.stands(), "awaiting retry 1");
}

/// Random statuses, random pauses: in the end every record has arrived in the order of its key, or is a dead letter.
#[tokio::test]
async fn order_holds_for_random_outages() {
    use stateful_functions::random::Random;
    use std::sync::Mutex;

    for seed in 0..10 {
        let destination = Destination::start().await;
        let random = Mutex::new(Random::seeded(seed));
        destination.react_with(move |_| {
            let mut random = random.lock().unwrap();
            match random.below(100) {
                0..50 => Reaction::status(200),
                50..60 => Reaction::status(400),
                60..65 => Reaction::Reset,
                _ => Reaction::status(503),
            }
        });
        let mut town = ordered(&destination);
        let mut random = Random::seeded(seed + 1_000);
        for n in 0..60 {
            let key = format!("k{}", random.below(3));
            send(&mut town, &key, n).await;
            if random.chance(30) {
                town.advance(Duration::from_millis(random.below(3_000)))
                    .await;
            }
        }
        town.advance(Duration::from_secs(24 * 3600)).await;

        let mut last: HashMap<String, u64> = HashMap::new();
        for request in destination.received() {
            let record = body(&request);
            let (key, n) = (
                record["key"].as_str().unwrap(),
                record["n"].as_u64().unwrap(),
            );
            let last = last.entry(key.to_owned()).or_default();
            assert!(n >= *last, "seed {seed}: {n} after {last} of {key}");
            *last = n;
        }
        let tried: std::collections::HashSet<u64> = destination
            .received()
            .iter()
            .map(|request| body(request)["n"].as_u64().unwrap())
            .collect();
        assert_eq!(tried.len(), 60, "seed {seed}: every record was sent");
        assert!(
            town.kept()
                .values()
                .all(|kept| kept.delivery().is_terminal()),
            "seed {seed}"
        );
        destination.react(Reaction::status(200));
        send(&mut town, "last", 60).await; // has the destination go through its list
        let lanes = town.remembering().into_iter().filter(|address| {
            let name = address.type_name().name();
            name.starts_with("lane.") || name.starts_with("destination.")
        });
        assert_eq!(lanes.collect::<Vec<_>>(), [], "seed {seed}");
        assert_eq!(town.pending(), 0, "seed {seed}");
    }
}
