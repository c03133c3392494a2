//! Variables of the environment over the settings of files: `WRITABLE_LOGLEVEL` is `Writable.LogLevel`.

use serde_json::Number;

use super::EdgexVariables;
use super::below_mut;
use crate::document::{Complaint, Finding, Findings, Location, Node, Value, join};
use crate::pipeline::edgex_boolean;

/// Variables of EdgeX that have no effect here, or had one in earlier versions only.
const IGNORED: &[(&str, &str)] = &[
    (
        "EDGEX_CONFIG_PROVIDER",
        "settings come from files: set EDGEX_CONFIG_DIR and EDGEX_COMMON_CONFIG",
    ),
    ("EDGEX_USE_REGISTRY", "there is no registry"),
    (
        "EDGEX_OVERWRITE_CONFIG",
        "there is no configuration provider",
    ),
    (
        "EDGEX_SECURITY_SECRET_STORE",
        "secrets come from the environment, files or `InsecureSecrets`",
    ),
    (
        "EDGEX_DISABLE_JWT_VALIDATION",
        "the routes of the service ask for no token",
    ),
    ("edgex_registry", "there is no registry"),
];

/// Replaces settings by the variables of their names, and returns the names of those that did. Only settings that are there are replaced, and
/// keep their type.
pub(super) fn apply(
    tree: &mut Node,
    environment: &EdgexVariables,
    findings: &Findings,
) -> Vec<String> {
    let mut used = Vec::new();
    for (name, why) in IGNORED {
        if environment.contains_key(*name) {
            warn(
                name,
                Complaint::with_remedy("has no effect here", *why),
                findings,
            );
        }
    }
    if let Some(url) = environment.get("edgex_service") {
        service_url(tree, url, findings);
        used.push("edgex_service".to_owned());
    }
    walk(tree, "", "", environment, &mut used, findings);
    used
}

/// Visits all values below `node`, which stands at `path`; `older` is the path in the form of version 1.
fn walk(
    node: &mut Node,
    path: &str,
    older: &str,
    environment: &EdgexVariables,
    used: &mut Vec<String>,
    findings: &Findings,
) {
    if let Value::Map(entries) = &mut node.value {
        for (key, below) in entries {
            let (path, older) = (join(path, &key.name), joined(older, &key.name));
            walk(below, &path, &older, environment, used, findings);
        }
        return;
    }
    let name = variable(path);
    for name in [name.as_str(), older] {
        let Some(text) = environment.get(name) else {
            continue;
        };
        match converted(&node.value, text) {
            Ok(value) => {
                *node = Node::made(
                    Location::file(&format!("environment variable {name}")),
                    value,
                );
                used.push(name.to_owned());
            }
            Err(what) => {
                let text = format!("`{path}` is {what}, and the variable is not");
                findings.fault(Finding::new(place(name), "", text));
            }
        }
        return;
    }
}

/// The variable of a path.
fn variable(path: &str) -> String {
    path.to_uppercase().replace(['.', '-'], "_")
}

fn joined(older: &str, key: &str) -> String {
    match older {
        "" => key.to_owned(),
        older => format!("{older}_{key}"),
    }
}

fn place(name: &str) -> Location {
    Location::file(&format!("environment variable {name}"))
}

fn warn(name: &str, complaint: Complaint, findings: &Findings) {
    findings.warning(Finding::new(place(name), "", complaint));
}

/// The text as a value of the type that `before` has, or the name of that type. The text itself may be a secret.
fn converted(before: &Value, text: &str) -> Result<Value, &'static str> {
    match before {
        Value::Bool(_) => {
            let flag = edgex_boolean(text).map_err(|_| "true or false")?;
            Ok(Value::Bool(flag))
        }
        Value::Number(number) if number.is_f64() => {
            let number = text.trim().parse().ok().and_then(Number::from_f64);
            number.map(Value::Number).ok_or("a number")
        }
        Value::Number(_) => {
            let number = text.trim().parse::<i64>();
            number
                .map(|number| Value::Number(number.into()))
                .map_err(|_| "a whole number")
        }
        Value::List(_) => {
            let item =
                |item: &str| Node::made(Location::nowhere(), Value::Text(item.trim().to_owned()));
            Ok(Value::List(text.split(',').map(item).collect()))
        }
        Value::Null | Value::Text(_) | Value::Map(_) => Ok(Value::Text(text.to_owned())),
    }
}

/// `edgex_service` of version 1: a URL with host and port of the service.
fn service_url(tree: &mut Node, url: &str, findings: &Findings) {
    let remedy = "write SERVICE_HOST and SERVICE_PORT";
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host_port = rest.trim_end_matches('/').rsplit_once(':');
    let parts = host_port.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = parts else {
        let complaint = Complaint::with_remedy("not a URL with host and port", remedy);
        findings.fault(Finding::new(place("edgex_service"), "", complaint));
        return;
    };
    let text = "a variable of version 1; it is taken as host and port of `Service`";
    warn(
        "edgex_service",
        Complaint::with_remedy(text, remedy),
        findings,
    );
    for (key, value) in [
        ("Host", Value::Text(host.to_owned())),
        ("Port", Value::Number(port.into())),
    ] {
        if let Some(node) = below_mut(tree, &["Service", key]) {
            *node = Node::made(place("edgex_service"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn applied(variables: &[(&str, &str)]) -> (Json, Vec<String>, Vec<String>) {
        let mut tree = Node::from_json(&json!({
            "Service": {"Host": "h", "Port": 1},
            "Writable": {
                "Pipeline": {"Functions": {"HTTPExport": {"Parameters": {"Url": "u", "PersistOnError": "true"}}}},
                "StoreAndForward": {"Enabled": false},
            },
            "Clients": {"core-data": {"Host": "d"}},
            "Mine": {"Rate": 1.5, "Names": ["a"], "Blank": null},
        }));
        let environment = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        let findings = Findings::default();
        let used = apply(&mut tree, &environment, &findings);
        let (faults, _, _) = findings.into_parts();
        let faults = faults.iter().map(ToString::to_string).collect();
        (tree.to_json(), used, faults)
    }

    #[test]
    fn variables_replace_settings_that_are_there_and_keep_their_type() {
        let (tree, used, faults) = applied(&[
            (
                "WRITABLE_PIPELINE_FUNCTIONS_HTTPEXPORT_PARAMETERS_URL",
                "http://x",
            ),
            ("WRITABLE_STOREANDFORWARD_ENABLED", "true"),
            ("SERVICE_PORT", "8080"),
            ("CLIENTS_CORE_DATA_HOST", ""),
            ("MINE_RATE", "2.5"),
            ("MINE_NAMES", "b, c"),
            ("MINE_BLANK", "text"),
            ("SERVICE_NOPE", "new"),
        ]);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(used.len(), 7);
        let url = "/Writable/Pipeline/Functions/HTTPExport/Parameters/Url";
        assert_eq!(tree.pointer(url).unwrap(), "http://x");
        assert_eq!(tree["Writable"]["StoreAndForward"]["Enabled"], true);
        assert_eq!(tree["Service"], json!({"Host": "h", "Port": 8080}));
        assert_eq!(tree["Clients"]["core-data"]["Host"], "");
        assert_eq!(
            tree["Mine"],
            json!({"Rate": 2.5, "Names": ["b", "c"], "Blank": "text"})
        );
    }

    #[test]
    fn a_variable_of_another_type_is_a_fault_that_does_not_repeat_it() {
        let (_, _, faults) = applied(&[
            ("SERVICE_PORT", "s3cret"),
            ("WRITABLE_STOREANDFORWARD_ENABLED", "yes"),
        ]);
        assert_eq!(
            faults,
            [
                "environment variable SERVICE_PORT: `Service.Port` is a whole number, and the variable is not",
                "environment variable WRITABLE_STOREANDFORWARD_ENABLED: `Writable.StoreAndForward.Enabled` is true or false, and the variable is not",
            ]
        );
    }

    #[test]
    fn variables_of_version_1_have_the_case_of_the_keys() {
        let (tree, used, _) = applied(&[
            ("Service_Port", "5"),
            ("edgex_service", "http://localhost:48095"),
        ]);
        assert_eq!(tree["Service"], json!({"Host": "localhost", "Port": 5}));
        assert_eq!(used, ["edgex_service", "Service_Port"]);
    }
}
