//! SF-65: functions of the unmodified official SDKs on the embedded runtime: alone, with crashes in between, and several languages in
//! one module. The functions are the interpreters of `tests/functions`; the expected results are written here by hand.

mod alone;
mod scene;
mod together;

use serde_json::{Value, json};

/// Each cell with a value that wants care and with the one that is encoded as no bytes.
fn cells() -> [(&'static str, Value, Value); 7] {
    [
        ("flag", json!(true), json!(false)),
        ("number", json!(i32::MIN), json!(0)),
        ("count", json!("-9223372036854775808"), json!("0")),
        ("ratio", json!(0.1), json!(0)),
        ("small", json!(-1.5), json!(0)),
        ("text", json!("grüße 🦀 \"\\\n"), json!("")),
        (
            "note",
            json!({"<&>": [1, 2.5, {"ü": [null]}], "": true}),
            json!({}),
        ),
    ]
}
