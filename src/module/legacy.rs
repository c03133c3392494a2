//! StateFun's format 3.0: one document with a version that lists everything. Each entry corresponds to a document.

use crate::document::{At, Complaint, Fields, Finding, Findings, Key, Node, Value, join};

use super::coerce;
use super::draft::Draft;
use super::kinds::{KINDS, Kind};
use super::placeholder::Placeholders;
use super::scalars;
use super::spec::{known_kind, read_spec};

/// Names of kinds in this format only.
const OLD_NAMES: [(&str, &str); 5] = [
    ("http", "io.statefun.endpoints.v1/http"),
    ("io.statefun.kafka/ingress", "io.statefun.kafka.v1/ingress"),
    ("io.statefun.kafka/egress", "io.statefun.kafka.v1/egress"),
    (
        "io.statefun.kinesis/ingress",
        "io.statefun.kinesis.v1/ingress",
    ),
    (
        "io.statefun.kinesis/egress",
        "io.statefun.kinesis.v1/egress",
    ),
];

/// One of the three lists of the format.
struct Section {
    list: &'static str,
    entry: &'static str,
    /// The key of the entry's kind in its `meta`.
    kind: &'static str,
    has_id: bool,
}

const SECTIONS: [Section; 3] = [
    Section {
        list: "endpoints",
        entry: "endpoint",
        kind: "kind",
        has_id: false,
    },
    Section {
        list: "ingresses",
        entry: "ingress",
        kind: "type",
        has_id: true,
    },
    Section {
        list: "egresses",
        entry: "egress",
        kind: "type",
        has_id: true,
    },
];

/// Whether the only document of a file is in this format, valid or not.
pub(super) fn is_legacy(document: &Node) -> bool {
    document.get("version").is_some()
}

/// Binds everything that the document lists.
pub(super) fn read(mut document: Node, placeholders: &Placeholders, draft: &mut Draft<'_>) {
    let findings = draft.findings;
    scalars::as_statefun(&mut document, "", findings);
    check_head(&document, findings);
    let Some(spec) = document.get("module").and_then(|module| module.get("spec")) else {
        let file = &document.location.file;
        let text = format!("A module without a spec at {file}");
        fault_of_file(&document, "module.spec", text.into(), findings);
        return;
    };
    known_keys(
        spec,
        "module.spec",
        &["endpoints", "ingresses", "egresses"],
        findings,
    );
    for section in &SECTIONS {
        for (n, entry) in entries(spec, section, findings).into_iter().enumerate() {
            let path = format!("module.spec.{}[{n}]", section.list);
            if let Some((kind, spec)) = component(entry, section, &path, findings) {
                let path = join(&join(&path, section.entry), "spec");
                read_spec(kind, spec, &path, placeholders, draft);
            }
        }
    }
}

/// Version and type.
fn check_head(document: &Node, findings: &Findings) {
    known_keys(document, "", &["version", "module"], findings);
    let file = &document.location.file;
    let version = document.get("version").unwrap_or(document);
    let wrong = match &version.value {
        Value::Text(version) => match version.as_str() {
            "3.0" => None,
            "1.0" | "2.0" => Some(format!(
                "Only format versions higher than or equal to 3.0 is supported. Was version {version}."
            )),
            other => Some(format!("Unrecognized format version: {other}")),
        },
        _ => Some("Wrong type for key /version not a string".to_owned()),
    };
    if let Some(text) = wrong {
        let remedy = match &version.value {
            Value::Text(version) if matches!(version.as_str(), "1.0" | "2.0") => {
                "write each part as a document with kind and spec, such as `kind: io.statefun.endpoints.v2/http`, or everything in format 3.0 with version: \"3.0\""
            }
            _ => {
                "write version: \"3.0\", or leave it out and write each part as a document with kind and spec"
            }
        };
        let complaint = Complaint::with_remedy(text, remedy);
        fault_of_file(version, "version", complaint, findings);
    }
    let Some(module) = document.get("module") else {
        let text = format!("Unable to find a module type in {file}");
        let complaint = Complaint::with_remedy(text, REMEDY_TYPE);
        return fault_of_file(document, "module.meta.type", complaint, findings);
    };
    known_keys(module, "module", &["meta", "spec"], findings);
    let found = module.get("meta").and_then(|meta| {
        known_keys(meta, "module.meta", &["type"], findings);
        meta.get("type")
    });
    let text = match found.map(|node| (node, coerce::as_text(node))) {
        None => format!("Unable to find a module type in {file}"),
        Some((_, remote)) if remote.eq_ignore_ascii_case("remote") => return,
        Some((_, other)) => {
            format!("Unknown module type {other}, currently supported: REMOTE")
        }
    };
    let complaint = Complaint::with_remedy(text, REMEDY_TYPE);
    fault_of_file(
        found.unwrap_or(module),
        "module.meta.type",
        complaint,
        findings,
    );
}

const REMEDY_TYPE: &str = "write module: {meta: {type: remote}, …}";

fn fault_of_file(node: &Node, path: &str, complaint: Complaint, findings: &Findings) {
    let file = &node.location.file;
    let upstream = format!("Failed loading a module at {file}: {}", complaint.message);
    let complaint = complaint.upstream(upstream);
    findings.fault(Finding::new(node.location.clone(), path, complaint));
}

fn entries<'n>(spec: &'n Node, section: &Section, findings: &Findings) -> Vec<&'n Node> {
    match spec.get(section.list).map(|node| (node, &node.value)) {
        None => Vec::new(),
        Some((_, Value::List(items))) => items.iter().collect(),
        Some((node, _)) => {
            let path = join("module.spec", section.list);
            let text = format!("Wrong type for key /{} not a list", section.list);
            findings.fault(Finding::new(node.location.clone(), path, text));
            Vec::new()
        }
    }
}

/// The kind and the spec of one entry, in the form of a document.
fn component(
    entry: &Node,
    section: &Section,
    path: &str,
    findings: &Findings,
) -> Option<(&'static Kind, Node)> {
    let inner = entry.get(section.entry);
    let meta = inner.and_then(|inner| inner.get("meta"));
    known_keys(entry, path, &[section.entry], findings);
    let path = join(path, section.entry);
    if let (Some(inner), Some(meta)) = (inner, meta) {
        known_keys(inner, &path, &["meta", "spec"], findings);
        let known: &[_] = match section.has_id {
            true => &[section.kind, "id"],
            false => &[section.kind],
        };
        known_keys(meta, &join(&path, "meta"), known, findings);
    }
    let text_at = |key: &str| {
        let pointer = format!("/{}/meta/{key}", section.entry);
        let path = join(&join(&path, "meta"), key);
        let (location, text) = match meta.and_then(|meta| meta.get(key)) {
            None => (&entry.location, format!("missing key {pointer}")),
            Some(node) if matches!(node.value, Value::Text(_)) => return Some(node),
            Some(node) => (
                &node.location,
                format!("Wrong type for key {pointer} not a string"),
            ),
        };
        findings.fault(Finding::new(location.clone(), path, text));
        None
    };
    let kind = text_at(section.kind);
    let id = section.has_id.then(|| text_at("id"));
    let spec = inner.and_then(|inner| inner.get("spec"));
    let spec = match id {
        None => Some(
            spec.cloned()
                .unwrap_or_else(|| Node::made(entry.location.clone(), Value::Null)),
        ),
        Some(id) => match spec.map(|spec| (spec, &spec.value)) {
            Some((spec, Value::Map(_))) => id.map(|id| with_id(spec.clone(), id)),
            _ => {
                let path = join(&path, "spec");
                let text = "expected a mapping";
                findings.fault(Finding::new(entry.location.clone(), path, text));
                None
            }
        },
    };
    let kind = old_or_known(kind?, &join(&join(&path, "meta"), section.kind), findings);
    Some((kind?, spec?))
}

fn with_id(mut spec: Node, id: &Node) -> Node {
    let _ = spec.take("id");
    if let Value::Map(entries) = &mut spec.value {
        let key = Key {
            location: id.location.clone(),
            name: "id".to_owned(),
        };
        entries.push((key, id.clone()));
    }
    spec
}

fn old_or_known(node: &Node, path: &str, findings: &Findings) -> Option<&'static Kind> {
    let name = coerce::as_text(node);
    match OLD_NAMES.iter().find(|(old, _)| *old == name) {
        Some((_, new)) => KINDS.iter().find(|kind| kind.name == *new),
        None => known_kind(node, path, "", findings),
    }
}

/// Warns of every other key.
/// Parts of earlier formats, and what replaced them.
const OLDER: &[(&str, &str)] = &[
    (
        "functions",
        "to formats before 3.0: list `endpoints`, or write a document of kind `io.statefun.endpoints.v2/http` for each",
    ),
    (
        "routers",
        "to formats before 3.0: an ingress names its functions in `topics[].targets`",
    ),
];

fn known_keys(node: &Node, path: &str, known: &[&'static str], findings: &Findings) {
    if !matches!(node.value, Value::Map(_)) {
        return;
    }
    if let Some(fields) = Fields::of(At::new(node, path, findings)) {
        let older = if path == "module.spec" { OLDER } else { &[] };
        let fields = fields.of_statefun("").elsewhere(older);
        for key in known {
            let _ = fields.given(key);
        }
        fields.finish();
    }
}
