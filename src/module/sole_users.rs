//! What only one document of a module may use: the file of an egress, the client id at a broker.

use std::path::{Component, Path, PathBuf};

use super::kinds::MqttBroker;
use super::{Draft, Egress, EgressTarget, FileEgress, Ingress};
use crate::document::{Complaint, Finding, Location};

/// Reports files and client ids that several documents use.
pub(super) fn check(draft: &Draft<'_>) {
    check_files(draft);
    check_clients(draft);
}

struct Written<'a> {
    egress: &'a Egress,
    file: &'a FileEgress,
    path: PathBuf,
}

impl Written<'_> {
    /// Whether `path` is this file, or one of those that its rotation makes.
    fn takes(&self, path: &Path) -> bool {
        if self.path == path {
            return true;
        }
        let own = format!("{}.", self.path.display());
        let name = path.display().to_string();
        let number = name.strip_prefix(&own).and_then(|end| end.parse().ok());
        self.file
            .rotation
            .zip(number)
            .is_some_and(|(rotation, number): (_, u32)| (1..=rotation.keep.get()).contains(&number))
    }
}

fn check_files(draft: &Draft<'_>) {
    let module = &draft.module;
    let written: Vec<_> = module
        .egresses
        .iter()
        .filter_map(|egress| match &egress.target {
            EgressTarget::File(file) => Some(Written {
                egress,
                file,
                path: plain(&file.path),
            }),
            _ => None,
        })
        .collect();
    for (n, one) in written.iter().enumerate() {
        let mut earlier = written.iter().take(n);
        let other = earlier.find(|other| other.takes(&one.path) || one.takes(&other.path));
        if let Some(other) = other {
            let (path, id) = (one.file.path.display(), &other.egress.id);
            let complaint = Complaint::with_remedy(
                format!(
                    "egress {id} ({}) writes to {path}, or rotates its file to it",
                    other.egress.location
                ),
                "each egress needs a file of its own",
            );
            fault(draft, &one.egress.location, "path", complaint);
        }
    }
    for ingress in &module.ingresses {
        let Ingress::File(ingress) = ingress else {
            continue;
        };
        let path = plain(&ingress.path);
        if let Some(one) = written.iter().find(|one| one.takes(&path)) {
            let complaint = Complaint::with_remedy(
                format!(
                    "egress {} ({}) writes this file, and its lines have no target",
                    one.egress.id, one.egress.location
                ),
                "read another file",
            );
            fault(draft, &ingress.location, "path", complaint);
        }
    }
}

/// Without `.` and doubled slashes. Links are not followed: the files need not exist yet.
fn plain(path: &Path) -> PathBuf {
    let parts = path.components();
    parts.filter(|part| *part != Component::CurDir).collect()
}

fn check_clients(draft: &Draft<'_>) {
    let module = &draft.module;
    let ingresses = module.ingresses.iter().filter_map(|ingress| match ingress {
        Ingress::Mqtt(one) => Some((&one.location, format!("ingress {}", one.id), &one.broker)),
        _ => None,
    });
    let egresses = module
        .egresses
        .iter()
        .filter_map(|egress| match &egress.target {
            EgressTarget::Mqtt(one) => Some((
                &egress.location,
                format!("egress {}", egress.id),
                &one.broker,
            )),
            _ => None,
        });
    let clients: Vec<_> = ingresses.chain(egresses).collect();
    let key = |broker: &MqttBroker| (broker.host.clone(), broker.port, broker.client_id.clone());
    for (n, (location, _, broker)) in clients.iter().enumerate() {
        let mut earlier = clients.iter().take(n);
        let other = earlier.find(|(_, _, other)| key(other) == key(broker));
        if let Some((first, name, _)) = other {
            let complaint = Complaint::with_remedy(
                format!(
                    "{name} ({first}) has the client id `{}` at the same broker, which disconnects the older of two clients",
                    broker.client_id
                ),
                "give each a `clientId` of its own",
            );
            fault(draft, location, "clientId", complaint);
        }
    }
}

fn fault(draft: &Draft<'_>, location: &Location, key: &str, complaint: Complaint) {
    let path = format!("spec.{key}");
    let finding = Finding::new(location.clone(), path, complaint);
    draft.findings.fault(finding);
}

#[cfg(test)]
mod tests {
    use super::super::{Module, ModuleFile, Placeholders};

    fn faults(documents: &[&str]) -> Vec<String> {
        let text = documents.join("---\n");
        let file = ModuleFile {
            name: "m.yaml",
            text: &text,
        };
        let (_, faults) = Module::read(&[file], &Placeholders::Literal);
        faults.iter().map(ToString::to_string).collect()
    }

    fn writes(id: &str, path: &str, more: &str) -> String {
        format!("kind: statefun.file.v1/egress\nspec: {{id: a/{id}, path: {path}{more}}}\n")
    }

    fn client(kind: &str, id: &str, more: &str) -> String {
        format!("kind: statefun.mqtt.v1/{kind}\nspec: {{id: a/{id}, url: \"mqtt://h\"{more}}}\n")
    }

    #[test]
    fn a_file_has_one_egress_and_is_read_by_none_of_the_ingresses() {
        let rotates = ", rotate: {maxBytes: 10, keep: 2}";
        let reads = "kind: statefun.file.v1/ingress\nspec: {id: a/in, path: out}\n";
        for (one, other, is_fault) in [
            (writes("x", "out", ""), writes("y", "./out", ""), true),
            (writes("x", "out", rotates), writes("y", "out.2", ""), true),
            (writes("x", "out.1", ""), writes("y", "out", rotates), true),
            (writes("x", "out", ""), reads.to_owned(), true),
            (writes("x", "out", rotates), writes("y", "out.3", ""), false),
            (writes("x", "out", ""), writes("y", "out.1", ""), false),
        ] {
            let found = faults(&[&one, &other]);
            assert_eq!(found.len(), usize::from(is_fault), "{one}{other}{found:?}");
        }
        let found = faults(&[&writes("x", "out", ""), &writes("y", "out", "")]);
        assert!(found[0].contains("egress a/x") && found[0].contains("of its own"));
    }

    #[test]
    fn a_client_id_belongs_to_one_document_for_each_broker() {
        let topics = ", topics: [{topic: t, valueType: a/b, targets: [a/f]}]";
        let named = |id: &str| format!(", clientId: {id}");
        for (first, second, count) in [("c", "c", 1), ("c", "d", 0)] {
            let ingress = client("ingress", "in", &format!("{topics}{}", named(first)));
            let found = faults(&[&ingress, &client("egress", "out", &named(second))]);
            assert_eq!(found.len(), count, "{found:?}");
        }
        // The defaults differ also if an ingress and an egress have the same name.
        let found = faults(&[&client("ingress", "x", topics), &client("egress", "x", "")]);
        assert_eq!(found, Vec::<String>::new());
    }
}
