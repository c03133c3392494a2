//! Random runs of a pipeline with a flaky destination, killed at any step: nothing is lost, the order per key stays, and at most the attempt in progress repeats,
//! with its key.
//!
//! `PIPELINE_RUNS` sets how many runs, from `PIPELINE_FROM` on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use stateful_functions::pipeline::{Pipeline, PipelineBuilder, PipelineConfig, Uuid};
use stateful_functions::random::Random;
use stateful_functions::transport::http::client::{
    Answering, HttpRequest, HttpResponse, Network, Script, Scripted,
};

use super::town::Town;

const RUNS: u64 = 1_000;
const RECORDS: u64 = 12;

/// A destination that fails at random, and notes what it has taken.
struct Flaky {
    noted: Mutex<Noted>,
}

struct Noted {
    random: Random,
    /// In the order of arrival: record, lane, key.
    taken: Vec<(u64, String, String)>,
    /// It no longer fails.
    is_well: bool,
}

impl Answering for Flaky {
    fn answer(&self, request: &HttpRequest) -> Scripted {
        let mut noted = self.noted.lock().unwrap();
        let fails = if noted.is_well { 0 } else { 40 };
        if noted.random.chance(fails) {
            return match noted.random.below(3) {
                0 => Scripted::NoConnection,
                1 => Scripted::NoAnswer,
                _ => response(503),
            };
        }
        let record: Value = serde_json::from_slice(&request.body).unwrap();
        let key = request.headers.get("idempotency-key").unwrap();
        noted.taken.push((
            record["n"].as_u64().unwrap(),
            record["lane"].as_str().unwrap().to_owned(),
            key.to_str().unwrap().to_owned(),
        ));
        response(200)
    }
}

fn response(status: u16) -> Scripted {
    Scripted::Response(HttpResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    })
}

/// The pipeline of a run; always the same one, so that it can be started again.
fn pipeline(network: &Network, seed: u64) -> PipelineBuilder {
    let mut random = Random::seeded(seed);
    let mut export = json!({
        "url": "http://destination.invalid/",
        "retry": {"first": "1s", "max": "20s", "attempts": "endless", "maxAge": "endless"},
        "circuit": if random.chance(50) { json!(false) } else { json!({"failures": 3, "openFor": "1s"}) },
    });
    if random.chance(60) {
        export["orderKey"] = json!("lane");
    }
    let spec = json!({"name": "p", "stages": [{"set": {"seen": true}}, {"http-export": export}]});
    let config = PipelineConfig::from_json(&spec).unwrap();
    Pipeline::declared(config)
        .network(network)
        .record_id_seed(Uuid::from_u64_pair(seed, 0))
}

/// One run; the number of kills in it.
async fn run(seed: u64) -> u64 {
    let flaky = Arc::new(Flaky {
        noted: Mutex::new(Noted {
            random: Random::seeded(seed ^ 0xF1A6),
            taken: Vec::new(),
            is_well: false,
        }),
    });
    let network = Network::scripted(Script::new(flaky.clone()));
    let mut random = Random::seeded(seed);
    let mut town = Town::new(pipeline(&network, seed));
    let again = network.clone();
    town.kill_at_random(random.next_u64(), move |kills| {
        pipeline(&again, seed).record_id_seed(Uuid::from_u64_pair(seed, kills))
    });
    for n in 0..RECORDS {
        let lane = format!("l{}", random.below(3));
        let record = json!({"n": n, "lane": lane});
        town.send("d", &record.to_string()).await;
        town.advance(Duration::from_millis(random.below(1_500)))
            .await;
    }
    flaky.noted.lock().unwrap().is_well = true;
    town.advance(Duration::from_secs(120)).await;
    let kills = town.kills();
    let noted = flaky.noted.lock().unwrap();
    let is_ordered = pipeline_is_ordered(seed);
    let mut keys: HashMap<u64, &str> = HashMap::new();
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut repeats = 0;
    for (n, lane, key) in &noted.taken {
        match keys.insert(*n, key) {
            Some(known) => {
                assert_eq!(known, key, "seed {seed}: {n} came under two keys");
                repeats += 1;
            }
            None => {
                let before = last.insert(lane, *n);
                let in_order = before.is_none_or(|before| before < *n);
                assert!(in_order || !is_ordered, "seed {seed}: {n} after {before:?}");
            }
        }
    }
    let missing: Vec<u64> = (0..RECORDS).filter(|n| !keys.contains_key(n)).collect();
    assert!(missing.is_empty(), "seed {seed}: {missing:?} lost");
    assert!(
        repeats <= kills,
        "seed {seed}: {repeats} repeats, {kills} kills"
    );
    assert!(town.kept().is_empty(), "seed {seed}: still kept");
    kills
}

/// The same choice as in `pipeline`.
fn pipeline_is_ordered(seed: u64) -> bool {
    let mut random = Random::seeded(seed);
    random.chance(50);
    random.chance(60)
}

#[tokio::test]
async fn pl_27_killed_at_any_step_a_pipeline_loses_nothing_and_repeats_only_the_attempt_in_progress()
 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let from = number("PIPELINE_FROM").unwrap_or(0);
    let runs = number("PIPELINE_RUNS").unwrap_or(RUNS);
    let mut kills = 0;
    for seed in from..from + runs {
        kills += run(seed).await;
    }
    assert!(kills > runs, "{kills} kills in {runs} runs");
}
