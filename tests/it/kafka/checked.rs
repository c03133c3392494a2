//! What `run` refuses, `check` finds without a broker, in the same words and with the same place. Before, `check` found nothing, and `run` tried again
//! for ever.

use std::process::{Command, Output};

/// Runs `statefun` with a module file of this text, whose name is `MODULE` in the output.
fn statefun(args: &[&str], text: &str) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.yaml");
    std::fs::write(&module, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_statefun"));
    command.args(args).arg(&module).current_dir(folder.path());
    let output = command.output().unwrap();
    let told = [&output.stdout[..], &output.stderr[..]].concat();
    let told = String::from_utf8(told).unwrap();
    let told = told.replace(&module.display().to_string(), "MODULE");
    (output, told)
}

/// The text of the findings of one kind in the output of `check`.
fn findings(told: &str, kind: &str) -> Vec<String> {
    let lines = told.lines();
    let found = lines.filter_map(|line| line.strip_prefix(kind));
    found
        .map(|line| line.trim_start_matches(": ").to_owned())
        .collect()
}

const REFUSED: &str = "\
kind: io.statefun.kafka.v1/ingress
spec:
  id: example/names
  address: ':::,,x:99999'
  consumerGroupId: g
  topics: [{topic: names, valueType: io.statefun.types/string, targets: [statefun.samples/greeter]}]
  properties:
    - fetch.min.bytes: banana
    - security.protocol: SASL_PLAINTEXT
    - sasl.mechanism: PLAIN
    - sasl.jaas.config: a secret garbage
    - max.poll.records: 0
---
kind: io.statefun.kafka.v1/egress
spec:
  id: statefun.samples/out
  address: kafka:9092
  deliverySemantic: {type: exactly-once, transactionTimeout: 99999d}
  properties:
    - sasl.mechanism: GSSAPI
---
kind: statefun.samples.v1/functions
spec: {}
";

#[test]
fn what_run_refuses_check_finds_in_the_same_words_and_at_the_same_place() {
    let (checked, told) = statefun(&["check"], REFUSED);
    assert_eq!(checked.status.code(), Some(1), "{told}");
    let faults = findings(&told, "fault");
    for (place, words) in [
        ("MODULE:4:12: `spec.address`", "the port is missing"),
        ("MODULE:4:12: `spec.address`", "the port 99999"),
        (
            "MODULE:8:24: `spec.properties[0].fetch.min.bytes`",
            "found `banana`",
        ),
        (
            "MODULE:11:25: `spec.properties[3].sasl.jaas.config`",
            "login module",
        ),
        (
            "MODULE:12:25: `spec.properties[4].max.poll.records`",
            "`0` is less than 1",
        ),
        (
            "MODULE:18:62: `spec.deliverySemantic.transactionTimeout`",
            "2147483647 ms",
        ),
        (
            "MODULE:20:23: `spec.properties[0].sasl.mechanism`",
            "SCRAM-SHA-512",
        ),
    ] {
        let is_found = |fault: &String| fault.starts_with(place) && fault.contains(words);
        assert!(faults.iter().any(is_found), "{place} {words}: {told}");
    }
    assert_eq!(faults.len(), 7, "{told}");
    assert!(!told.contains("secret garbage"), "{told}");
    let (ran, told) = statefun(&["run", "--ephemeral", "--admin", "127.0.0.1:0"], REFUSED);
    assert_eq!(ran.status.code(), Some(1), "{told}");
    for fault in faults {
        assert!(told.contains(&fault), "{fault}: {told}");
    }
}

fn ingress(properties: &str) -> String {
    format!(
        "kind: io.statefun.kafka.v1/ingress
spec:
  id: example/names
  address: kafka:9092
  consumerGroupId: g
  topics: [{{topic: names, valueType: io.statefun.types/string, targets: [statefun.samples/greeter]}}]
  properties:
{properties}
---
kind: statefun.samples.v1/functions
spec: {{}}
"
    )
}

#[test]
fn a_build_without_tls_names_the_feature() {
    let (_, told) = statefun(&["check"], &ingress("    - security.protocol: SSL"));
    let faults = findings(&told, "fault");
    if cfg!(feature = "kafka-tls") {
        assert_eq!(faults, [""; 0], "{told}");
        return;
    }
    let [fault] = &faults[..] else {
        panic!("{told}");
    };
    let is_right = fault.starts_with("MODULE:8:26") && fault.contains("`kafka-tls`");
    assert!(is_right, "{told}");
}

/// Java's client takes the values; the second pair contradicts itself only for ours.
#[test]
fn a_value_outside_the_range_of_our_client_becomes_the_nearest_one_and_contradictions_are_found() {
    let (checked, told) = statefun(&["check"], &ingress("    - request.timeout.ms: 305000"));
    assert_eq!(checked.status.code(), Some(0), "{told}");
    let warnings = findings(&told, "warning");
    let is_told = |warning: &String| {
        warning.starts_with("MODULE:8:27") && warning.contains("takes 300000 instead")
    };
    assert!(warnings.iter().any(is_told), "{told}");
    let contradiction = "    - fetch.max.bytes: 2000\n    - message.max.bytes: 5000\n    - receive.message.max.bytes: 1000";
    let (checked, told) = statefun(&["check"], &ingress(contradiction));
    assert_eq!(checked.status.code(), Some(0), "{told}");
    let sasl = "    - security.protocol: SASL_PLAINTEXT\n    - sasl.mechanism: PLAIN";
    let (checked, told) = statefun(&["check"], &ingress(sasl));
    assert_eq!(checked.status.code(), Some(1), "{told}");
    assert!(told.contains("sasl.username"), "{told}");
}

#[test]
fn a_transaction_timeout_beyond_the_brokers_default_is_a_warning() {
    let module = "\
kind: io.statefun.kafka.v1/egress
spec:
  id: statefun.samples/out
  address: kafka:9092
  deliverySemantic: {type: exactly-once, transactionTimeout: 16min}
---
kind: statefun.samples.v1/functions
spec: {}
";
    let (checked, told) = statefun(&["check"], module);
    assert_eq!(checked.status.code(), Some(0), "{told}");
    let warnings = findings(&told, "warning");
    let is_told = |warning: &String| {
        warning.starts_with("MODULE:5:62") && warning.contains("transaction.max.timeout.ms")
    };
    assert!(warnings.iter().any(is_told), "{told}");
}
