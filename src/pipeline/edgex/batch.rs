//! `Batch`: by count, by time, or whichever comes first.

use std::num::NonZeroU32;

use super::super::stages::{Batch, BatchFormat, MAX_BATCH_ITEMS, StageKind};
use super::parameters::Parameters;
use crate::document::Complaint;
use crate::time::span;

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let mode = parameters.required("Mode")?;
    match mode.trim().to_ascii_lowercase().as_str() {
        "bycount" => by_count(parameters),
        "bytime" => by_time(parameters),
        "bytimecount" => by_time_and_count(parameters),
        _ => {
            let text = format_args!("`{mode}` is not a mode; known: bycount, bytime, bytimecount");
            parameters.fault("Mode", text);
            None
        }
    }
}

pub(super) fn by_count(parameters: Parameters<'_>) -> Option<StageKind> {
    batch(parameters, true, false)
}

pub(super) fn by_time(parameters: Parameters<'_>) -> Option<StageKind> {
    batch(parameters, false, true)
}

pub(super) fn by_time_and_count(parameters: Parameters<'_>) -> Option<StageKind> {
    batch(parameters, true, true)
}

fn batch(parameters: Parameters<'_>, has_count: bool, has_time: bool) -> Option<StageKind> {
    let _ = (
        parameters.text("Mode"),
        parameters.text("BatchThreshold"),
        parameters.text("TimeInterval"),
    );
    let mut batch = Batch::default();
    if has_count {
        batch.count = parameters.required("BatchThreshold").and_then(|text| {
            let count = text.trim().parse::<NonZeroU32>();
            let count = count.map_err(|_| format!("`{text}` is not a whole number of at least 1"));
            parameters.check("BatchThreshold", count)
        });
    }
    if let Some(count) = batch.count.filter(|count| count.get() > MAX_BATCH_ITEMS) {
        parameters.warn_at(
            "BatchThreshold",
            Complaint::with_remedy(
                format!("a batch is sent with {MAX_BATCH_ITEMS} items, before it has {count}"),
                format!("set it to at most {MAX_BATCH_ITEMS}"),
            ),
        );
        batch.count = NonZeroU32::new(MAX_BATCH_ITEMS);
    }
    if has_time {
        batch.time = parameters.required("TimeInterval").and_then(|text| {
            let time = span::parse(text.trim()).map_err(|err| err.to_string());
            parameters.check("TimeInterval", time)
        });
    }
    let (events, merge) = (
        parameters.boolean("IsEventData"),
        parameters.boolean("MergeOnSend"),
    );
    batch.format = match (events, merge) {
        (true, _) => BatchFormat::Events,
        (false, true) => BatchFormat::Concat,
        (false, false) => BatchFormat::Base64Array,
    };
    batch.key = parameters.text("Key").filter(|key| !key.trim().is_empty());
    if has_count && batch.count.is_none() || has_time && batch.time.is_none() {
        return parameters.finish(None); // reported
    }
    let stage = batch.check(|field, text| {
        let parameter = match field {
            "time" => "TimeInterval",
            "key" => "Key",
            _ => "BatchThreshold",
        };
        parameters.fault(parameter, text);
    });
    parameters.finish(stage)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{faults, kind, warnings};
    use super::*;

    #[test]
    fn pl_18_batches_in_their_three_modes() {
        for (parameters, count, time) in [
            (
                json!({"Mode": "bycount", "BatchThreshold": "30", "IsEventData": "true"}),
                30,
                None,
            ),
            (
                json!({"Mode": "ByTime", "TimeInterval": "10s"}),
                MAX_BATCH_ITEMS,
                Some(10),
            ),
            (
                json!({"Mode": "bytimecount", "BatchThreshold": 30, "TimeInterval": "10s"}),
                30,
                Some(10),
            ),
        ] {
            let StageKind::Batch(batching) = kind(&json!({"Batch": parameters})) else {
                panic!("a batch");
            };
            let seconds = batching.time.map(|time| time.as_secs());
            assert_eq!((batching.count, seconds), (count, time));
        }
        let old = json!({"BatchByTimeAndCount": {"BatchThreshold": "30", "TimeInterval": "10s"}});
        assert!(matches!(kind(&old), StageKind::Batch(_)));
        let large = json!({"BatchByCount": {"BatchThreshold": "10001"}});
        assert_eq!(warnings(&large).len(), 1);
    }

    #[test]
    fn pl_18_a_missing_or_bad_mode_threshold_or_interval_is_a_fault() {
        let of = |parameters: Value| faults(&json!({"Batch": parameters}));
        for (parameters, key) in [
            (json!({}), "Mode"),
            (json!({"Mode": "byluck"}), "Mode"),
            (json!({"Mode": "bycount"}), "BatchThreshold"),
            (
                json!({"Mode": "bycount", "BatchThreshold": "0"}),
                "BatchThreshold",
            ),
            (
                json!({"Mode": "bycount", "BatchThreshold": "junk"}),
                "BatchThreshold",
            ),
            (json!({"Mode": "bytime"}), "TimeInterval"),
            (
                json!({"Mode": "bytime", "TimeInterval": "junk"}),
                "TimeInterval",
            ),
            (
                json!({"Mode": "bytime", "TimeInterval": "0s"}),
                "TimeInterval",
            ),
            (
                json!({"Mode": "bytimecount", "BatchThreshold": "3"}),
                "TimeInterval",
            ),
        ] {
            let faults = of(parameters);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(
                faults[0].starts_with(&format!("stages[0].Batch.{key}: ")),
                "{faults:?}"
            );
        }
    }
}
