//! `statefun.stdout.v1/egress`: a line of JSON for each record.

use super::super::draft::{Binding, Draft};
use super::super::{Egress, EgressTarget, coerce};
use super::Spec;

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = fields.must("id", coerce::own_name);
    let (location, at) = (fields.location().clone(), fields.at());
    fields.finish();
    let Some(id) = id else { return };
    draft.bind(Binding::Egress(id.clone()), at);
    draft.module.egresses.push(Egress {
        location,
        id,
        target: EgressTarget::Stdout,
    });
}
