//! The binary under load, killed again and again: acknowledged messages count once, all others at most once.
//!
//! `STATEFUN_KILLS` sets how often it is killed, `STATEFUN_SEEDS` how many times this is repeated from the beginning.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use stateful_functions::random::Random;
use tokio::runtime::Runtime as Executor;

use crate::support::installed::Installed;
use crate::support::ledger;
use crate::support::load::{Books, Load, Order, Plan};
use crate::support::process::Process;
use crate::support::seeds::{for_each_seed, number};
use crate::support::served::served;
use crate::support::until::until;

/// How often the binary is killed under load.
const KILLS: u64 = 20;

/// A folder with a module: the sample functions in the process, `test/ledger` behind HTTP, an egress to a file.
struct Played {
    executor: Executor,
    installed: Installed,
}

impl Played {
    fn new() -> Self {
        let executor = Executor::new().unwrap();
        let port = executor.block_on(served(ledger::functions())).port();
        let installed = Installed::empty();
        let output = installed.path("out.jsonl");
        let module = format!(
            "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.samples.v1/functions
spec: {{}}
---
kind: io.statefun.endpoints.v2/http
spec: {{functions: test/*, urlPathTemplate: 'http://127.0.0.1:{port}/'}}
---
kind: statefun.file.v1/egress
spec: {{id: test/out, path: '{}'}}
",
            output.display()
        );
        installed.set_module(&module);
        Self {
            executor,
            installed,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.installed.path(name)
    }

    fn run(&self) -> Process {
        self.installed.run()
    }

    /// Starts it and kills it before it is ready: at once, or when it has begun to recover.
    fn kill_early(&self, random: &mut Random) {
        let data = self.path("data");
        let before = newest_log(&data);
        let mut process = self.installed.spawn();
        if random.chance(60) {
            let begun = async || (newest_log(&data) > before).then_some(());
            self.executor
                .block_on(until("a log file of its own", begun));
        }
        process.kill();
    }

    /// Ids and entries of the records in the file, in order.
    fn records(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.path("out.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("a whole line");
            let text = |field: &str| line[field].as_str().unwrap().to_owned();
            (text("id"), text("value"))
        });
        lines.collect()
    }

    /// Holds what is there against what was told.
    fn check(&self, base: &str, orders: &[Order]) {
        let books = Books::settled(base, orders, true);
        let books = self.executor.block_on(books);
        let all = async || {
            // The last line may be half written at the moment.
            let text = fs::read_to_string(self.path("out.jsonl")).ok()?;
            let whole = text.is_empty() || text.ends_with('\n');
            (whole && books.are_all_in(&self.records())).then_some(())
        };
        self.executor.block_on(until("all records", all));
        books.check_records(&self.records());
    }
}

/// The name of the log file that was begun last.
fn newest_log(data: &Path) -> Option<String> {
    let names = fs::read_dir(data).ok()?;
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("log-")).max()
}

#[test]
fn sf_48_and_r_01_after_twenty_kills_every_acknowledged_message_counts_once() {
    for_each_seed(1, |seed| {
        let place = Played::new();
        let mut random = Random::seeded(seed);
        let load = Load::start(Plan {
            seed,
            connections: 8,
            percent_counted: 30,
        });
        let mut kills = number("STATEFUN_KILLS").unwrap_or(KILLS);
        while kills > 0 {
            while random.chance(20) {
                place.kill_early(&mut random);
            }
            let mut process = place.run();
            load.point_at(Some(process.url("http ingress")));
            load.accept(random.below(400));
            if random.chance(15) {
                assert_eq!(process.terminate(), Some(0));
            } else {
                process.kill();
                kills -= 1;
            }
            load.point_at(None);
        }
        let process = place.run();
        load.point_at(Some(process.url("http ingress")));
        load.accept(50);
        let orders = load.finish();
        place.check(&process.url("http ingress"), &orders);
        drop(process);
        let process = place.run();
        place.check(&process.url("http ingress"), &orders);
    });
}

#[test]
fn each_listener_has_a_line_and_a_signal_may_come_with_the_word_ready() {
    let place = Played::new();
    let mut process = place.run();
    let (ready, listeners) = process.started.split_last().unwrap();
    assert_eq!(ready, "ready");
    let names = listeners
        .iter()
        .map(|line| line.split_once(" listens on 127.0.0.1:").unwrap().0);
    assert_eq!(names.collect::<Vec<_>>(), ["http ingress", "admin api"]);
    assert_eq!(process.terminate(), Some(0));
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_and_harms_nothing() {
    let place = Played::new();
    let mut first = place.run();
    let data = place.path("data");
    let module = place.path("module.yaml");
    let text = fs::read_to_string(&module).unwrap();
    let elsewhere = place.path("elsewhere.yaml");
    fs::write(&elsewhere, text.replace("out.jsonl", "other.jsonl")).unwrap();
    let in_use = format!("{} is in use by another process", data.display());
    for (module, expected) in [
        (
            &module,
            "another runtime writes to it; is this one running already?",
        ),
        (&elsewhere, &in_use),
    ] {
        let second = Process::command(module, &data).output();
        let Output {
            status,
            stdout,
            stderr,
        } = second.unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.len()), (Some(1), 0), "{stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(last.contains(expected), "{stderr}");
    }
    place.check(&first.url("http ingress"), &[]);
    assert_eq!(first.terminate(), Some(0));
}
