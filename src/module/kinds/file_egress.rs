//! `statefun.file.v1/egress`: a line of JSON for each record, appended to a file.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use crate::document::{Fields, scalar};

use super::super::draft::{Binding, Draft};
use super::super::{Egress, EgressTarget, coerce};
use super::Spec;

/// Appends a line of JSON for each record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileEgress {
    /// The file; it is made when it does not exist. A relative path counts from the working directory.
    pub path: PathBuf,
    /// When another file begins. Default: never.
    pub rotation: Option<Rotation>,
}

/// When a file is renamed and another one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotation {
    /// Before a batch would make the file larger.
    pub max_bytes: Option<NonZeroU64>,
    /// When the file is this old.
    pub every: Option<Duration>,
    /// How many rotated files stay.
    pub keep: NonZeroU32,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = fields.must("id", coerce::own_name);
    let path = fields.must("path", scalar::filled_text);
    let rotation = fields.child("rotate").map(rotation);
    let (location, at) = (fields.location().clone(), fields.at());
    fields.finish();
    let (Some(id), Some(path)) = (id, path) else {
        return;
    };
    draft.bind(Binding::Egress(id.clone()), at);
    draft.module.egresses.push(Egress {
        location,
        id,
        target: EgressTarget::File(FileEgress {
            path: path.into(),
            rotation: rotation.flatten(),
        }),
    });
}

/// A limit of size or age, and the number of files that stay.
fn rotation(fields: Fields<'_>) -> Option<Rotation> {
    let max_bytes = fields.optional("maxBytes", scalar::count);
    let every = fields.optional("every", scalar::span);
    let keep = fields.must("keep", scalar::count_of::<NonZeroU32>);
    if !fields.has("maxBytes") && !fields.has("every") {
        fields.fault("", "give `maxBytes`, or `every`, or both");
    }
    fields.finish();
    Some(Rotation {
        max_bytes,
        every,
        keep: keep?,
    })
}
