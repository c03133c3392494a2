//! Kind: an outage uses up the data's attempts. A user saw dead letters after an hour of outage, though `maxAge` is 72 hours: the probes
//! of the circuit and the retries had used up the 21 attempts.

use std::time::Duration;

use serde_json::json;
use stateful_functions::pipeline::{Pipeline, PipelineConfig};

use crate::pipelines::town::Town;
use crate::support::destination::{Destination, Reaction};

const HOUR: Duration = Duration::from_secs(3600);

/// The default policy; the circuit asks so often.
fn exporting(destination: &Destination, ask_every: &str) -> Town {
    let export = json!({"url": destination.url("/"), "circuit": {"openFor": ask_every}});
    let spec = json!({"name": "p", "stages": [{"name": "crm", "http-export": export}]});
    Town::new(Pipeline::declared(
        PipelineConfig::from_json(&spec).unwrap(),
    ))
}

/// `first` events, then one in each `gap` until the outage has taken `hours`; then all of them arrive.
async fn survives(hours: u32, ask_every: &str, first: u32, gap: Duration) {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let mut town = exporting(&destination, ask_every);
    let mut sent = 0;
    while sent < first {
        town.send("d", &sent.to_string()).await;
        sent += 1;
    }
    let end = town.now() + HOUR * hours;
    while town.now() < end {
        town.advance(gap.min(end.since(town.now()))).await;
        town.send("d", &sent.to_string()).await;
        sent += 1;
    }
    let kept = town.kept();
    assert!(
        kept.values().all(|kept| !kept.delivery().is_terminal()),
        "an outage of {hours} h makes no dead letter"
    );
    assert_eq!(kept.len(), sent as usize);
    let spent: u32 = kept.values().map(|kept| kept.delivery().spent).sum();
    assert!(spent <= 10, "probes cost nothing: {spent} attempts spent");

    destination.forget();
    destination.react(Reaction::status(200));
    // One that was woken and failed has a time of its own, ten minutes at most.
    town.advance(Duration::from_secs(700)).await;
    assert_eq!(town.kept().len(), 0);
    let mut bodies = destination.bodies();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies.len(), sent as usize, "all arrive, each once");
    assert_eq!(town.remembering(), []);
    assert_eq!(town.pending(), 0);
}

#[tokio::test]
async fn three_hours_of_outage_make_no_dead_letter() {
    survives(3, "5s", 10, Duration::from_secs(600)).await;
}

#[tokio::test]
async fn a_day_of_outage_makes_no_dead_letter_for_many_events() {
    survives(24, "60s", 200, Duration::from_secs(120)).await;
}

#[tokio::test]
async fn seventy_one_hours_of_outage_make_no_dead_letter() {
    survives(71, "120s", 1, 6 * HOUR).await;
}

#[tokio::test]
async fn what_is_held_becomes_a_dead_letter_when_its_time_is_over() {
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let mut town = exporting(&destination, "60s");
    for n in 0..300 {
        town.send("d", &n.to_string()).await;
    }
    town.advance(HOUR * 73).await;
    let kept = town.kept();
    assert_eq!(kept.len(), 300);
    for kept in kept.values() {
        let reason = kept.delivery().reason.unwrap();
        assert_eq!(reason.as_str(), "expired");
    }
    assert_eq!(town.pending(), 0, "nothing is left to be asked for");
}
