//! Keys that occur twice in a mapping.

use super::finding::{Complaint, Finding, Findings};
use super::node::{Key, Node, Value, join};

/// How a repeated key at the top of a document is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// A fault: two documents without `---` between them look like this.
    FaultAtTop,
    /// The last one counts, as in all other mappings and in StateFun.
    LastCounts,
}

impl Repeated {
    /// The documents without repeated keys; each of these is reported.
    pub(super) fn resolve(self, mut documents: Vec<Node>, findings: &Findings) -> Vec<Node> {
        if self == Self::FaultAtTop {
            let split = |document| split_at_repeated(document, findings);
            documents = documents.into_iter().flat_map(split).collect();
        }
        for document in &mut documents {
            keep_last_of_repeated(document, "", findings);
        }
        documents
    }
}

/// Reports a repeated key at the top of `document`. A second `kind` begins another document, which is read separately.
fn split_at_repeated(mut document: Node, findings: &Findings) -> Vec<Node> {
    let Value::Map(entries) = &mut document.value else {
        return vec![document];
    };
    let is_again = |at: &usize| {
        let (before, rest) = entries.split_at(*at);
        let key = rest.first().map(|(key, _)| key.name.as_str());
        before
            .iter()
            .any(|(first, _)| Some(first.name.as_str()) == key)
    };
    let Some(at) = (1..entries.len()).find(is_again) else {
        return vec![document];
    };
    let after = entries.split_off(at);
    let Some((key, _)) = after.first().cloned() else {
        return vec![document];
    };
    let first = entries.iter().position(|(first, _)| first.name == key.name);
    let line = first
        .and_then(|at| entries.get(at))
        .map_or(0, |(first, _)| first.location.line);
    let complaint = Complaint::with_remedy(
        format!("key `{}` occurs again, after line {line}", key.name),
        "write `---` in a line of its own between two documents, or keep one of the two",
    );
    let finding = Finding::new(key.location.clone(), key.name.as_str(), complaint);
    findings.fault(finding);
    if key.name == "kind" {
        let next = Node::made(key.location, Value::Map(after));
        let mut documents = vec![document];
        documents.extend(split_at_repeated(next, findings));
        return documents;
    }
    if let Some(first) = first {
        entries.remove(first);
    }
    entries.extend(after);
    split_at_repeated(document, findings)
}

fn keep_last_of_repeated(node: &mut Node, path: &str, findings: &Findings) {
    match &mut node.value {
        Value::Map(entries) => {
            let keys: Vec<Key> = entries.iter().map(|(key, _)| key.clone()).collect();
            let mut rest = keys.iter();
            entries.retain(|(key, _)| {
                rest.next();
                let Some(later) = rest.clone().find(|later| later.name == key.name) else {
                    return true;
                };
                let complaint = Complaint::with_remedy(
                    format!("key `{}` occurs again; this one counts", key.name),
                    format!(
                        "the first is in line {}; keep one of them",
                        key.location.line
                    ),
                );
                let path = join(path, &key.name);
                findings.warning(Finding::new(later.location.clone(), path, complaint));
                false
            });
            for (key, value) in entries {
                keep_last_of_repeated(value, &join(path, &key.name), findings);
            }
        }
        Value::List(items) => {
            for (n, item) in items.iter_mut().enumerate() {
                keep_last_of_repeated(item, &format!("{path}[{n}]"), findings);
            }
        }
        _ => {}
    }
}
