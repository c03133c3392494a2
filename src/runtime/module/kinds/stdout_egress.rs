//! `statefun.stdout.v1/egress`: a line of JSON for each record.

use super::super::{Draft, Egress, EgressTarget, fields};
use super::Spec;

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let mut fields = spec.fields;
    let id = fields.required("id", fields::type_name);
    let (place, at) = (fields.place().clone(), fields.at());
    fields.finish();
    let Some(id) = id else { return };
    draft.bind_egress(&id, at);
    draft.module.egresses.push(Egress {
        place,
        id,
        target: EgressTarget::Stdout,
    });
}
