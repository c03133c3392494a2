//! Recognises files that are not modules by their content, and says what to do with them.

use crate::document::{Complaint, Node, Value, nearest};

/// StateFun's text for a document that is not a component.
const NO_COMPONENT: &str = "Invalid ComponentJsonObject; components should be a JSON object with the required fields [kind] and [spec].";

/// What to say of a document that is plainly meant for another program. `None`: it may be a component.
pub(super) fn recognised(document: &Node) -> Option<Complaint> {
    let has = |key: &str| document.get(key).is_some();
    let complaint = if has("apiVersion") && has("kind") {
        kubernetes(document)
    } else if has("Writable") || (has("Pipeline") && has("Service")) {
        Complaint::with_remedy(
            "this looks like the configuration of an EdgeX application service",
            "declare its pipeline as `kind: statefun.pipelines.v1/pipeline` with `spec: {name, stages}`: each function of `ExecutionOrder` is a stage",
        )
    } else if has("services") && !has("kind") {
        Complaint::with_remedy(
            "this looks like a Compose file",
            "name the module file that a service of it mounts",
        )
    } else {
        return None;
    };
    Some(complaint.upstream(NO_COMPONENT))
}

/// A manifest; a ConfigMap may hold a module.
fn kubernetes(document: &Node) -> Complaint {
    let text_of = |key: &str| match document.get(key).map(|node| &node.value) {
        Some(Value::Text(text)) => text.clone(),
        _ => "manifest".to_owned(),
    };
    let kind = text_of("kind");
    let files = document.get("data").into_iter().flat_map(Node::keys);
    let file = files
        .map(|key| key.name.as_str())
        .find(|name| name.ends_with(".yaml") || name.ends_with(".yml"));
    let what = format!("this looks like a {kind} of Kubernetes");
    let Some(file) = file else {
        return Complaint::with_remedy(what, "give the module file itself");
    };
    let name = document.get("metadata").and_then(|meta| meta.get("name"));
    let name = match name.map(|name| &name.value) {
        Some(Value::Text(name)) => name.as_str(),
        _ => "NAME",
    };
    let path = file.replace('.', "\\.");
    Complaint::with_remedy(
        format!("{what}, with the module as text in it"),
        format!(
            "take the text below `data.{file}` as a file of its own: kubectl get configmap {name} -o jsonpath='{{.data.{path}}}' > {file}"
        ),
    )
}

/// What to say of a document without `kind` or without `spec`.
pub(super) fn no_component(document: &Node) -> Complaint {
    let complaint =
        |text: &str, remedy: String| Complaint::with_remedy(text, remedy).upstream(NO_COMPONENT);
    const TEXT: &str = "a document needs the keys `kind` and `spec`";
    if document.get("version").is_some() {
        let remedy =
            "this looks like format 3.0, in which a file has one document and nothing else";
        return complaint(TEXT, remedy.to_owned());
    }
    if !matches!(document.value, Value::Map(_)) {
        let text = format!("{TEXT}; this one is {}", document.kind());
        return complaint(&text, "write `kind: …` and `spec: …`".to_owned());
    }
    for missing in ["kind", "spec"] {
        if document.get(missing).is_some() {
            continue;
        }
        let others: Vec<&str> = document
            .keys()
            .map(|key| key.name.as_str())
            .filter(|name| !matches!(*name, "kind" | "spec"))
            .collect();
        let written = others
            .iter()
            .find(|name| nearest(name, [missing]).is_some());
        if let Some(written) = written {
            return complaint(TEXT, format!("write `{written}` as `{missing}`"));
        }
        if missing == "spec" {
            let beside: Vec<_> = others.iter().map(|name| format!("`{name}`")).collect();
            let remedy = match beside.as_slice() {
                [] => "add `spec`".to_owned(),
                _ => format!("put {} below `spec`", beside.join(", ")),
            };
            return complaint(TEXT, remedy);
        }
    }
    complaint(
        TEXT,
        "begin it with `kind: …`, followed by `spec`".to_owned(),
    )
}
