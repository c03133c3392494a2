//! Passes the documents of a file to the readers of their kinds.

use crate::document::{
    At, Complaint, Fields, Finding, Findings, Node, Repeated, Value, join, nearest, yaml,
};
use crate::sdk::TypeName;

use super::draft::Draft;
use super::kinds::{self, KINDS, Kind, Portable, Spec};
use super::placeholder::Placeholders;
use super::{ModuleFile, coerce, foreign, legacy, scalars};

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

/// Reads one `spec` of the given `kind`.
pub(super) fn read_spec(
    kind: &Kind,
    mut spec: Node,
    path: &str,
    placeholders: &Placeholders,
    draft: &mut Draft<'_>,
) {
    placeholders.expand(&mut spec, path, draft.findings);
    if !matches!(spec.value, Value::Map(_) | Value::Null) {
        let text = format!("expected a mapping, found {}", spec.kind());
        let upstream = format!("{}{text}", kind.no_mapping);
        let complaint = Complaint::from(text).upstream(upstream);
        draft
            .findings
            .fault(Finding::new(spec.location.clone(), path, complaint));
        return;
    }
    if let Some(fields) = Fields::of(At::new(&spec, path, draft.findings)) {
        let fields = match kind.portable {
            Portable::Here => fields,
            _ => fields.of_statefun(kind.parsing),
        };
        let node = &spec;
        (kind.read)(Spec { node, fields }, draft);
    }
}

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

/// The kind that `node` names. `malformed` is the beginning of StateFun's text about its form.
pub(super) fn known_kind(
    node: &Node,
    path: &str,
    malformed: &str,
    findings: &Findings,
) -> Option<&'static Kind> {
    let fault = |complaint: Complaint| {
        findings.fault(Finding::new(node.location.clone(), path, complaint));
        None
    };
    let (name, remark) = match coerce::type_name(node) {
        Ok(name) => name,
        Err(complaint) => {
            let upstream = format!("{malformed}{}", complaint.message);
            let complaint = Complaint {
                remedy: meant(&coerce::as_text(node)),
                ..complaint
            };
            return fault(complaint.upstream(upstream));
        }
    };
    let Some(known) = KINDS.iter().find(|known| known.name == name.as_str()) else {
        return fault(unknown_kind(&name));
    };
    if let Some(remark) = remark {
        findings.warning(Finding::new(node.location.clone(), path, remark));
    }
    let elsewhere = match known.portable {
        Portable::Everywhere => return Some(known),
        Portable::Playground => "only StateFun's playground knows this kind",
        Portable::Here => "only this runtime knows this kind",
    };
    let complaint = Complaint::with_remedy(kinds::unknown_extension(&name), elsewhere);
    findings.not_for_flink(Finding::new(node.location.clone(), path, complaint));
    Some(known)
}

fn unknown_kind(name: &TypeName) -> Complaint {
    let remedy = meant(name.as_str()).unwrap_or_else(|| {
        let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        format!("known kinds: {}", known.join(", "))
    });
    Complaint::with_remedy(format!("the kind `{name}` is unknown"), remedy)
        .upstream(kinds::unknown_extension(name))
}

/// Suggests the kind that was probably meant, as a question.
fn meant(written: &str) -> Option<String> {
    for (old, new) in [
        ("statefun.kafka.io/", "io.statefun.kafka.v1/"),
        ("statefun.kinesis.io/", "io.statefun.kinesis.v1/"),
    ] {
        if let Some(rest) = written.strip_prefix(old) {
            let edge = if rest.contains("egress") {
                "egress"
            } else {
                "ingress"
            };
            return Some(format!(
                "it is of an older format; the kind is `{new}{edge}` now"
            ));
        }
    }
    let known = nearest(written, KINDS.iter().map(|kind| kind.name))?;
    Some(format!("did you mean `{known}`?"))
}
