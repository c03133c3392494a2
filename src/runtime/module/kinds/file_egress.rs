//! `statefun.file.v1/egress`: a line of JSON for each record, appended to a file.

use std::path::PathBuf;

use super::super::{Draft, Egress, EgressTarget, fields};
use super::Spec;

/// Appends a line of JSON for each record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileEgress {
    /// The file; it is made when it does not exist. A relative path counts from the working directory.
    pub path: PathBuf,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let mut fields = spec.fields;
    let id = fields.required("id", fields::type_name);
    let path = fields.required("path", fields::filled_text);
    let (place, at) = (fields.place().clone(), fields.at());
    fields.finish();
    let (Some(id), Some(path)) = (id, path) else {
        return;
    };
    draft.bind_egress(&id, at);
    draft.module.egresses.push(Egress {
        place,
        id,
        target: EgressTarget::File(FileEgress { path: path.into() }),
    });
}
