//! Module files: fields, defaults, faults and their messages; and the same files read by the real parser.

mod cases;
mod connectors;
mod edgex;
mod first_use;
#[cfg(all(feature = "http", feature = "testing"))]
mod mutations;
#[cfg(all(feature = "http", feature = "testing"))]
mod upstream;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stateful_functions::module::{
    AsyncTransport, EgressTarget, Finding, FunctionPattern, Ingress, InvalidModule, Module,
    ModuleFile, OkHttpTransport, Placeholders, Transport,
};

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/modules")
        .join(folder)
}

fn values() -> Placeholders {
    Placeholders::Replaced(BTreeMap::from([("PORT".to_owned(), "8090".to_owned())]))
}

fn parse(text: &str) -> Result<Module, InvalidModule> {
    parse_as("m.yaml", text)
}

fn parse_as(name: &str, text: &str) -> Result<Module, InvalidModule> {
    Module::parse(&[ModuleFile { name, text }], &values())
}

fn load(name: &str) -> Module {
    let text = fs::read_to_string(data("good").join(name)).unwrap();
    parse_as(name, &text).unwrap()
}

/// All that is said about a module, a line each: `fault …`, `lazy …`, `warning …`, `flink …`, `note …`.
fn said_about(name: &str, text: &str) -> Vec<String> {
    let lines = |word: &str, findings: &[Finding]| -> Vec<String> {
        findings
            .iter()
            .map(|finding| format!("{word} {}", finding.clone().as_upstream()))
            .collect()
    };
    match parse_as(name, text) {
        Ok(module) => {
            let (lazy, plain): (Vec<_>, Vec<_>) = module
                .warnings
                .into_iter()
                .partition(|finding| finding.is_lazy_fault);
            [
                lines("lazy", &lazy),
                lines("warning", &plain),
                lines("flink", &module.not_for_flink),
                lines("note", &module.without_connector),
            ]
            .concat()
        }
        Err(invalid) => lines("fault", &invalid.faults),
    }
}

/// Whether this build says it: one with Kafka has no note that it lacks the connector.
fn is_said_here(line: &str) -> bool {
    !(cfg!(feature = "kafka") && line.contains("(build with the feature `kafka"))
}

/// Each file ends with what is to be said about it, in lines that begin with `#= `.
fn each_file_says_what_is_written_at_its_foot(folder: &str) {
    let mut files: Vec<PathBuf> = fs::read_dir(data(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let expected: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#= "))
            .filter(|line| is_said_here(line))
            .collect();
        let said = said_about(name, &text);
        if said != expected {
            wrong.push(format!("{folder}/{name} says:\n#= {}", said.join("\n#= ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn sf_55_every_fault_has_its_text_with_file_line_and_field() {
    each_file_says_what_is_written_at_its_foot("bad");
}

#[test]
fn sf_54_unknown_keys_and_lazy_faults_are_warnings_with_key_and_line() {
    each_file_says_what_is_written_at_its_foot("good");
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn sf_54_all_fields_of_the_http_endpoints_are_read() {
    let module = load("upstream.yaml");
    let [tuned_async, plain, okhttp, moved, old] = module.endpoints.as_slice() else {
        panic!("five endpoints: {:?}", module.endpoints);
    };
    assert_eq!(
        tuned_async.functions,
        FunctionPattern::Namespace("com.example".into())
    );
    assert_eq!(tuned_async.max_batch_requests, NonZeroU32::new(5000));
    let Transport::Async(transport) = &tuned_async.transport else {
        panic!("async: {tuned_async:?}");
    };
    assert_eq!(
        (transport.call, transport.connect),
        (seconds(60), seconds(5))
    );
    assert_eq!(
        (transport.pool_size, transport.pool_ttl),
        (16, Some(seconds(120)))
    );
    assert_eq!(transport.payload_max_bytes, 1_048_576);
    assert_eq!(
        transport.tls.client_cert.as_deref(),
        Some("classpath:client.pem")
    );
    assert_eq!(
        transport.tls.client_key_password.as_deref(),
        Some("/certs/password")
    );

    let greeter = "com.example/greeter".parse().unwrap();
    assert_eq!(plain.functions, FunctionPattern::Exact(greeter));
    assert_eq!(okhttp.max_batch_requests, None);
    assert_eq!(
        okhttp.transport,
        Transport::OkHttp(OkHttpTransport {
            call: seconds(120),
            connect: Duration::from_millis(500),
            read: seconds(60),
            write: seconds(2),
        })
    );
    assert_eq!(old.max_batch_requests, NonZeroU32::new(10));
    assert!(matches!(moved.transport, Transport::Async(_)));
}

#[test]
fn sf_58_v1_and_v2_endpoints_get_their_defaults_and_timeouts_win_under_async() {
    let module = load("upstream.yaml");
    let [_, plain, _, moved, old] = module.endpoints.as_slice() else {
        panic!("five endpoints: {:?}", module.endpoints);
    };
    assert_eq!(plain.max_batch_requests, NonZeroU32::new(1000));
    let default = AsyncTransport::default();
    assert_eq!(plain.transport, Transport::Async(default.clone()));
    assert_eq!((default.call, default.connect), (seconds(120), seconds(20)));
    assert_eq!(
        (default.pool_size, default.pool_ttl),
        (1024, Some(seconds(15)))
    );
    assert_eq!(default.payload_max_bytes, 33_554_432);
    assert_eq!(
        moved.transport,
        Transport::Async(AsyncTransport {
            call: seconds(3),
            connect: seconds(10),
            pool_ttl: None,
            ..default
        })
    );
    assert_eq!(
        old.transport,
        Transport::OkHttp(OkHttpTransport {
            call: seconds(30),
            connect: seconds(10),
            read: seconds(10),
            write: seconds(10),
        })
    );
}

#[test]
fn sf_55_an_exact_type_wins_over_its_namespace() {
    let module = load("upstream.yaml");
    let url = |name: &str| {
        let name = name.parse().unwrap();
        module
            .endpoint_of(&name)
            .map(|endpoint| endpoint.url(&name))
    };
    assert_eq!(
        url("com.example/greeter").unwrap(),
        "http://localhost:8000/statefun"
    );
    assert_eq!(
        url("com.example/other").unwrap(),
        "https://bar.foo.com:8080/other"
    );
    assert_eq!(url("com/example"), None);
}

#[test]
fn all_fields_of_our_own_kinds_are_read() {
    let module = load("own_kinds.yaml");
    let [
        Ingress::Http(first),
        Ingress::Http(second),
        Ingress::Playground(playground),
        Ingress::File(lines),
        Ingress::File(typed),
    ] = module.ingresses.as_slice()
    else {
        panic!("five ingresses: {:?}", module.ingresses);
    };
    assert_eq!(
        (
            lines.path.as_path(),
            lines.json_type.as_str(),
            lines.max_line_bytes
        ),
        (Path::new("in/records.jsonl"), "example/json", 1024)
    );
    assert_eq!(
        (
            typed.is_stdin(),
            typed.json_type.as_str(),
            typed.max_line_bytes
        ),
        (true, "statefun/json", 8 * 1024 * 1024)
    );
    assert_eq!(
        (first.listen.as_str(), first.max_body_bytes),
        ("127.0.0.1:8090", 1024)
    );
    assert_eq!(
        (first.call_timeout, first.idempotency_window),
        (seconds(5), seconds(3600))
    );
    assert_eq!(
        (first.id.as_str(), first.json_type.as_str()),
        ("statefun.http/ingress", "example/json")
    );
    assert_eq!(
        first.token.as_ref().map(|token| token.expose()),
        Some("open-sesame")
    );
    assert!(!format!("{first:?}").contains("open-sesame"));
    assert_eq!(
        (second.max_body_bytes, second.token.clone()),
        (8 * 1024 * 1024, None)
    );
    assert_eq!(
        (second.call_timeout, second.idempotency_window),
        (seconds(30), seconds(86_400))
    );
    assert_eq!(second.json_type.as_str(), "statefun/json");
    assert_eq!(
        (
            playground.port,
            playground.host.as_str(),
            playground.wraps_text
        ),
        (18090, "0.0.0.0", true)
    );

    let [topics, out, file, hook, rotated] = module.egresses.as_slice() else {
        panic!("five egresses: {:?}", module.egresses);
    };
    assert!(matches!(&topics.target, EgressTarget::Playground(p) if p.topics == ["a", "b"]));
    assert!(matches!(
        (out.id.as_str(), &out.target),
        ("statefun.samples/out", EgressTarget::Stdout)
    ));
    assert!(
        matches!(&file.target, EgressTarget::File(f) if f.path == Path::new("out/records.jsonl") && f.rotation.is_none())
    );
    let EgressTarget::File(rotated) = &rotated.target else {
        panic!("a file: {rotated:?}");
    };
    let rotation = rotated.rotation.unwrap();
    assert_eq!(rotation.max_bytes.unwrap().get(), 1_000_000);
    assert_eq!(
        (rotation.every, rotation.keep.get()),
        (Some(seconds(86_400)), 7)
    );
    assert_eq!(hook.id.as_str(), "example/hook");
    assert!(
        matches!(&hook.target, EgressTarget::Http(hook) if hook.pipeline.namespace() == "statefun.egress")
    );
    assert!(module.samples);
    let pipeline = &module.pipelines[0].config;
    assert_eq!(
        (pipeline.namespace(), pipeline.name()),
        ("pipelines", "events")
    );
}

#[test]
fn several_files_are_one_module() {
    let endpoint = |functions: &str| {
        format!(
            "kind: io.statefun.endpoints.v2/http\nspec: {{functions: {functions}, urlPathTemplate: http://x/}}\n"
        )
    };
    let (one, two) = (endpoint("a/*"), endpoint("b/*"));
    let both = [
        ModuleFile {
            name: "one.yaml",
            text: &one,
        },
        ModuleFile {
            name: "two.yaml",
            text: &two,
        },
    ];
    assert_eq!(Module::parse(&both, &values()).unwrap().endpoints.len(), 2);
    let twice = [
        both[0],
        ModuleFile {
            name: "two.yaml",
            text: &one,
        },
    ];
    let faults = Module::parse(&twice, &values()).unwrap_err().to_string();
    assert!(
        faults.starts_with("the module has 1 fault\ntwo.yaml:2:"),
        "{faults}"
    );
    assert!(faults.contains("it was at one.yaml:2:"), "{faults}");
}

#[test]
fn sf_57_a_lazy_fault_is_kept_for_the_first_call() {
    let module = load("lazy_faults.yaml");
    let faults: Vec<&str> = module
        .endpoints
        .iter()
        .map(|endpoint| endpoint.lazy_fault.as_deref().unwrap())
        .collect();
    assert!(
        faults[0].starts_with("Unable to parse Netty transport spec."),
        "{faults:?}"
    );
    assert!(
        faults[1].starts_with("Unable to parse transport client properties"),
        "{faults:?}"
    );
    assert_eq!(faults[2], "hostname can't be null");
}

#[test]
fn sf_63_a_module_without_ingress_loads_with_a_warning() {
    let module = parse("kind: statefun.samples.v1/functions\nspec: {}\n").unwrap();
    let warnings: Vec<String> = module.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "m.yaml: There are no ingress defined.",
            "m.yaml: the sample reminder sends to the egress statefun.samples/out, which no document binds"
        ]
    );
}

#[test]
fn sf_62_placeholders_stay_literal_when_asked() {
    let text = fs::read_to_string(data("bad").join("placeholders.yaml")).unwrap();
    let text = text.replace("${NOT_REPLACED_HERE}", "statefun.stdout.v1/egress");
    let files = [ModuleFile {
        name: "m.yaml",
        text: &text,
    }];
    let faults = Module::parse(&files, &Placeholders::Literal)
        .unwrap_err()
        .faults;
    assert!(
        faults
            .iter()
            .all(|fault| !fault.message.contains("placeholder")),
        "{faults:?}"
    );
}

#[test]
fn the_guides_first_module_is_a_module() {
    let guide = include_str!("../../../docs/modules.md");
    let example = guide.split("```yaml\n").nth(1).unwrap();
    let module = parse(example.split("```").next().unwrap()).unwrap();
    assert!(module.warnings.is_empty(), "{:?}", module.warnings);
    let counts = (
        module.endpoints.len(),
        module.ingresses.len(),
        module.egresses.len(),
    );
    assert_eq!(counts, (1, 1, 1));
}
