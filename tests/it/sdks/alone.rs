//! Each language alone: everything that an SDK can express, with the server and the runtime killed in between.

use std::path::Path;

use serde_json::{Value, json};

use super::cells;
use super::scene::Scene;
use crate::support::sdk_servers::{Language, SdkServer};
use crate::workload::homes::Home as _;
use crate::workload::homes::embedded::Embedded;
use crate::workload::homes::servers::Server;
use crate::workload::model::{kafka, kinesis};

/// No test lasts so long.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_python_functions_run_on_the_embedded_runtime() {
    play(Language::Python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_go_functions_run_on_the_embedded_runtime() {
    play(Language::Go).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_javascript_functions_run_on_the_embedded_runtime() {
    play(Language::JavaScript).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_java_functions_run_on_the_embedded_runtime() {
    play(Language::Java).await;
}

async fn play(language: Language) {
    let name = language.name();
    if !language.is_there(&format!(
        "sf_65_{name}_functions_run_on_the_embedded_runtime"
    )) {
        return;
    }
    let server = |marks: &Path| -> Box<dyn Server> { Box::new(SdkServer::start(language, marks)) };
    let mut scene = Scene::of(Embedded::with_server(server));
    before_the_crash(&mut scene);
    scene.taken_in().await;
    scene.home.kill_runtime().await;
    scene.home.kill_server().await;
    after_the_crash(&mut scene);
    let (records, reports) = (records(), reports());
    scene.ends_with(&records).await;
    for report in &reports {
        scene.ask(report["at"].as_str().unwrap());
    }
    scene.ends_with(&[records, reports].concat()).await;
}

fn before_the_crash(scene: &mut Scene) {
    let read = || cells().map(|(cell, ..)| json!({"op": "read", "cell": cell}));
    let clear = cells().map(|(cell, ..)| json!({"op": "clear", "cell": cell}));
    let set = cells().map(|(cell, value, _)| json!({"op": "set", "cell": cell, "value": value}));
    let zero = cells().map(|(cell, _, zero)| json!({"op": "set", "cell": cell, "value": zero}));

    let ops = [read(), set.clone(), read()].concat();
    scene.feed("workload/alpha/cells", program("set", ops));
    scene.feed(
        "workload/beta/cells",
        program("zero", [zero, read()].concat()),
    );
    let again = json!({"op": "set", "cell": "number", "value": 7});
    let ops = [&set[..], &clear, &read(), &[again]].concat();
    scene.feed("elsewhere.workload/alpha/cells", program("clear", ops));

    let beta = "workload/beta/talk";
    let elsewhere = "elsewhere.workload/alpha/a b/ü";
    let reply = json!({"id": "reply", "from": elsewhere, "do": [{"op": "mark", "number": 1}, {"op": "add", "amount": 7}]});
    let answer = json!({"id": "answer", "from": "workload/alpha/talk", "do": [
        {"op": "egress", "text": "asked"}, {"op": "send", "to": beta, "program": reply}]});
    scene.feed(
        "workload/alpha/talk",
        program(
            "talk",
            vec![
                json!({"op": "send", "to": beta, "program": marked("first", 1)}),
                json!({"op": "send", "to": elsewhere, "program": answer}),
            ],
        ),
    );

    let own = "workload/alpha/self";
    let thrice = json!({"id": "thrice", "from": own, "do": [{"op": "mark", "number": 2}, {"op": "egress", "text": "thrice"}]});
    let twice = json!({"id": "twice", "from": own, "do": [
        {"op": "mark", "number": 1}, {"op": "send", "to": own, "program": thrice}]});
    let once = vec![
        json!({"op": "mark", "number": 1}),
        json!({"op": "send", "to": own, "program": twice}),
    ];
    scene.feed(own, program("once", once));

    let late = |text: &str| json!({"id": text, "from": "workload/beta/later", "do": [{"op": "egress", "text": text}]});
    let later = vec![
        json!({"op": "send_after", "ms": 0, "to": "workload/alpha/later", "program": late("soon")}),
        json!({"op": "send_after", "ms": 40, "to": "workload/alpha/later", "program": late("late"), "token": "kept"}),
        json!({"op": "send_after", "ms": DAY_MS, "to": "workload/alpha/later", "program": late("never"), "token": "gone"}),
        json!({"op": "send_after", "ms": DAY_MS, "to": "workload/alpha/later", "program": late("neither"), "token": "gone at once"}),
        json!({"op": "cancel", "token": "gone at once"}),
        json!({"op": "cancel", "token": "never armed"}),
    ];
    scene.feed("workload/beta/later", program("later", later));

    let wrong = json!({"id": "wrong", "from": "workload/beta/nobody", "do": []});
    scene.feed("workload/alpha/wrong", wrong);
    let out = vec![
        json!({"op": "kafka", "topic": "orders", "key": "k ü", "text": "to Kafka ✓"}),
        json!({"op": "kinesis", "stream": "clicks", "key": "k ü", "text": "to Kinesis ✓"}),
    ];
    scene.feed("workload/alpha/out", program("out", out));

    for (address, how) in [
        ("workload/beta/fails", "fail_once"),
        ("elsewhere.workload/alpha/crashes", "crash_once"),
    ] {
        let ops = vec![
            json!({"op": "add", "amount": 1}),
            json!({"op": "egress", "text": how}),
            json!({"op": how, "mark": how}),
            json!({"op": "add", "amount": 40}),
        ];
        scene.feed(address, program(how, ops));
    }
}

fn after_the_crash(scene: &mut Scene) {
    let mut ops = cells()
        .map(|(cell, ..)| json!({"op": "read", "cell": cell}))
        .to_vec();
    ops.push(json!({"op": "set", "cell": "flag", "value": false}));
    ops.push(json!({"op": "clear", "cell": "text"}));
    scene.feed("workload/alpha/cells", program("again", ops));
    let beta = "workload/beta/talk";
    let talk = vec![
        json!({"op": "send", "to": beta, "program": marked("second", 2)}),
        json!({"op": "send", "to": beta, "program": marked("fourth", 4)}),
    ];
    scene.feed("workload/alpha/talk", program("talk again", talk));
    let cancel = vec![json!({"op": "cancel", "token": "gone"})];
    scene.feed("workload/beta/later", program("cancel", cancel));
}

/// What must have come out, without the reports.
fn records() -> Vec<Value> {
    let read = |at: &str, program: &str, cell: &str, value: Value| json!({"kind": "read", "at": at, "program": program, "cell": cell, "value": value});
    let wrote = |at: &str, program: &str, text: &str| json!({"kind": "egress", "at": at, "program": program, "text": text});
    let mut records = vec![
        wrote("elsewhere.workload/alpha/a b/ü", "answer", "asked"),
        wrote("workload/alpha/self", "thrice", "thrice"),
        wrote("workload/alpha/later", "soon", "soon"),
        wrote("workload/alpha/later", "late", "late"),
        wrote("workload/beta/fails", "fail_once", "fail_once"),
        wrote(
            "elsewhere.workload/alpha/crashes",
            "crash_once",
            "crash_once",
        ),
        json!({"kind": "complaint", "at": "workload/alpha/wrong", "program": "wrong", "caller": null}),
        kafka("orders", "k ü", "to Kafka ✓"),
        kinesis("clicks", "k ü", "to Kinesis ✓"),
    ];
    for (cell, value, zero) in cells() {
        let alpha = "workload/alpha/cells";
        records.push(read(alpha, "set", cell, Value::Null));
        records.push(read(alpha, "set", cell, value.clone()));
        records.push(read(alpha, "again", cell, value));
        records.push(read("workload/beta/cells", "zero", cell, zero));
        let elsewhere = "elsewhere.workload/alpha/cells";
        records.push(read(elsewhere, "clear", cell, Value::Null));
    }
    records
}

fn reports() -> Vec<Value> {
    let nothing: Vec<(&str, Value)> = Vec::new();
    let report = |at: &str, total: Value, journal: Value, filled: &[(&str, Value)]| {
        let mut report = json!({"kind": "report", "at": at, "round": 1, "total": total, "journal": journal, "cells": {}});
        for (cell, ..) in cells() {
            report["cells"][cell] = Value::Null;
        }
        for (cell, value) in filled {
            report["cells"][*cell] = value.clone();
        }
        report
    };
    let mut set = cells().map(|(cell, value, _)| (cell, value));
    set[0].1 = json!(false);
    set[5].1 = Value::Null;
    let zero = cells().map(|(cell, _, zero)| (cell, zero));
    let marks = |count: u64, last: u64, disorder: u64| json!({"count": count, "last": last, "disorder": disorder});
    let talk = json!({"workload/alpha/talk": marks(3, 4, 1), "elsewhere.workload/alpha/a b/ü": marks(1, 1, 0)});
    let own = json!({"": marks(1, 1, 0), "workload/alpha/self": marks(2, 2, 0)});
    vec![
        report("workload/alpha/cells", Value::Null, Value::Null, &set),
        report("workload/beta/cells", Value::Null, Value::Null, &zero),
        report(
            "elsewhere.workload/alpha/cells",
            Value::Null,
            Value::Null,
            &[("number", json!(7))],
        ),
        report("workload/beta/talk", json!("22"), talk, &nothing),
        report("workload/alpha/self", Value::Null, own, &nothing),
        report("workload/beta/fails", json!("41"), Value::Null, &nothing),
        report(
            "elsewhere.workload/alpha/crashes",
            json!("41"),
            Value::Null,
            &nothing,
        ),
    ]
}

fn program(id: &str, ops: Vec<Value>) -> Value {
    json!({"id": id, "from": null, "do": ops})
}

/// Marks a number and adds five.
fn marked(id: &str, number: u64) -> Value {
    json!({"id": id, "from": "workload/alpha/talk", "do": [{"op": "mark", "number": number}, {"op": "add", "amount": 5}]})
}
