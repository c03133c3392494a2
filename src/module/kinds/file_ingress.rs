//! `statefun.file.v1/ingress`: lines of a file, or of standard input, become messages.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::document::{Complaint, Fields, Location, scalar};
use crate::sdk::{TypeName, types};

use super::super::draft::{Binding, Draft};
use super::super::{Ingress, coerce};
use super::Spec;

const DEFAULT_JSON_TYPE: TypeName = TypeName::new(types::UNTYPED_JSON);
/// The path that stands for standard input.
const STDIN: &str = "-";

/// Follows a file of JSON lines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileIngress {
    /// The location of the document's `spec`.
    pub location: Location,
    /// Its name, under which its position is stored.
    pub id: TypeName,
    /// The file; `-` is standard input. A relative path counts from the working directory.
    pub path: PathBuf,
    /// The type of JSON without a type. Default `statefun/json`.
    pub json_type: TypeName,
    /// Longer lines are set aside. Default 8 MiB.
    pub max_line_bytes: usize,
}

impl FileIngress {
    /// Whether it reads standard input.
    pub fn is_stdin(&self) -> bool {
        self.path == Path::new(STDIN)
    }
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = fields.must("id", coerce::own_name);
    let path = fields.must("path", scalar::filled_text);
    let json_type = fields.optional("jsonType", coerce::own_name);
    let max_line_bytes = fields.optional("maxLineBytes", scalar::count_of::<NonZeroUsize>);
    if path.as_deref() == Some(STDIN) {
        check_stdin(&fields, draft);
    }
    let (location, at) = (fields.location().clone(), fields.at());
    fields.finish();
    let (Some(id), Some(path)) = (id, path) else {
        return;
    };
    draft.bind(Binding::Ingress(id.clone()), at);
    draft.module.ingresses.push(Ingress::File(FileIngress {
        location,
        id,
        path: path.into(),
        json_type: json_type.unwrap_or(DEFAULT_JSON_TYPE),
        max_line_bytes: max_line_bytes.map_or(8 * 1024 * 1024, NonZeroUsize::get),
    }));
}

/// Two readers of standard input would each get some of the lines.
fn check_stdin(fields: &Fields<'_>, draft: &Draft<'_>) {
    let other = draft.module.ingresses.iter().find_map(|known| match known {
        Ingress::File(known) if known.is_stdin() => Some(known),
        _ => None,
    });
    if let Some(other) = other {
        let complaint = Complaint::with_remedy(
            format!("ingress {} reads standard input already", other.id),
            "name a file, or remove one of the two",
        );
        fields.fault("path", complaint);
    }
}
