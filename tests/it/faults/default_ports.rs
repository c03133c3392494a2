//! Kind: a check of form, not of meaning. The admin API listened on 8091 by default, where every module file of StateFun's playground has its
//! egress: `check` found no fault, and `run` ended with "Address already in use".

use stateful_functions::admin::AdminConfig;

use super::cli::{check, said};

/// As in the module files of apache/flink-statefun-playground.
const PLAYGROUND: &str = "
kind: io.statefun.playground.v1/ingress
spec: {port: 8090}
---
kind: io.statefun.playground.v1/egress
spec: {port: 8091, topics: [greetings]}
";

#[test]
fn statefuns_own_files_leave_the_admin_api_its_default_address() {
    let (code, out) = check(PLAYGROUND, &[]);
    assert_eq!(code, 0, "{out}");
    let taken = ["8090", "8091", "9000"];
    let (_, port) = AdminConfig::default()
        .listen
        .rsplit_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .unwrap();
    assert!(!taken.contains(&port.as_str()), "{port}");
}

#[test]
fn a_listener_at_the_admin_apis_address_is_a_fault_of_check_and_of_run() {
    let (code, out) = check(PLAYGROUND, &["--admin", "127.0.0.1:8091"]);
    assert_eq!(code, 1, "{out}");
    let fault = "MODULE:6:14: `spec.port`: the playground egress would listen on 127.0.0.1:8091, where the admin API listens";
    assert!(out.contains(fault), "{out}");
    let (code, out) = said(
        "run",
        PLAYGROUND,
        &["--ephemeral", "--admin", "localhost:8090"],
    );
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("MODULE:3:14: `spec.port`: the playground ingress"),
        "{out}"
    );
}

#[test]
fn two_listeners_of_a_module_at_one_address_are_a_fault_that_names_both() {
    let text = "
kind: io.statefun.playground.v1/ingress
spec: {port: 8095}
---
kind: statefun.http.v1/ingress
spec: {listen: '0.0.0.0:8095'}
---
kind: statefun.http.v1/ingress
spec: {id: a/b, listen: '127.0.0.1:0'}
---
kind: statefun.http.v1/ingress
spec: {id: a/c, listen: '127.0.0.1:0'}
";
    let (code, out) = check(text, &[]);
    assert_eq!(code, 1, "{out}");
    let fault = "MODULE:6:16: `spec.listen`: the http ingress would listen on 0.0.0.0:8095, where the playground ingress of MODULE:3:14 listens";
    assert!(out.contains(fault), "{out}");
    assert!(
        out.starts_with("fault: ") && out.contains("1 fault,"),
        "{out}"
    );
}
