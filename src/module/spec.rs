//! One `spec` and the kind that reads it, in all formats of module files.

use super::coerce;
use super::draft::Draft;
use super::kinds::{self, KINDS, Kind, Portable, Spec};
use super::placeholder::Placeholders;
use crate::document::{At, Complaint, Fields, Finding, Findings, Node, Value, nearest};
use crate::sdk::TypeName;

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
