//! Kinds: upstream's text without a remedy; an undetected omission; only one of several faults. For a ConfigMap, an EdgeX file, a `Kind:`, a dot instead of a
//! slash, a misplaced key or a placeholder in braces, `check` printed StateFun's text with its class names and no remedy; a missing `---` dropped a document.

use super::cli::check;

/// The output of `check` for `module`, which must exit with `code`.
fn said(code: i32, module: &str) -> String {
    let (ended, out) = check(module, &[]);
    assert_eq!(ended, code, "{module}{out}");
    out
}

#[test]
fn files_of_other_programs_are_recognised_and_the_remedy_is_named() {
    let configmap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: module-config}\ndata:\n  module.yaml: |+\n    kind: io.statefun.endpoints.v2/http\n";
    let out = said(1, configmap);
    assert!(
        out.contains("this looks like a ConfigMap of Kubernetes, with the module as text in it")
            && out.contains(r"kubectl get configmap module-config -o jsonpath='{.data.module\.yaml}' > module.yaml"),
        "{out}"
    );
    let edgex = "Writable:\n  Pipeline:\n    ExecutionOrder: HTTPExport\nService: {}\n";
    let out = said(1, edgex);
    assert!(
        out.contains("looks like the configuration of an EdgeX application service")
            && out.contains("statefun.pipelines.v1/pipeline"),
        "{out}"
    );
    let compose = "services:\n  worker: {image: x}\n";
    assert!(said(1, compose).contains("looks like a Compose file"));
}

#[test]
fn slips_in_kinds_and_keys_are_reported_with_what_was_meant() {
    let dot = "kind: io.statefun.endpoints.v2.http\nspec: {functions: example/*, urlPathTemplate: 'http://x/'}\n";
    assert!(said(1, dot).contains("did you mean `io.statefun.endpoints.v2/http`?"));
    let capital = "Kind: io.statefun.endpoints.v2/http\nspec: {functions: example/*, urlPathTemplate: 'http://x/'}\n";
    assert!(
        said(1, capital)
            .contains("a document needs the keys `kind` and `spec` (write `Kind` as `kind`)")
    );
    let flat =
        "kind: io.statefun.endpoints.v2/http\nfunctions: example/*\nurlPathTemplate: 'http://x/'\n";
    assert!(said(1, flat).contains("(put `functions`, `urlPathTemplate` below `spec`)"));
    let misplaced = "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: m/*\n  urlPathTemplate: http://m:1108/\n  transport: {type: io.statefun.transports.v1/async, maxNumBatchRequests: 15}\n";
    let out = said(0, misplaced);
    assert!(
        out.contains("MODULE:5:54: `spec.transport.maxNumBatchRequests`: key `maxNumBatchRequests` is unknown and ignored (`maxNumBatchRequests` belongs beside `transport`, in `spec`)"),
        "{out}"
    );
    let retries = "kind: statefun.pipelines.v1/pipeline\nspec:\n  name: p\n  stages:\n    - http-export: {url: 'http://h/', attempts: 3}\n";
    assert!(said(1, retries).contains("(`attempts` belongs into `retry`)"));
}

#[test]
fn a_placeholder_in_braces_without_quotes_is_reported_as_such() {
    let out = said(
        1,
        "kind: statefun.http.v1/ingress\nspec: {listen: ${LISTEN:-127.0.0.1:8090}}\n",
    );
    assert!(
        out.contains("MODULE:2:")
            && out.contains("a placeholder needs quotes: write \"${LISTEN:-127.0.0.1:8090}\""),
        "{out}"
    );
}

#[test]
fn older_formats_are_refused_with_what_to_write_today() {
    let old = "version: \"1.0\"\nmodule:\n  meta: {type: remote}\n  spec:\n    functions:\n      - function: {}\n    ingresses:\n      - ingress: {meta: {type: statefun.kafka.io/routable-protobuf-ingress, id: a/in}, spec: {}}\n";
    let out = said(1, old);
    for told in [
        "(write each part as a document with kind and spec, such as `kind: io.statefun.endpoints.v2/http`",
        "`functions` belongs to formats before 3.0",
        "the kind is `io.statefun.kafka.v1/ingress` now",
    ] {
        assert!(out.contains(told), "{told} in {out}");
    }
}

#[test]
fn class_names_are_shown_under_strict_only() {
    let text = "kind: a/b\nspec: {}\n---\nkind: io.statefun.kafka.v1/egress\nspec: {id: a/b}\n---\nkind: x\n";
    let plain = said(1, text);
    let (_, strict) = check(text, &["--strict"]);
    for name in [
        "TypeName(a, b)",
        "GenericKafkaEgressSpec",
        "ComponentJsonObject",
    ] {
        assert!(!plain.contains(name), "{plain}");
        assert!(strict.contains(name), "{strict}");
    }
    assert!(plain.contains("the kind `a/b` is unknown"), "{plain}");
}

#[test]
fn a_missing_marker_between_two_documents_is_a_fault_and_both_are_checked() {
    let text = "kind: statefun.stdout.v1/egress\nspec: {id: a/out}\nkind: statefun.http.v1/ingress\nspec: {listen: nowhere}\n";
    let out = said(1, text);
    assert!(
        out.contains("MODULE:3:1: `kind`: key `kind` occurs again, after line 1 (write `---`"),
        "{out}"
    );
    assert!(
        out.contains("MODULE:4:16: `spec.listen`: `nowhere` is not an address"),
        "{out}"
    );
    assert!(out.contains("2 faults"), "{out}");
    let (code, out) = check(
        text.replace("nowhere", "127.0.0.1:0").as_str(),
        &["--strict"],
    );
    assert_eq!(code, 0, "StateFun takes the last of them: {out}");
}

#[test]
fn all_faults_of_a_file_are_reported_at_once() {
    let text = "kind: statefun.http.v1/ingress\nspec: {listen: 'localhost:8191', callTimeout: soon}\n---\nkind: io.statefun.kafka.v1/egress\nspec: {id: a}\n---\nkind: nope\n---\nkind: io.statefun.endpoints.v2/http\nspec: {functions: a/*, urlPathTemplate: 'http+unix:///x'}\n";
    let (code, out) = check(text, &["--for", "flink"]);
    assert_eq!(code, 1, "{out}");
    for told in [
        "fault: MODULE:2:16: `spec.listen`: the http ingress would listen on localhost:8191, where the admin API listens",
        "fault: MODULE:2:47: `spec.callTimeout`",
        "fault: MODULE:5:12: `spec.id`",
        "`spec.address`: missing key /address",
        "fault: MODULE:7:7: `kind`",
        "fault: MODULE:10:41: `spec.urlPathTemplate`: hostname can't be null",
        "not for flink: MODULE:1:7: `kind`",
    ] {
        assert!(out.contains(told), "{told} in\n{out}");
    }
}

#[test]
fn all_certificates_and_keys_that_cannot_be_read_are_reported_at_once() {
    let text = "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: a/b\n  urlPathTemplate: https://localhost/\n  transport: {trust_cacerts: none.ca, client_cert: none.crt, client_key: none.key}\n";
    let out = said(0, text);
    for file in [
        "`trust_cacerts` none.ca",
        "`client_cert` none.crt",
        "`client_key` none.key",
    ] {
        assert!(out.contains(file), "{file} in {out}");
    }
}
