//! Kind: a broken value silently becomes a default. `check` found no fault in a port of 99999: the records went to port 80 of the host and counted as
//! delivered. In rules, a field that was missing counted as 0, and settings without a value took their defaults.

use stateful_functions::pipeline::Record;

use super::cli::{check, said_with};

fn pipeline(stage: &str) -> String {
    format!("kind: statefun.pipelines.v1/pipeline\nspec:\n  name: p\n  stages:\n    - {stage}\n")
}

#[test]
fn an_invalid_port_is_a_fault_of_exports_and_egresses() {
    let (code, out) = check(
        &pipeline("http-export: {url: 'http://127.0.0.1:99999/x'}"),
        &[],
    );
    assert_eq!(code, 1, "{out}");
    let fault = "`spec.stages[0].http-export.url`: `http://127.0.0.1:99999/x`: its port is not a number from 1 to 65535";
    assert!(out.contains(&format!("MODULE:5:26: {fault}")), "{out}");
    let egress =
        "kind: statefun.http.v1/egress\nspec: {id: a/b, url: 'http://127.0.0.1:65536/e'}\n";
    let (code, out) = check(egress, &[]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("MODULE:2:22: `spec.url`: ") && out.contains("its port is not"),
        "{out}"
    );
}

#[test]
fn a_setting_without_a_value_is_a_fault_and_not_its_default() {
    let ingress = "kind: statefun.http.v1/ingress\nspec:\n  listen: 127.0.0.1:0\n  callTimeout:\n  token:\n  maxBodyBytes: lots\n";
    let (code, out) = check(ingress, &[]);
    assert_eq!(code, 1, "{out}");
    for fault in [
        "`spec.callTimeout`: expected a duration, found nothing",
        "`spec.token`: expected text, found nothing",
        "`spec.maxBodyBytes`: expected a non-negative whole number, found text",
    ] {
        assert!(out.contains(fault), "{fault} in {out}");
    }
}

#[test]
fn a_number_too_large_for_its_setting_is_a_fault_and_not_the_largest() {
    let stage = "http-export: {url: 'http://h/', retry: {attempts: 5000000000}, circuit: {failures: 5000000000}}";
    let (code, out) = check(&pipeline(stage), &[]);
    assert_eq!(code, 1, "{out}");
    assert_eq!(out.matches("5000000000 is too large").count(), 2, "{out}");
}

#[test]
fn a_misspelt_setting_of_our_kinds_is_a_fault_and_not_its_default() {
    let ingress = "kind: statefun.http.v1/ingress\nspec: {listen: 127.0.0.1:0, maxBodyByte: 10}\n";
    let (code, out) = check(ingress, &[]);
    assert_eq!(code, 1, "{out}");
    let fault = "`spec.maxBodyByte`: key `maxBodyByte` is unknown (did you mean `maxBodyBytes`?)";
    assert!(out.contains(fault), "{out}");
}

#[test]
fn a_duration_has_a_unit_and_days_are_one_everywhere() {
    let ingress = |span: &str| {
        format!(
            "kind: statefun.http.v1/ingress\nspec: {{listen: 127.0.0.1:0, idempotencyWindow: {span}}}\n"
        )
    };
    let export = |span: &str| {
        pipeline(&format!(
            "http-export: {{url: 'http://h/', retry: {{maxAge: {span}}}}}"
        ))
    };
    for text in [
        ingress("3d"),
        ingress("1 day"),
        export("3d"),
        export("1d12h"),
    ] {
        let (code, out) = check(&text, &[]);
        assert_eq!(code, 0, "{text}{out}");
    }
    for text in [ingress("500"), export("500")] {
        let (code, out) = check(&text, &[]);
        assert_eq!(code, 1, "{text}{out}");
        assert!(
            out.contains("invalid duration `500`: it has no unit"),
            "{out}"
        );
    }
}

#[test]
fn an_invalid_json_payload_is_reported_with_its_location() {
    let mut record = Record::new("{\"a\": 1,\n \"b\": }");
    let error = record.document().unwrap_err().to_string();
    assert_eq!(
        error,
        "the payload is not JSON: a value is expected at line 2 column 7 (byte 16)"
    );
}

#[test]
fn a_content_type_that_ends_in_json_is_json_and_stays() {
    let mut record =
        Record::new("{}").with_content_type("application/cloudevents+json; charset=utf-8");
    record.set_document(serde_json::json!({"a": 1}));
    assert_eq!(
        record.content_type(),
        "application/cloudevents+json; charset=utf-8"
    );
    let mut text = Record::new("{}").with_content_type("text/plain");
    text.set_document(serde_json::json!({"a": 1}));
    assert_eq!(text.content_type(), "application/json");
}

/// The default of `${NAME:-default}` is for what is not there, not for what can't be read.
#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_a_fault_and_not_the_default() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let ingress = "kind: statefun.http.v1/ingress\nspec: {listen: '${PLACE:-127.0.0.1:0}'}\n";
    let broken = OsStr::from_bytes(b"\xff");
    let (code, out) = said_with("check", ingress, &[], &[("PLACE", broken)]);
    assert_eq!(code, 2, "{out}");
    assert!(
        out.contains("MODULE names ${PLACE}, whose value in the environment is not text"),
        "{out}"
    );
    let set = ["--set", "PLACE=127.0.0.1:0"];
    let (code, out) = said_with("check", ingress, &set, &[("PLACE", broken)]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn a_number_that_json_cannot_hold_is_a_fault_and_not_a_text() {
    let (code, out) = check(
        &pipeline("set: {a: .nan, b: [1, {c: -.inf}], d: 1e999}"),
        &[],
    );
    assert_eq!(code, 1, "{out}");
    for fault in [
        "`spec.stages[0].set.a`: `.nan` is not a number that JSON can hold",
        "`spec.stages[0].set.b[1].c`: `-.inf` is not a number that JSON can hold",
        "`spec.stages[0].set.d`: `1e999` is not a number that JSON can hold",
    ] {
        assert!(out.contains(fault), "{fault} in {out}");
    }
    let rule = "filter: {rule: {'<': [{var: a}, .inf]}}";
    let (code, out) = check(&pipeline(rule), &[]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("`.inf` is not a number that JSON can hold"),
        "{out}"
    );
    let (code, out) = check(&pipeline("set: {a: '.nan', b: \".inf\"}"), &[]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn a_number_that_loses_digits_is_a_warning() {
    let stage = "set: {a: 12345678901234567890123, b: 1.5, c: 18446744073709551615, d: 0.12345678901234567891}";
    let (code, out) = check(&pipeline(stage), &[]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("`12345678901234567890123` has more digits than a number keeps"),
        "{out}"
    );
    assert_eq!(out.matches("has more digits").count(), 2, "{out}");
}
