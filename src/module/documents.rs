//! Passes the documents of a file to the readers of their kinds.

use super::draft::Draft;
use super::kinds::{Kind, Portable};
use super::placeholder::Placeholders;
use super::spec::{known_kind, read_spec};
use super::{ModuleFile, foreign, legacy, scalars};
use crate::document::{
    At, Complaint, Fields, Finding, Findings, Node, Repeated, Value, join, yaml,
};

/// Reads all documents of `file`.
pub(super) fn read_file(file: &ModuleFile<'_>, placeholders: &Placeholders, draft: &mut Draft<'_>) {
    let repeated = match placeholders {
        Placeholders::Literal => Repeated::LastCounts,
        Placeholders::Replaced(_) => Repeated::FaultAtTop,
    };
    let documents = yaml::parse(file.name, file.text, repeated, draft.findings);
    let is_alone = yaml::count(file.text) == 1;
    for document in documents {
        not_followed(&document, "", draft.findings);
        if is_alone && legacy::is_legacy(&document) {
            legacy::read(document, placeholders, draft);
        } else {
            read_document(document, placeholders, draft);
        }
    }
}

fn read_document(mut document: Node, placeholders: &Placeholders, draft: &mut Draft<'_>) {
    let kind = kind_of(&mut document, draft.findings);
    if kind.is_none_or(|kind| kind.portable == Portable::Everywhere) {
        scalars::as_statefun(&mut document, "", draft.findings);
    }
    let Some(kind) = kind else { return };
    if let Some(fields) = Fields::of(At::new(&document, "", draft.findings)) {
        let fields = fields.of_statefun("").elsewhere(BELOW_SPEC);
        let _ = (fields.given("kind"), fields.given("spec"));
        fields.finish();
    }
    if let Some(spec) = document.take("spec") {
        read_spec(kind, spec, "spec", placeholders, draft);
    }
}

/// Keys of specs that are easily misplaced beside `kind`.
const BELOW_SPEC: &[(&str, &str)] = &[
    ("functions", "below `spec`"),
    ("urlPathTemplate", "below `spec`"),
    ("transport", "below `spec`"),
    ("maxNumBatchRequests", "below `spec`"),
    ("id", "below `spec`"),
    ("listen", "below `spec`"),
    ("port", "below `spec`"),
    ("topics", "below `spec`"),
    ("address", "below `spec`"),
    ("name", "below `spec`"),
    ("stages", "below `spec`"),
    ("url", "below `spec`"),
    ("path", "below `spec`"),
];

/// Reports each alias and merge key of `node`.
fn not_followed(node: &Node, path: &str, findings: &Findings) {
    if node.is_alias {
        let complaint = Complaint::with_remedy(
            "StateFun follows no YAML aliases and merge keys: it takes `*name` for the text `name`, and `<<` for a key",
            "write out what the alias stands for",
        );
        findings.not_for_flink(Finding::new(node.location.clone(), path, complaint));
        return;
    }
    match &node.value {
        Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                not_followed(item, &format!("{path}[{n}]"), findings);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                not_followed(value, &join(path, &key.name), findings);
            }
        }
        _ => {}
    }
}

/// The kind of a document, checked as far as StateFun checks it before it reads the spec.
fn kind_of(document: &mut Node, findings: &Findings) -> Option<&'static Kind> {
    if let Some(complaint) = foreign::recognised(document) {
        findings.fault(Finding::new(document.location.clone(), "", complaint));
        return None;
    }
    let kind = document.get_mut("kind").and_then(|kind| {
        scalars::as_statefun(kind, "kind", findings);
        known_kind(kind, "kind", "Invalid binder kind format. ", findings)
    });
    if document.get("kind").is_none() || document.get("spec").is_none() {
        let complaint = foreign::no_component(document);
        findings.fault(Finding::new(document.location.clone(), "", complaint));
        return None;
    }
    kind
}
