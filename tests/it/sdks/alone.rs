//! Each language alone: all that an SDK can say, with crashes in between.

use serde_json::{Value, json};

use super::home::Home;
use crate::support::sdk_servers::{Language, SdkServer};

#[test]
fn sf_65_python_functions_run_on_the_embedded_runtime() {
    play(
        Language::Python,
        "sf_65_python_functions_run_on_the_embedded_runtime",
    );
}

#[test]
fn sf_65_go_functions_run_on_the_embedded_runtime() {
    play(
        Language::Go,
        "sf_65_go_functions_run_on_the_embedded_runtime",
    );
}

fn play(language: Language, test: &str) {
    if !language.is_there(test) {
        return;
    }
    let mut home = Home::start(|marks| {
        let server = SdkServer::start(language, marks);
        vec![("workload/* elsewhere.workload/*", server)]
    });
    home.feed(
        "workload/alpha/cells",
        &json!({"id": "1", "from": null, "do": [{"op": "read", "cell": "flag"}]}),
    );
    home.servers[0].kill();
    home.crash_runtime();
    home.rest();
    let records: Vec<Value> = home
        .left_over("records")
        .into_iter()
        .map(|record| record.value)
        .collect();
    assert_eq!(
        records,
        [
            json!({"kind": "read", "at": "workload/alpha/cells", "program": "1", "cell": "flag", "value": null})
        ]
    );
}
