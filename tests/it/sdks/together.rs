//! Several languages in one module: they call each other, and understand each other's values.

use serde_json::{Value, json};

use super::cells;
use super::scene::Scene;
use crate::support::sdk_servers::{Language, SdkServer};
use crate::workload::homes::embedded::Embedded;
use crate::workload::homes::servers::RustServer;
use crate::workload::program::TYPES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_python_go_and_rust_functions_understand_each_other() {
    play(Language::Python, Language::Go).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_65_javascript_java_and_rust_functions_understand_each_other() {
    play(Language::JavaScript, Language::Java).await;
}

/// One language behind each of the three types.
async fn play(alpha: Language, beta: Language) {
    let (one, other) = (alpha.name(), beta.name());
    let test = format!("sf_65_{one}_{other}_and_rust_functions_understand_each_other");
    if !alpha.is_there(&test) || !beta.is_there(&test) {
        return;
    }
    let mut scene = Scene::of(Embedded::with_servers(|marks| {
        vec![
            ("workload/alpha", Box::new(SdkServer::start(alpha, marks))),
            ("workload/beta", Box::new(SdkServer::start(beta, marks))),
            ("elsewhere.workload/*", Box::new(RustServer::start(marks))),
        ]
    }));
    let mut expected = Vec::new();
    for from in TYPES {
        for to in TYPES {
            let (from, to) = (format!("{from}/teller"), format!("{to}/listener"));
            tell(&mut scene, &mut expected, &from, &to);
            send_on(&mut scene, &mut expected, &from, &to);
        }
    }
    scene.ends_with(&expected).await;
}

/// `from` sends a value of each type.
fn tell(scene: &mut Scene, expected: &mut Vec<Value>, from: &str, to: &str) {
    let values = cells()
        .into_iter()
        .flat_map(|(cell, value, zero)| [(cell, value), (cell, zero)]);
    let mut ops = Vec::new();
    for (cell, value) in values {
        ops.push(json!({"op": "tell", "to": to, "cell": cell, "value": value}));
        expected
            .push(json!({"kind": "told", "at": to, "caller": from, "cell": cell, "value": value}));
    }
    let id = format!("{from} tells {to}");
    scene.feed(from, json!({"id": id, "from": null, "do": ops}));
}

/// `from` sends a program, whose answer comes back to it.
fn send_on(scene: &mut Scene, expected: &mut Vec<Value>, from: &str, to: &str) {
    let back = json!({"id": "back", "from": to, "do": [{"op": "egress", "text": "<ü & 🦀>"}]});
    let there =
        json!({"id": "there", "from": from, "do": [{"op": "send", "to": from, "program": back}]});
    let ops = [json!({"op": "send", "to": to, "program": there})];
    let id = format!("{from} asks {to}");
    scene.feed(from, json!({"id": id, "from": null, "do": ops}));
    expected.push(json!({"kind": "egress", "at": from, "program": "back", "text": "<ü & 🦀>"}));
}
