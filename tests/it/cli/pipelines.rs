//! `statefun pipeline check`, `test`, `convert` and `graph --svg`, on files as users have them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::output;

const ORDERS: &str = "\
kind: statefun.pipelines.v1/pipeline
spec:
  name: orders
  stages:
    - filter: {rule: {\">\": [{var: total}, 100]}}
    - set: {source: web}
    - {name: crm, http-export: {url: \"https://crm.example/orders\", retry: {every: 1m, attempts: 3}}}
";

const CASES: &str = "\
cases:
  - name: a large order is sent once the crm works
    input: {total: 120}
    answers: [503, down, 200]
    for: 2m
    exports: [{method: post}, {}, {url: \"https://crm.example/orders\", body: {total: 120, source: web}}]
  - name: a small order is dropped
    input: {total: 9}
    dropped: true
  - name: an order that is never taken is a dead letter
    inputs: [{total: 101}, {total: 102}]
    answers: {\"https://crm.example/\": [{status: 400, body: no such customer}]}
    deadLetters:
      - {stage: crm, reason: permanent, error: no such customer, payload: {total: 101, source: web}}
      - {stage: crm}
  - name: one that waits is expected to wait
    input: {total: 120}
    answers: [timeout]
    waiting: 1
  - name: the answer of the crm leaves the pipeline
    input: {total: 120}
    answers: [{status: 200, headers: {content-type: text/plain}, body: taken}]
    output: taken
";

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn cases_beside_a_pipeline_pass_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "orders.yaml", ORDERS);
    let cases = written(folder.path(), "orders.test.yaml", CASES);
    let (code, out, err) = output(&["pipeline", "test", &cases]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("\n  ok    a small order is dropped\n"),
        "{out}"
    );
    assert!(out.ends_with("5 passed, 0 failed\n"), "{out}");

    let (code, out, _) = output(&[
        "pipeline",
        "test",
        &cases,
        "--only",
        "dead letter",
        "--json",
    ]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["passed"]), (0, &Value::from(1)));
    assert_eq!(told["files"][0]["cases"][0]["line"], 10);
}

#[test]
fn publications_to_a_broker_are_expected_by_their_topic_and_wait_while_it_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = "\
kind: statefun.pipelines.v1/pipeline
spec:
  name: presses
  stages:
    - set: {line: \"7\"}
    - {name: plant, mqtt-export: {url: \"mqtt://broker\", topic: \"press/{id}\", preConnect: true, retry: {every: 1m, attempts: 3}}}
";
    written(folder.path(), "presses.yaml", pipeline);
    let cases = "\
cases:
  - name: a press is published once the broker is there
    input: {id: 9}
    answers: [down, timeout, 200]
    for: 3m
    exports: [{}, {}, {method: publish, url: \"mqtt://broker:1883/press/9\", body: {id: 9, line: \"7\"}}]
    output: {id: 9, line: \"7\"}
  - name: it waits while the broker is away
    input: {id: 9}
    answers: {\"mqtt://broker:1883/\": [down]}
    waiting: 1
";
    let cases = written(folder.path(), "presses.test.yaml", cases);
    let (code, out, err) = output(&["pipeline", "test", &cases]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn a_case_that_fails_says_what_was_expected_and_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "orders.yaml", ORDERS);
    let cases = "\
cases:
  - {name: it is dropped, input: {total: 120}, dropped: true}
  - {name: it has another body, input: {total: 120}, exports: [{body: {total: 1}, url: 'https://h/'}]}
  - {name: nothing is lost, input: {total: 120}, answers: [400], exports: [{}]}
  - {name: it waits for nothing, input: {total: 120}, answers: [503], exports: [{}]}
";
    let cases = written(folder.path(), "orders.test.yaml", cases);
    let (code, out, _) = output(&["pipeline", "test", &cases]);
    assert_eq!(code, 1, "{out}");
    for text in [
        "FAIL  it is dropped (",
        "dropped: the record went on: POST https://crm.example/orders `{\"total\":120,\"source\":\"web\"}`",
        "exports[0].url: expected `https://h/`, found `https://crm.example/orders`",
        "exports[0].body: expected `{\"total\":1}`, found `",
        "deadLetters: one of stage `crm` with reason `permanent`: POST https://crm.example/orders: 400 is not expected",
        "waiting: expected 0, found 1, at crm",
        "0 passed, 4 failed",
    ] {
        assert!(out.contains(text), "{text} in {out}");
    }
}

#[test]
fn faults_of_cases_are_reported_at_once_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "orders.yaml", ORDERS);
    let cases = "\
cases:
  - {name: no input, dropped: true}
  - {input: x, name: expects nothing}
  - {name: a, input: x, answers: [later], for: soon, waiting: -1, exprots: []}
";
    let cases = written(folder.path(), "orders.test.yaml", cases);
    let (code, out, err) = output(&["pipeline", "test", &cases]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    for text in [
        "orders.test.yaml:2:5: `cases[0].input`: is required and missing",
        "orders.test.yaml:3:5: `cases[1]`: expects nothing",
        "`cases[2].answers[0]`: is not an answer; write a status such as 503, `down`, `timeout`",
        "`cases[2].for`: ",
        "`cases[2].waiting`: ",
        "`cases[2].exprots`: key `exprots` is unknown (did you mean `exports`?)",
    ] {
        assert!(err.contains(text), "{text} in {err}");
    }
    let lonely = written(folder.path(), "lonely.yaml", CASES);
    let (code, _, err) = output(&["pipeline", "test", &lonely]);
    assert!(
        code == 1 && err.contains("name their file with --of"),
        "{err}"
    );
}

const SERVICE: &str = "\
Writable:
  Pipeline:
    TargetType: event
    ExecutionOrder: 'FilterByDeviceName, HTTPExport'
    Functions:
      FilterByDeviceName: {Parameters: {DeviceNames: D, FilterOut: 'false', Match: exact}}
      HTTPExport: {Parameters: {Method: post, Url: 'http://crm.example/', MimeType: '', PersistOnError: 'true'}}
  StoreAndForward: {Enabled: true, RetryInterval: 1s, MaxRetryCount: 2}
Service: {Host: localhost}
";

#[test]
fn a_configuration_of_edgex_is_checked_and_tested_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let service = written(folder.path(), "configuration.yaml", SERVICE);
    let (code, out, _) = output(&["pipeline", "check", &service]);
    assert_eq!((code, out.as_str()), (0, "no faults, no warnings\n"));
    let broken = SERVICE
        .replace("FilterOut: 'false'", "FilterOut: ''")
        .replace("Method: post", "Method: get");
    let broken = written(folder.path(), "broken.yaml", &broken);
    let (code, out, _) = output(&["pipeline", "check", &broken]);
    assert_eq!(code, 1);
    assert!(out.contains("broken.yaml:6:68: `Writable.Pipeline.Functions.FilterByDeviceName.Parameters.FilterOut`: "), "{out}");
    assert!(out.ends_with("2 faults, no warnings\n"), "{out}");
    let half = written(
        folder.path(),
        "half.yaml",
        &SERVICE.replace("Enabled: true", "Enabled: false"),
    );
    let (_, out, _) = output(&["pipeline", "check", &half]);
    assert!(
        out.contains("`Enabled` is false: what `HTTPExport` cannot send is lost"),
        "{out}"
    );
    let nothing = written(
        folder.path(),
        "nothing.yaml",
        "kind: statefun.http.v1/ingress\nspec: {listen: '127.0.0.1:0'}\n",
    );
    let (code, out, _) = output(&["pipeline", "check", &nothing]);
    assert!(code == 1 && out.contains("declares no pipeline"), "{out}");

    let reading = r#"{"id": "82eb2e26-0f24-48aa-ae4c-de9dac3fb9bc", "origin": 1, "deviceName": "D", "resourceName": "R", "profileName": "P", "valueType": "Int32", "value": "42"}"#;
    let event = |device: &str| {
        format!(
            r#"{{"apiVersion": "v3", "requestId": "", "event": {{"apiVersion": "v3", "id": "7a1707f0-166f-4c4b-bc9d-1d54c74e0137", "profileName": "P", "deviceName": "{device}", "sourceName": "S", "origin": 1, "readings": [{reading}]}}}}"#
        )
    };
    let cases = format!(
        "cases:\n- name: it is given up after two retries\n  input: {}\n  answers: [500]\n  for: 10s\n  exports: [{{}}, {{}}, {{}}]\n  deadLetters: [{{reason: exhausted}}]\n- {{name: of another device, input: {}, dropped: true}}\n",
        event("D"),
        event("E")
    );
    let cases = written(folder.path(), "cases.yaml", &cases);
    let (code, out, err) = output(&["pipeline", "test", &cases, "--of", &service]);
    assert_eq!(code, 0, "{out}{err}");
}

const VERSION_1: &str = "\
[Writable]
LogLevel = 'INFO'
  [Writable.StoreAndForward]
  Enabled = true
  RetryInterval = '5m'
  MaxRetryCount = 10
  [Writable.Pipeline]
  UseTargetTypeOfByteArray = false
  ExecutionOrder = 'FilterByValueDescriptor, TransformToXML, HTTPPostXML, MarkAsPushed'
    [Writable.Pipeline.Functions.FilterByValueDescriptor]
      [Writable.Pipeline.Functions.FilterByValueDescriptor.Parameters]
      ValueDescriptors = 'Float32, Float64'
      FilterOut = 'false'
    [Writable.Pipeline.Functions.TransformToXML]
    [Writable.Pipeline.Functions.MarkAsPushed]
    [Writable.Pipeline.Functions.HTTPPostXML]
      [Writable.Pipeline.Functions.HTTPPostXML.Parameters]
      url = 'http://crm.example/'
      PersistOnError = 'true'
      SecretHeaderName = 'x-key'
      SecretPath = 'crm'
[Service]
Host = 'localhost'
";

#[test]
fn a_configuration_of_version_1_becomes_a_module_or_a_section_of_version_4() {
    let folder = tempfile::tempdir().unwrap();
    let old = written(folder.path(), "configuration.toml", VERSION_1);
    let (code, out, err) = output(&["pipeline", "convert", &old, "--name", "floats"]);
    assert_eq!(code, 0, "{out}{err}");
    for line in [
        "  name: floats",
        "      ExecutionOrder: \"FilterByResourceName, Transform, HTTPExport\"",
        "            ResourceNames: \"Float32, Float64\"",
        "            Type: xml",
        "            Method: post",
        "            HeaderName: x-key",
        "            SecretName: crm",
        "            SecretValueKey: x-key",
        "      RetryInterval: \"5m\"",
    ] {
        assert!(out.lines().any(|found| found == line), "{line} in {out}");
    }
    assert!(
        err.contains("note: only pipelines are converted; left out: Service"),
        "{err}"
    );
    assert!(
        err.contains("note: MarkAsPushed: core data marks nothing as pushed"),
        "{err}"
    );
    let module = written(folder.path(), "module.yaml", &out);
    let (code, out, _) = output(&["pipeline", "check", &module]);
    assert_eq!(code, 0, "{out}");

    let (code, out, _) = output(&["pipeline", "convert", &old, "--to", "edgex"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("Writable:\n  Pipeline:\n"), "{out}");
    let new = written(folder.path(), "configuration.yaml", &out);
    let (code, graph, _) = output(&["pipeline", "graph", &new]);
    assert_eq!(code, 0);
    assert!(graph.contains("([\"HTTPExport\"])"), "{graph}");
    // What is of version 4 stays as it is.
    let (_, again, _) = output(&["pipeline", "convert", &new, "--to", "edgex"]);
    assert_eq!(again, out);
}

#[test]
fn a_secret_with_its_own_key_and_the_reading_of_core_data_are_converted_whole() {
    let folder = tempfile::tempdir().unwrap();
    let old = VERSION_1
        .replace(
            "      SecretPath = 'crm'\n",
            "      SecretPath = 'crm'\n      SecretName = 'token'\n    [Writable.Pipeline.Functions.PushToCore]\n      [Writable.Pipeline.Functions.PushToCore.Parameters]\n      DeviceName = 'D'\n      ReadingName = 'R'\n",
        )
        .replace("MarkAsPushed'", "PushToCore'");
    let old = written(folder.path(), "configuration.toml", &old);
    let (code, out, err) = output(&["pipeline", "convert", &old, "--name", "floats"]);
    // What has to be added is a fault of the result, which is printed.
    assert_eq!(code, 1, "{out}{err}");
    for line in [
        "            HeaderName: x-key",
        "            SecretName: crm",
        "            SecretValueKey: token",
        "            DeviceName: D",
        "            ResourceName: R",
        "            ValueType: String",
    ] {
        assert!(out.lines().any(|found| found == line), "{line} in {out}");
    }
    assert!(err.contains("PushToCore: add `ProfileName`"), "{err}");
}

#[test]
fn settings_that_cannot_be_converted_are_reported_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let broken = written(folder.path(), "a.toml", "[Writable]\nLogLevel = \n");
    let (code, _, err) = output(&["pipeline", "convert", &broken]);
    assert!(code == 1 && err.contains("a.toml:2: not TOML"), "{err}");
    let other = written(folder.path(), "b.toml", "[Service]\nHost = 'localhost'\n");
    let (code, _, err) = output(&["pipeline", "convert", &other]);
    assert!(
        code == 1 && err.contains("has no section `Writable.Pipeline`"),
        "{err}"
    );
    let unknown = VERSION_1.replace("TransformToXML", "Nonsense");
    let unknown = written(folder.path(), "c.toml", &unknown);
    let (code, _, err) = output(&["pipeline", "convert", &unknown]);
    assert!(
        code == 1 && err.contains("`Nonsense` is not a built-in function"),
        "{err}"
    );
}

#[test]
fn a_graph_is_an_image_too() {
    let folder = tempfile::tempdir().unwrap();
    let orders = written(folder.path(), "orders.yaml", ORDERS);
    let (code, out, _) = output(&["pipeline", "graph", &orders, "--svg"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("<svg ") && out.ends_with("</svg>\n"),
        "{out}"
    );
    assert!(out.contains(">https://crm.example:443</text>"), "{out}");
}
