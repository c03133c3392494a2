//! `statefun.samples.v1/functions`: the sample functions of the binary.

use crate::sdk::TypeName;

use super::super::draft::{Binding, Draft};
use super::Spec;

/// The egress that `reminder` sends to.
pub(in super::super) const OUT: &str = "statefun.samples/out";

/// The sample functions.
const FUNCTIONS: [TypeName; 3] = [
    TypeName::new("statefun.samples/greeter"),
    TypeName::new("statefun.samples/counter"),
    TypeName::new("statefun.samples/reminder"),
];

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let finding = spec.fields.finding("", "");
    spec.fields.finish();
    for function in FUNCTIONS {
        draft.bind(Binding::Function(function), finding.clone());
    }
    draft.module.samples = true;
}
