//! `statefun.file.v1/egress`: a line of JSON for each record, appended to a file.

use std::path::PathBuf;

use crate::document::scalar;

use super::super::draft::{Binding, Draft};
use super::super::{Egress, EgressTarget, coerce};
use super::Spec;

/// Appends a line of JSON for each record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileEgress {
    /// The file; it is made when it does not exist. A relative path counts from the working directory.
    pub path: PathBuf,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = fields.must("id", coerce::own_name);
    let path = fields.must("path", scalar::filled_text);
    let (location, at) = (fields.location().clone(), fields.at());
    fields.finish();
    let (Some(id), Some(path)) = (id, path) else {
        return;
    };
    draft.bind(Binding::Egress(id.clone()), at);
    draft.module.egresses.push(Egress {
        location,
        id,
        target: EgressTarget::File(FileEgress { path: path.into() }),
    });
}
