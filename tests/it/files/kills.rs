//! From file to file under load, while the process is killed again and again and both files are rotated: each effect is in the output once, none is
//! missing, and each key's are in order. `STATEFUN_FILE_ROUNDS` sets how often it is killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stateful_functions::random::Random;
use stateful_functions::runtime::Runtime;
use stateful_functions::{
    BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, StatefulFunctions, TypeName,
    ValueSpec, types,
};

use super::{Turn, append, rotated_text};
use crate::connectors::with;
use crate::support::process::Process;
use crate::support::seeds::{for_each_seed, number};
use crate::support::until::until;

const ROUNDS: u64 = 20;
const KEYS: u64 = 7;
/// Lines that are written before their effects are seen.
const AHEAD: u64 = 1_500;
/// Lines between two rotations of the input.
const LINES: u64 = 400;
/// Set in the process that is killed: the folder of the files.
const FOLDER: &str = "STATEFUN_FILES_FOLDER";
const COUNTED: ValueSpec<i64> = ValueSpec::new("counted", types::LONG);

/// Counts the messages of its address, and sends `<id> <text> <count>`.
async fn count(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let text = message.require(&types::STRING)?;
    let counted = context.storage().get(&COUNTED)?.unwrap_or(0) + 1;
    context.storage().set(&COUNTED, counted)?;
    let line = format!("{} {text} {counted}", context.address().id());
    context.send_egress(EgressMessageBuilder::to(TypeName::new("test/out")).value(line));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the test below"]
async fn process_that_is_killed() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let path = |name: &str| folder.join(name).display().to_string();
    let module = format!(
        "kind: statefun.file.v1/ingress
spec: {{id: test/in, path: '{}'}}
---
kind: statefun.file.v1/egress
spec: {{id: test/out, path: '{}', rotate: {{maxBytes: 20000, keep: 100000}}}}
",
        path("in.jsonl"),
        path("out.jsonl"),
    );
    let spec = FunctionSpec::new(TypeName::new("test/count"), count).value(COUNTED);
    let functions = StatefulFunctions::new().with(spec).unwrap();
    let builder = Runtime::builder()
        .functions(functions)
        .data(folder.join("data"));
    let _runtime = with(builder, &module).start().await.unwrap();
    println!("\nready");
    std::future::pending::<()>().await;
}

fn run(folder: &Path) -> Process {
    let mut program = Command::new(std::env::current_exe().unwrap());
    let name = "files::kills::process_that_is_killed";
    program.args([name, "--exact", "--ignored", "--nocapture"]);
    program.env(FOLDER, folder);
    Process::of(program)
}

/// The lines of all output files, the oldest first.
fn lines(folder: &Path) -> Vec<String> {
    let text = rotated_text(&folder.join("out.jsonl"));
    text.lines().map(str::to_owned).collect()
}

/// Writes numbered lines until it is told to end. Returns how many.
async fn write(folder: &Path, seen: &AtomicU64, ends: &AtomicBool) -> u64 {
    let path = folder.join("in.jsonl");
    let mut number = 0;
    while !ends.load(Ordering::Relaxed) {
        let mut text = String::new();
        for _ in 0..KEYS * 4 {
            let key = number % KEYS;
            text.push_str(&format!(
                "{{\"target\":\"test/count/key-{key}\",\"value\":\"{number}\"}}\n"
            ));
            number += 1;
        }
        append(&path, &text);
        // The very first start begins with the file that is there, whatever was rotated before.
        let has_begun = seen.load(Ordering::Relaxed) > 0;
        if has_begun && number % LINES < KEYS * 4 {
            Turn::Renamed.rotate(&path, number);
        }
        until("effects of the lines", async || {
            let has_room = number < seen.load(Ordering::Relaxed) + AHEAD;
            (ends.load(Ordering::Relaxed) || has_room).then_some(())
        })
        .await;
    }
    number
}

#[test]
fn kills_under_load_lose_no_line_and_double_none_though_both_files_are_rotated() {
    for_each_seed(1, |seed| {
        let executor = tokio::runtime::Runtime::new().unwrap();
        executor.block_on(play(seed));
    });
}

async fn play(seed: u64) {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let (seen, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    let rounds = async {
        let mut random = Random::seeded(seed);
        let mut process = run(folder);
        for round in 0..number("STATEFUN_FILE_ROUNDS").unwrap_or(ROUNDS) {
            let enough = seen.load(Ordering::Relaxed) + 1 + random.below(900);
            until(&format!("effects in round {round}"), async || {
                let count = lines(folder).len() as u64;
                seen.fetch_max(count, Ordering::Relaxed);
                (count >= enough).then_some(())
            })
            .await;
            process.kill();
            process = run(folder);
        }
        ends.store(true, Ordering::Relaxed);
        process
    };
    let (written, mut process) = tokio::join!(write(folder, &seen, &ends), rounds);
    until(
        &format!("all {written} effects of seed {seed}"),
        async || (lines(folder).len() as u64 >= written).then_some(()),
    )
    .await;
    process.kill();
    check(&lines(folder), written);
}

/// Each number once, in the order of its key, with the count that its key had then.
fn check(lines: &[String], written: u64) {
    let mut by_key: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for line in lines {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = line["value"].as_str().unwrap();
        let parts: Vec<&str> = text.split(' ').collect();
        let entry = (parts[1].parse().unwrap(), parts[2].parse().unwrap());
        by_key.entry(parts[0].to_owned()).or_default().push(entry);
    }
    for key in 0..KEYS {
        let expected: Vec<(u64, u64)> = (key..written).step_by(KEYS as usize).zip(1..).collect();
        let found = by_key.remove(&format!("key-{key}")).unwrap_or_default();
        assert_eq!(found, expected, "key-{key}");
    }
    assert!(by_key.is_empty());
}
