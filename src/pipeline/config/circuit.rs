//! `circuit: {failures, openFor}`, or `false`: when a destination that keeps failing gets fewer requests.

use std::num::NonZeroU32;

use crate::delivery::owner::Circuit;
use crate::document::{At, Value, scalar};

#[expect(
    clippy::option_option,
    reason = "the inner one is the value: a circuit or none"
)]
pub(crate) fn read(node: &At<'_>) -> Option<Option<Circuit>> {
    if matches!(node.node.value, Value::Bool(false)) {
        return Some(None);
    }
    let (mut circuit, mut is_enabled) = (Circuit::default(), true);
    let fields = node.clone().fields()?.in_either_case();
    let whole = [
        fields.set("enabled", &mut is_enabled, At::boolean),
        fields.set("failures", &mut circuit.failures, |node| {
            let count: NonZeroU32 = node.read(scalar::count_of)?;
            Some(count.get())
        }),
        fields.set("openFor", &mut circuit.open_for, At::span),
    ];
    fields.finish();
    (!whole.contains(&false)).then_some(is_enabled.then_some(circuit))
}
