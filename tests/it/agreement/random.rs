//! Scripts from seeds. One message at a time goes from address to address, so that everything but the answers is determined.
//!
//! `STATEFUN_SEED` replays one, `STATEFUN_SEEDS` sets how many are run.

use std::collections::{BTreeMap, BTreeSet};

use stateful_functions::random::Random;

use super::harmless::{TYPE, compare};
use super::host::{Host, OUT};
use super::script::Script;
use crate::support::reply::Reply;
use crate::support::scripted::Step;
use crate::support::seeds::number;

/// Scripts in a run.
const SEEDS: u64 = 20;
/// Calls that follow from one message of the ingress.
const VISITS: usize = 12;
/// Two types share two of the ids.
const ADDRESSES: [&str; 5] = ["x", "y", "z", "other/x", "other/y"];
const STATES: [&str; 4] = ["u", "v", "w", "aLongerName_1"];
const TOKENS: [&str; 3] = ["s", "t", "a longer token"];

/// What the functions know by now, so that nothing they do is fatal.
struct Play<'a> {
    random: &'a mut Random,
    steps: BTreeMap<&'static str, Vec<Step>>,
    /// By type.
    declared: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// Pending ones, with their ids.
    tokens: BTreeSet<(&'static str, &'static str)>,
    records: usize,
}

fn write(script: &mut Script, seed: u64) {
    let random = &mut Random::seeded(seed);
    script.behind(if random.chance(70) { "agree" } else { "okhttp" });
    let mut play = Play {
        steps: BTreeMap::new(),
        declared: BTreeMap::new(),
        tokens: BTreeSet::new(),
        records: 0,
        random,
    };
    for _ in 0..2 {
        let way: Vec<&str> = (0..VISITS).map(|_| pick(play.random, &ADDRESSES)).collect();
        for (number, address) in way.iter().enumerate() {
            play.visit(script, address, way.get(number + 1).copied());
        }
        let last = way[VISITS - 1];
        script.feed(way[0], "from outside");
        script.calls(last, play.steps[last].len());
        script.records(play.records);
    }
    for (address, steps) in play.steps {
        script.answers(address, steps);
    }
}

impl Play<'_> {
    /// An address is called, and calls the next one.
    fn visit(&mut self, script: &Script, address: &'static str, next: Option<&str>) {
        let (kind, id) = address.split_once('/').unwrap_or(("", address));
        let mut steps = Vec::new();
        if self.random.chance(35) {
            steps.extend(self.faults(script));
        }
        if self.random.chance(35) {
            let names: BTreeSet<&str> = (0..=self.random.below(2))
                .map(|_| pick(self.random, &STATES))
                .collect();
            self.declared.entry(kind).or_default().extend(&names);
            steps.push(Step::reply(Reply::needs(&Vec::from_iter(names))));
        }
        let reply = self.changes(kind);
        let reply = self.timers(reply, id, &script.at("never"));
        let reply = self.egress(reply);
        let reply = match next {
            None => reply,
            Some(next) if self.random.chance(30) => {
                let delay = self.random.below(3).try_into().unwrap();
                reply.after(delay, &script.at(next), &self.text())
            }
            Some(next) => reply.send(&script.at(next), &self.text()),
        };
        steps.push(Step::reply(reply));
        self.steps.entry(address).or_default().extend(steps);
    }

    /// Attempts that are made again.
    fn faults(&mut self, script: &Script) -> Vec<Step> {
        let count = 1 + self.random.below(3);
        let is_okhttp = script.at("").starts_with("okhttp");
        let fault = |kind: u64| match kind {
            0 => Step::status("503 Service Unavailable").closing(),
            1 => Step::close_after("HTTP/1.1 200 OK\r\n"),
            2 => Step::status("429 Too Many Requests").closing(),
            3 => Step::status("404 Not Found"),
            4 => Step::body("text/plain", b""),
            5 => Step::body("application/octet-stream", b"garbage"),
            6 => Step::reset_after(""),
            _ => Step::answer("302 Found", &format!("{TYPE}location: /\r\n"), b""),
        };
        let kinds = if is_okhttp { 3 } else { 8 };
        (0..count)
            .map(|_| fault(self.random.below(kinds)))
            .collect()
    }

    fn changes(&mut self, kind: &str) -> Reply {
        let known: Vec<&str> = self
            .declared
            .get(kind)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let mut reply = Reply::new();
        for _ in 0..self.random.below(4) {
            if known.is_empty() {
                break;
            }
            let name = pick(self.random, &known);
            reply = match self.random.below(3) {
                0 => reply.remove(name),
                _ => reply.set(name, &self.text()),
            };
        }
        reply
    }

    /// Timers that never fire within the test, and cancellations.
    fn timers(&mut self, mut reply: Reply, id: &'static str, target: &str) -> Reply {
        for _ in 0..self.random.below(3) {
            let token = pick(self.random, &TOKENS);
            if self.tokens.remove(&(id, token)) || self.random.chance(30) {
                reply = reply.cancel(token);
            } else {
                self.tokens.insert((id, token));
                reply = reply.armed(3_600_000, target, "never", token);
            }
        }
        reply
    }

    fn egress(&mut self, mut reply: Reply) -> Reply {
        for _ in 0..self.random.below(3) {
            self.records += 1;
            reply = reply.egress(OUT, &format!("record {}", self.text()));
        }
        reply
    }

    fn text(&mut self) -> String {
        let length = self.random.below(20).try_into().unwrap();
        "ä text of some length"
            .chars()
            .take(length)
            .chain(self.random.below(1000).to_string().chars())
            .collect()
    }
}

fn pick<'a>(random: &mut Random, from: &[&'a str]) -> &'a str {
    let number = random.below(from.len().try_into().unwrap());
    from[usize::try_from(number).unwrap()]
}

async fn play(host: &mut Host, seeds: std::ops::Range<u64>) -> Vec<(String, Vec<String>)> {
    let mut played = Vec::new();
    for seed in seeds {
        let script = Script::new(format!("seed{seed}"), |script| write(script, seed));
        let lines = host.play(&script).await;
        played.push((script.name, lines));
    }
    played
}

#[tokio::test]
async fn sf_66_functions_see_the_same_of_random_scripts() {
    let seeds = match number("STATEFUN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STATEFUN_SEEDS").unwrap_or(SEEDS),
    };
    let Some(mut real) = Host::real(|settings| settings.restarts = 0).await else {
        return;
    };
    let real = play(&mut real, seeds.clone()).await;
    let ours = play(&mut Host::ours(&["--attempts", "1"]).await, seeds).await;
    compare(&real, &ours);
}
