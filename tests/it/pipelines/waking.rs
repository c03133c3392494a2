//! Waiting records are tried when their destination works again.

use std::time::Duration;

use serde_json::json;
use stateful_functions::pipeline::{HttpExport, Pipeline, PipelineConfig};

use super::town::Town;
use crate::support::destination::{Destination, Reaction};

const SECOND: Duration = Duration::from_secs(1);

fn exporting(destination: &Destination) -> Town {
    Town::new(Pipeline::builder("p").http_export(HttpExport::post(destination.url("/"))))
}

#[tokio::test]
async fn pl_25_and_r_17_a_success_wakes_the_records_for_its_destination_and_no_others() {
    let (one, other) = (Destination::start().await, Destination::start().await);
    for destination in [&one, &other] {
        destination.react(Reaction::status(404)); // slow: nobody is due for ten minutes
    }
    let export = HttpExport::post("http://127.0.0.1:{port}/");
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
    for destination in [&one, &other] {
        for n in 0..3 {
            let record = json!({"port": port(destination), "n": n});
            town.send("d", &record.to_string()).await;
        }
    }
    assert_eq!((one.forget(), other.forget()), (3, 3));

    one.react(Reaction::status(200));
    town.send("d", &json!({"port": port(&one), "n": "live"}).to_string())
        .await;
    assert_eq!(one.received().len(), 4, "the live one and all that waited");
    assert_eq!(other.received().len(), 0);
    assert_eq!(town.kept().len(), 3);
    assert_eq!(town.pending(), 3, "those of the other keep their timers");

    town.advance(2 * SECOND).await;
    let handled = town.handled;
    town.send("d", &json!({"port": port(&one), "n": "again"}).to_string())
        .await;
    assert_eq!(
        town.handled - handled,
        3,
        "entry, export, destination: nothing waits, nothing is woken"
    );
}

#[tokio::test]
async fn records_on_further_pages_are_woken_too_oldest_first() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(404));
    let mut town = exporting(&destination);
    for n in 0..1_100 {
        town.send("d", &n.to_string()).await;
        town.advance(Duration::from_millis(10)).await;
    }
    destination.react(Reaction::status(200));
    destination.forget();
    while town.kept().len() > 1_000 {
        town.advance(SECOND).await; // until the gate asks again
    }
    let bodies = destination.bodies();
    assert_eq!(bodies.len(), 1_100, "all in one go");
    let numbers: Vec<u32> = bodies.iter().map(|body| body.parse().unwrap()).collect();
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 1_100, "each once");
    let early = numbers[..400].iter().filter(|n| **n < 600).count();
    assert!(early > 350, "oldest first, {early} of 400");
    assert_eq!(town.remembering(), []);
    assert_eq!(town.pending(), 0);
}

#[tokio::test]
async fn a_failure_ends_the_waking_until_the_next_success() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(404));
    let mut town = exporting(&destination);
    for n in 0..4 {
        town.send("d", &n.to_string()).await;
    }
    destination.forget();
    destination.react_with(|request| match request.body.as_slice() {
        b"live" => Reaction::status(200),
        _ => Reaction::status(404),
    });
    town.send("d", "live").await;
    assert_eq!(
        destination.received().len(),
        2,
        "the live one and one that was woken"
    );
    assert_eq!(town.kept().len(), 4);
    town.advance(2 * SECOND).await;
    town.send("d", "live").await;
    assert_eq!(
        destination.received().len(),
        4,
        "the next success, the next try"
    );
}

#[tokio::test]
async fn a_record_that_is_never_accepted_is_woken_once_between_its_own_attempts() {
    let destination = Destination::start().await;
    destination.react_with(|request| match request.body.as_slice() {
        b"poison" => Reaction::status(500),
        _ => Reaction::status(200),
    });
    let export = json!({"url": destination.url("/"), "retry": {"every": "60s"}});
    let spec = json!({"name": "p", "stages": [{"http-export": export}]});
    let mut town = Town::new(Pipeline::declared(
        PipelineConfig::from_json(&spec).unwrap(),
    ));
    town.send("d", "poison").await;
    for _ in 0..150 {
        town.advance(SECOND).await;
        town.send("d", "live").await;
    }
    // The live attempt and two of its own, each with one in its wake.
    assert_eq!(town.stands(), "awaiting retry 6");
}

#[tokio::test]
async fn without_wake_everything_waits_for_its_own_time() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(404));
    let export = json!({"url": destination.url("/"), "retry": {"wake": false}});
    let spec = json!({"name": "p", "stages": [{"http-export": export}]});
    let mut town = Town::new(Pipeline::declared(
        PipelineConfig::from_json(&spec).unwrap(),
    ));
    town.send("d", "one").await;
    destination.react(Reaction::status(200));
    town.send("d", "two").await;
    assert_eq!(town.stands(), "awaiting retry 1");
    assert_eq!(town.remembering().len(), 1);
}

#[tokio::test]
async fn r_11_a_destination_that_keeps_failing_gets_one_request_a_second_and_the_rest_waits_untried()
 {
    let mut destination = Destination::start().await;
    destination.go_down().await;
    let mut town = exporting(&destination);
    for n in 0..50 {
        town.send("d", &n.to_string()).await;
    }
    let tried = |town: &mut Town| {
        let kept = town.kept();
        kept.values()
            .map(|kept| kept.delivery().attempt)
            .sum::<u32>()
    };
    assert_eq!(town.kept().len(), 50);
    assert_eq!(tried(&mut town), 5);
    town.advance(10 * SECOND).await;
    let after = tried(&mut town);
    assert!((8..=16).contains(&after), "about one a second: {after}");

    destination.come_up().await;
    town.advance(2 * SECOND).await;
    assert_eq!(town.kept().len(), 0, "one asks, the others are woken");
    assert_eq!(destination.received().len(), 50);
    assert_eq!(town.remembering(), []);
    assert_eq!(town.pending(), 0);
}

/// A record that the destination always answered with 500 was the only probe: records that came later were never tried.
#[tokio::test]
async fn a_record_that_is_always_refused_does_not_hold_up_the_others() {
    let destination = Destination::start().await;
    destination.react_with(|request| {
        Reaction::status(match request.body.starts_with(b"bad") {
            true => 500,
            false => 200,
        })
    });
    let mut town = exporting(&destination);
    town.send("d", "bad").await;
    town.advance(60 * SECOND).await; // until the circuit is open
    for n in 0..6 {
        town.send("d", &format!("bad {n}")).await;
    }
    for n in 0..30 {
        town.send("d", &format!("good {n}")).await;
    }
    town.advance(60 * SECOND).await;
    let bodies = destination.bodies();
    let good = bodies.iter().filter(|body| body.starts_with("good"));
    assert_eq!(good.count(), 30, "each once");
    assert_eq!(town.kept().len(), 7, "the bad ones wait");
}
