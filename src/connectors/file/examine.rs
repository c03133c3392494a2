//! The documents of files as `statefun check` and the start see them.

use std::path::Path;

use async_trait::async_trait;

use super::folder::{Named, named};
use crate::module::{FileEgress, FileIngress, Finding, Location};
use crate::runtime::{ConnectorFindings, Examine};

/// An ingress that follows a file.
pub(crate) struct IngressExamined<'a>(pub(crate) &'a FileIngress);

#[async_trait]
impl Examine for IngressExamined<'_> {
    /// A path that names something else than a file.
    fn findings(&self) -> ConnectorFindings {
        match self.0.is_stdin() {
            true => ConnectorFindings::default(),
            false => not_a_file(&self.0.location, &self.0.path),
        }
    }
}

/// An egress into a file, and the location of its document.
pub(crate) struct EgressExamined<'a>(pub(crate) &'a Location, pub(crate) &'a FileEgress);

#[async_trait]
impl Examine for EgressExamined<'_> {
    /// A path that names something else than a file.
    fn findings(&self) -> ConnectorFindings {
        not_a_file(self.0, &self.1.path)
    }
}

/// A file that does not exist yet is fine: an ingress waits for it, and an egress makes it.
fn not_a_file(location: &Location, path: &Path) -> ConnectorFindings {
    let mut found = ConnectorFindings::default();
    if let (Named::Nothing(why), true) = (named(path), path.is_dir()) {
        let text = format!("{}: {why}", path.display());
        let path = ["spec", "path"].join(".");
        let finding = Finding::new(location.clone(), path, text);
        found.faults.push(finding);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{EgressTarget, Ingress, Module, ModuleFile, Placeholders};

    #[test]
    fn a_folder_is_not_a_file_to_read_or_write() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().display().to_string();
        for (path, is_fault) in [(there.clone(), true), (format!("{there}/new.jsonl"), false)] {
            let text = format!(
                "kind: statefun.file.v1/ingress\nspec: {{id: a/in, path: {path}}}\n---\nkind: statefun.file.v1/egress\nspec: {{id: a/out, path: {path}/}}\n"
            );
            let file = ModuleFile {
                name: "m.yaml",
                text: &text,
            };
            // Whether both may have the same path is another question.
            let (module, _) = Module::read(&[file], &Placeholders::Literal);
            let [Ingress::File(ingress)] = &module.ingresses[..] else {
                panic!("one ingress");
            };
            let [egress] = &module.egresses[..] else {
                panic!("one egress");
            };
            let EgressTarget::File(file) = &egress.target else {
                panic!("a file");
            };
            for found in [
                IngressExamined(ingress).findings(),
                EgressExamined(&egress.location, file).findings(),
            ] {
                assert_eq!(found.faults.len(), usize::from(is_fault), "{found:?}");
                let told = found.faults.iter().all(|fault| {
                    fault.path == "spec.path"
                        && fault
                            .to_string()
                            .contains("it is a folder; name a file in it")
                });
                assert!(told, "{found:?}");
            }
        }
    }
}
