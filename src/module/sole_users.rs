//! What only one document of a module may use: the file of an egress, the client id at a broker, the `transactional.id` in a Kafka cluster.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::kinds::MqttBroker;
use super::{Draft, Egress, EgressTarget, FileEgress, Ingress};
use crate::document::{Complaint, Finding, Location};

/// Reports files, client ids and transactional ids that several documents use.
pub(super) fn check(draft: &Draft<'_>) {
    check_files(draft);
    check_clients(draft);
    check_transactions(draft);
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

/// A client of a broker.
struct Client<'a> {
    location: &'a Location,
    /// The field with its id.
    key: &'static str,
    name: String,
    broker: (&'a str, u16),
    client_id: &'a str,
}

impl<'a> Client<'a> {
    fn of(location: &'a Location, name: String, broker: &'a MqttBroker) -> Self {
        Self {
            location,
            key: "clientId",
            name,
            broker: (&broker.host, broker.port),
            client_id: &broker.client_id,
        }
    }

    fn is_same(&self, other: &Client<'_>) -> bool {
        (self.broker, self.client_id) == (other.broker, other.client_id)
    }
}

fn check_clients(draft: &Draft<'_>) {
    let module = &draft.module;
    let ingresses = module.ingresses.iter().filter_map(|ingress| match ingress {
        Ingress::Mqtt(one) => Some(Client::of(
            &one.location,
            format!("ingress {}", one.id),
            &one.broker,
        )),
        _ => None,
    });
    let egresses = module
        .egresses
        .iter()
        .filter_map(|egress| match &egress.target {
            EgressTarget::Mqtt(one) => Some(Client::of(
                &egress.location,
                format!("egress {}", egress.id),
                &one.broker,
            )),
            _ => None,
        });
    let clients: Vec<_> = ingresses.chain(egresses).collect();
    for (n, client) in clients.iter().enumerate() {
        if let Some(other) = clients.iter().take(n).find(|other| other.is_same(client)) {
            disconnects(draft, client, other);
        }
    }
    #[cfg(feature = "mqtt")]
    check_exports(draft, &clients);
}

/// Reports that `other` has the client id of `client`.
fn disconnects(draft: &Draft<'_>, client: &Client<'_>, other: &Client<'_>) {
    let complaint = Complaint::with_remedy(
        format!(
            "{} ({}) has the client id `{}` at the same broker, which disconnects the older of two clients",
            other.name, other.location, client.client_id
        ),
        "give each a client id of its own",
    );
    fault(draft, client.location, client.key, complaint);
}

/// Exports of pipelines share a connection where broker and client id are the same, but not with ingresses and egresses.
#[cfg(feature = "mqtt")]
fn check_exports(draft: &Draft<'_>, clients: &[Client<'_>]) {
    let pipelines = draft.module.pipelines.iter();
    let exports = pipelines.flat_map(|pipeline| {
        let config = &pipeline.config;
        config.mqtt_clients().map(move |(stage, export)| {
            let client = Client {
                location: &pipeline.location,
                key: "",
                name: format!("stage `{stage}` of pipeline {}", config.name()),
                broker: (&export.address.host, export.address.port),
                client_id: export.client_id,
            };
            (client, export)
        })
    });
    let exports: Vec<_> = exports.collect();
    for (n, (client, export)) in exports.iter().enumerate() {
        if let Some(other) = clients.iter().find(|other| other.is_same(client)) {
            disconnects(draft, client, other);
        }
        let mut earlier = exports.iter().take(n);
        let Some((other, first)) = earlier.find(|(other, _)| other.is_same(client)) else {
            continue;
        };
        let text = if !export.signs_in_like(first) {
            "which signs in differently: each closes the connection of the other"
        } else if !export.connects_like(first) {
            "whose settings of the connection differ and count for both"
        } else {
            continue;
        };
        let text = format!(
            "{} has the broker and the client id `{}` of {} ({}), {text}",
            client.name, client.client_id, other.name, other.location
        );
        let complaint = Complaint::with_remedy(text, "give each a client id of its own");
        let finding = Finding::new(client.location.clone(), "", complaint);
        draft.findings.warning(finding);
    }
}

fn check_transactions(draft: &Draft<'_>) {
    let egresses = draft.module.egresses.iter();
    let all: Vec<_> = egresses
        .filter_map(|egress| match &egress.target {
            EgressTarget::Kafka(kafka) => {
                Some((egress, kafka, kafka.transactional_id(&egress.id)?))
            }
            _ => None,
        })
        .collect();
    for (n, (egress, kafka, id)) in all.iter().enumerate() {
        let mut earlier = all.iter().take(n);
        let other = earlier.find(|(_, other, taken)| {
            taken == id && !servers(&kafka.address).is_disjoint(&servers(&other.address))
        });
        if let Some((other, ..)) = other {
            let complaint = Complaint::with_remedy(
                format!(
                    "egress {} ({}) has the transactional.id `{id}` in the same cluster, which fences off the older of two producers",
                    other.id, other.location
                ),
                "give each egress a `transactional.id` of its own, or leave the property out",
            );
            let named = kafka.properties.get("transactional.id");
            let finding = match named {
                Some(_) => kafka.properties.finding("transactional.id", complaint),
                None => Finding::new(egress.location.clone(), "spec.id", complaint),
            };
            draft.findings.fault(finding);
        }
    }
}

/// The servers of a list.
fn servers(address: &str) -> BTreeSet<&str> {
    address.split(',').map(str::trim).collect()
}

fn fault(draft: &Draft<'_>, location: &Location, key: &str, complaint: Complaint) {
    let path = match key {
        "" => String::new(),
        key => format!("spec.{key}"),
    };
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
    fn a_transactional_id_belongs_to_one_egress_of_a_cluster() {
        let egress = |id: &str, address: &str, semantic: &str, named: &str| {
            format!(
                "kind: io.statefun.kafka.v1/egress\nspec:\n  id: a/{id}\n  address: {address}\n  deliverySemantic: {semantic}\n  properties: [{named}]\n"
            )
        };
        let exactly = "{type: exactly-once, transactionTimeout: 1min}";
        let mine = "{transactional.id: mine}";
        let first = egress("x", "\"h:1, i:1\"", exactly, mine);
        for (address, semantic, named, is_fault) in [
            ("i:1", exactly, mine, true),
            ("j:1", exactly, mine, false),
            ("i:1", exactly, "", false),
            ("i:1", "{type: at-least-once}", mine, false),
        ] {
            let found = faults(&[&first, &egress("y", address, semantic, named)]);
            assert_eq!(found.len(), usize::from(is_fault), "{address} {found:?}");
            let told = found.first().is_none_or(|told| {
                told.contains("egress a/x (m.yaml:") && told.contains("transactional.id")
            });
            assert!(told, "{found:?}");
        }
        // The default of one is the property of the other.
        let named = egress("x", "h:1", exactly, "{transactional.id: statefun-a/y}");
        let found = faults(&[&named, &egress("y", "h:1", exactly, "")]);
        assert_eq!(found.len(), 1, "{found:?}");
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

    #[cfg(feature = "mqtt")]
    #[test]
    fn an_export_of_a_pipeline_has_a_client_id_of_its_own() {
        let topics = ", topics: [{topic: t, valueType: a/b, targets: [a/f]}]";
        let pipeline = |name: &str, more: &str| {
            format!(
                "kind: statefun.pipelines.v1/pipeline\nspec: {{name: {name}, stages: [{{mqtt-export: {{url: \"mqtt://h\", topic: t, clientId: c{more}}}}}]}}\n"
            )
        };
        let read = |documents: &[&str]| {
            let text = documents.join("---\n");
            let file = ModuleFile {
                name: "m.yaml",
                text: &text,
            };
            let (module, faults) = Module::read(&[file], &Placeholders::Literal);
            let told = |found: &[super::Finding]| -> Vec<String> {
                found.iter().map(ToString::to_string).collect()
            };
            let warnings = told(&module.warnings).into_iter();
            let warnings = warnings.filter(|warning| warning.contains("client id"));
            (told(&faults), warnings.collect::<Vec<_>>())
        };
        let ingress = client("ingress", "in", &format!("{topics}, clientId: c"));
        let (found, _) = read(&[&ingress, &pipeline("p", "")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("ingress a/in") && found[0].contains("client id `c`"));

        let secret = ", auth: usernamepassword, secret: s";
        for (more, text) in [
            (", keepAlive: 7s", "whose settings of the connection differ"),
            (secret, "each closes the connection of the other"),
        ] {
            let (found, warnings) = read(&[&pipeline("p", ""), &pipeline("q", more)]);
            assert_eq!(
                (found.len(), warnings.len()),
                (0, 1),
                "{found:?} {warnings:?}"
            );
            assert!(warnings[0].contains(text), "{warnings:?}");
        }
        let (found, warnings) = read(&[&pipeline("p", ""), &pipeline("q", "")]);
        assert_eq!(
            (found.len(), warnings.len()),
            (0, 0),
            "they share a connection"
        );
    }
}
