//! The section `Writable.Telemetry`.

use std::collections::BTreeMap;

use super::super::telemetry::Telemetry;
use super::reader::{Reader, texts};
use crate::document::{At, Value};

/// Which metrics are published.
pub(super) fn read(at: &At<'_>) -> Option<Telemetry> {
    let whole = Reader::of(at.clone())?;
    let section = whole.section("Writable")?.section("Telemetry")?;
    let interval = section.span("Interval");
    let metrics = section.section("Metrics")?;
    let names = metrics.keys();
    let flags: Vec<_> = names.iter().map(|name| metrics.flag(name)).collect();
    let flags: Option<Vec<bool>> = flags.into_iter().collect();
    let tags = match section.place("Tags") {
        Some(tags) if !matches!(tags.node.value, Value::Null) => texts(&tags),
        _ => Some(BTreeMap::new()),
    };
    let names = names.into_iter().zip(flags?);
    Some(Telemetry {
        interval: interval?,
        names: names
            .filter_map(|(name, is_on)| is_on.then_some(name))
            .collect(),
        tags: tags?,
    })
}
