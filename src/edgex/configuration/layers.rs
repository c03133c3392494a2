//! Reads the files and puts one over the other.

use super::{known, older_names};
use crate::document::{Complaint, Finding, Findings, Location, Node, Repeated, Value, yaml};
use crate::module::ModuleFile;

const DEFAULTS: &str = include_str!("defaults.yaml");

/// The sections of a common file that a service reads, in their order.
const COMMON: [&str; 2] = ["all-services", "app-services"];
/// The section for other services.
const FOR_DEVICES: &str = "device-services";

/// All layers as one tree; `None` if a file cannot be read, which is reported.
pub(super) fn merged(
    private: ModuleFile<'_>,
    common: Option<ModuleFile<'_>>,
    findings: &Findings,
) -> Option<Node> {
    let mut tree = defaults();
    let common = common.map_or(Some(Vec::new()), |file| common_sections(file, findings));
    let private = document(private, findings);
    for mut layer in common?.into_iter().chain([private?]) {
        older_names::replace(&mut layer, findings);
        known::check(&layer, findings);
        put_over(&mut tree, layer);
    }
    Some(tree)
}

/// The built-in settings.
pub(super) fn defaults() -> Node {
    let findings = Findings::default();
    let documents = yaml::parse("defaults", DEFAULTS, Repeated::LastCounts, &findings);
    let only = documents.into_iter().next();
    only.expect("the built-in settings are a document")
}

/// The one document of a file.
fn document(file: ModuleFile<'_>, findings: &Findings) -> Option<Node> {
    let fault = |text: &str, remedy: &str| {
        let complaint = Complaint::with_remedy(text, remedy);
        findings.fault(Finding::new(Location::file(file.name), "", complaint));
    };
    if file.name.to_ascii_lowercase().ends_with(".toml") {
        let remedy = "convert it once with `statefun pipeline convert`";
        fault("TOML, as in versions 1 and 2, is not read here", remedy);
        return None;
    }
    let had_faults = findings.has_faults();
    let mut documents = yaml::parse(file.name, file.text, Repeated::LastCounts, findings);
    if findings.has_faults() && !had_faults {
        return None;
    }
    let only = documents.pop();
    match only {
        Some(document) if documents.is_empty() && matches!(document.value, Value::Map(_)) => {
            Some(document)
        }
        _ => {
            let remedy = "write sections such as `Writable` and `Trigger`, and nothing else";
            fault("the file is not one mapping of sections", remedy);
            None
        }
    }
}

/// The sections of a common file.
fn common_sections(file: ModuleFile<'_>, findings: &Findings) -> Option<Vec<Node>> {
    let mut tree = document(file, findings)?;
    for key in tree.keys() {
        let is_known = COMMON.contains(&key.name.as_str()) || key.name == FOR_DEVICES;
        if !is_known {
            let text = format!("section `{}` is ignored", key.name);
            let remedy = "a common file has `all-services`, `app-services` and `device-services`";
            let complaint = Complaint::with_remedy(text, remedy);
            let finding = Finding::new(key.location.clone(), key.name.as_str(), complaint);
            findings.warning(finding);
        }
    }
    let sections = COMMON.iter().filter_map(|name| tree.take(name));
    Some(
        sections
            .filter(|section| matches!(section.value, Value::Map(_)))
            .collect(),
    )
}

/// Puts `over` over `under`: mappings key by key, and everything else as a whole. A section without a value changes nothing.
pub(super) fn put_over(under: &mut Node, over: Node) {
    let Value::Map(entries) = &mut under.value else {
        *under = over;
        return;
    };
    let Node {
        value, location, ..
    } = over;
    match value {
        Value::Map(new) => {
            for (key, node) in new {
                match entries.iter_mut().find(|(known, _)| known.name == key.name) {
                    Some((known, below)) => {
                        *known = key;
                        put_over(below, node);
                    }
                    None => entries.push((key, node)),
                }
            }
            under.location = location;
        }
        Value::Null => {}
        value => *under = Node::made(location, value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(private: &str, common: Option<&str>) -> (Option<Node>, Findings) {
        let findings = Findings::default();
        let file = |name, text| ModuleFile { name, text };
        let common = common.map(|text| file("common.yaml", text));
        let tree = merged(file("configuration.yaml", private), common, &findings);
        (tree, findings)
    }

    #[test]
    fn the_private_file_lies_over_the_common_one_and_both_over_the_defaults() {
        let common = "
all-services: {Service: {Host: all, RequestTimeout: 9s}, MessageBus: {Host: bus}}
app-services: {Service: {Host: app}}
device-services: {Service: {Host: device}}
";
        let private = "Service: {Port: 7}\nMessageBus:\nMine: {a: [1]}\n";
        let (tree, findings) = read(private, Some(common));
        let tree = tree.unwrap().to_json();
        assert_eq!(tree["Service"]["Host"], "app");
        assert_eq!(tree["Service"]["Port"], 7);
        assert_eq!(tree["Service"]["RequestTimeout"], "9s");
        assert_eq!(tree["Service"]["MaxResultCount"], 1024);
        assert_eq!(tree["MessageBus"]["Host"], "bus");
        assert_eq!(tree["Mine"], json!({"a": [1]}));
        let (faults, warnings, _) = findings.into_parts();
        assert!(faults.is_empty() && warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn a_file_that_is_not_a_configuration_is_refused_with_its_name() {
        for (name, text) in [
            ("configuration.yaml", "- a\n"),
            ("configuration.yaml", ""),
            ("configuration.toml", "[Writable]"),
        ] {
            let findings = Findings::default();
            assert!(merged(ModuleFile { name, text }, None, &findings).is_none());
            let (faults, ..) = findings.into_parts();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!(&*faults[0].location.file, name);
        }
    }
}
