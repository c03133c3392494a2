//! What pipelines have done since the start: counts, sizes and times, by pipeline, stage and destination.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::delivery::engine::{Class, Failure};

/// Upper bounds of seconds, for histograms.
const SECONDS: &[f64] = &[0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0];
/// Upper bounds of bytes.
const BYTES: &[f64] = &[
    100.0,
    1_000.0,
    10_000.0,
    100_000.0,
    1_000_000.0,
    10_000_000.0,
];

/// Exports of a pipeline with figures of their own; those to further destinations are counted together.
const MAX_EXPORTS: usize = 1_000;
const OTHER: &str = "other";

/// The figures of all pipelines of a runtime, by their names. Clones are the same figures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Arc<Mutex<BTreeMap<String, Arc<PipelineFigures>>>>);

impl Figures {
    /// Those of a pipeline, which go on when it is exchanged for another one of its name.
    pub(super) fn of(&self, pipeline: &str) -> Arc<PipelineFigures> {
        Arc::clone(locked(&self.0).entry(pipeline.to_owned()).or_default())
    }

    /// Those of all pipelines.
    #[cfg_attr(
        not(feature = "runtime"),
        allow(dead_code, reason = "metrics show them")
    )]
    pub(crate) fn all(&self) -> Vec<(String, Arc<PipelineFigures>)> {
        let all = locked(&self.0);
        let all = all.iter();
        all.map(|(name, figures)| (name.clone(), Arc::clone(figures)))
            .collect()
    }
}

/// The figures of one pipeline.
#[derive(Debug, Default)]
pub(crate) struct PipelineFigures {
    /// Messages from outside.
    messages: AtomicU64,
    /// Those that could not be decoded.
    invalid: AtomicU64,
    /// Records that went through its stages, up to the first that acts on the outside.
    processed: AtomicU64,
    seconds: Spread,
    errors: Mutex<BTreeMap<ErrorKey, u64>>,
    exports: Mutex<BTreeMap<ExportKey, Arc<ExportFigures>>>,
}

/// A stage, and the class of a failure.
pub(crate) type ErrorKey = (String, &'static str);
/// A stage, and the destination of an export.
pub(crate) type ExportKey = (String, Arc<str>);

/// The figures of an export to one destination.
#[derive(Debug, Default)]
pub(crate) struct ExportFigures {
    pub(crate) bytes: Spread,
    pub(crate) seconds: Spread,
    pub(crate) errors: AtomicU64,
}

impl PipelineFigures {
    pub(super) fn entered(&self, is_from_outside: bool, took: Duration) {
        self.messages
            .fetch_add(u64::from(is_from_outside), Ordering::Relaxed);
        self.processed.fetch_add(1, Ordering::Relaxed);
        self.seconds.add(took.as_secs_f64(), SECONDS);
    }

    pub(super) fn failed(&self, stage: &str, failure: &Failure) {
        if failure.code == "decode" {
            self.invalid.fetch_add(1, Ordering::Relaxed);
        }
        let class = match failure.class {
            Class::Retry => "retry",
            Class::Slow => "slow",
            Class::Permanent => "permanent",
        };
        *locked(&self.errors)
            .entry((stage.to_owned(), class))
            .or_default() += 1;
    }

    pub(super) fn exported(&self, stage: &str, destination: &Arc<str>) -> Arc<ExportFigures> {
        let mut exports = locked(&self.exports);
        let mut key = (stage.to_owned(), Arc::clone(destination));
        if exports.len() >= MAX_EXPORTS && !exports.contains_key(&key) {
            key.1 = OTHER.into();
        }
        Arc::clone(exports.entry(key).or_default())
    }
}

#[cfg_attr(
    not(feature = "runtime"),
    allow(dead_code, reason = "metrics show them")
)]
impl PipelineFigures {
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    pub(crate) fn invalid(&self) -> u64 {
        self.invalid.load(Ordering::Relaxed)
    }

    pub(crate) fn processed(&self) -> u64 {
        self.processed.load(Ordering::Relaxed)
    }

    pub(crate) fn seconds(&self) -> Summary {
        self.seconds.summary()
    }

    pub(crate) fn errors(&self) -> BTreeMap<ErrorKey, u64> {
        locked(&self.errors).clone()
    }

    pub(crate) fn exports(&self) -> BTreeMap<ExportKey, Arc<ExportFigures>> {
        locked(&self.exports).clone()
    }
}

impl ExportFigures {
    pub(super) fn sent(&self, bytes: usize, took: Duration) {
        self.bytes.add(bytes as f64, BYTES);
        self.seconds.add(took.as_secs_f64(), SECONDS);
    }

    pub(super) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
}

/// The values that something had, without the values themselves.
#[derive(Debug, Default)]
pub(crate) struct Spread(Mutex<Summary>);

/// A summary of values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) squares: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Upper bounds, and the values up to each that are above the one before.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Spread {
    fn add(&self, value: f64, bounds: &[f64]) {
        let mut all = locked(&self.0);
        if all.count == 0 {
            all.buckets = bounds.iter().map(|bound| (*bound, 0)).collect();
            all.buckets.push((f64::MAX, 0));
            (all.min, all.max) = (value, value);
        }
        all.count += 1;
        all.sum += value;
        all.squares += value * value;
        all.min = all.min.min(value);
        all.max = all.max.max(value);
        let mut buckets = all.buckets.iter_mut();
        if let Some((_, count)) = buckets.find(|(bound, _)| value <= *bound) {
            *count += 1;
        }
    }

    #[cfg_attr(not(feature = "runtime"), allow(dead_code, reason = "metrics show it"))]
    pub(crate) fn summary(&self) -> Summary {
        locked(&self.0).clone()
    }
}

#[cfg_attr(
    not(feature = "runtime"),
    allow(dead_code, reason = "telemetry shows it")
)]
impl Summary {
    /// The mean of all values; 0 without any.
    pub(crate) fn mean(&self) -> f64 {
        self.of_each(self.sum)
    }

    /// The variance of all values.
    pub(crate) fn variance(&self) -> f64 {
        let mean = self.mean();
        (self.of_each(self.squares) - mean * mean).max(0.0)
    }

    fn of_each(&self, sum: f64) -> f64 {
        match self.count {
            0 => 0.0,
            count => sum / count as f64,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_moments_of_its_values() {
        let spread = Spread::default();
        for value in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            spread.add(value, &[4.0, 8.0]);
        }
        let all = spread.summary();
        assert_eq!((all.count, all.min, all.max), (8, 2.0, 9.0));
        assert_eq!((all.mean(), all.variance()), (5.0, 4.0));
        assert_eq!(all.buckets, [(4.0, 4), (8.0, 3), (f64::MAX, 1)]);
        assert_eq!(Summary::default().mean(), 0.0);
    }

    #[test]
    fn destinations_beyond_the_limit_are_counted_together() {
        let figures = PipelineFigures::default();
        for number in 0..MAX_EXPORTS + 5 {
            let destination: Arc<str> = format!("http://h{number}:80").into();
            figures.exported("export", &destination).failed();
        }
        let exports = figures.exports();
        assert_eq!(exports.len(), MAX_EXPORTS + 1);
        let other = &exports[&("export".to_owned(), OTHER.into())];
        assert_eq!(other.errors.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn figures_of_a_name_go_on() {
        let figures = Figures::default();
        figures.of("p").entered(true, Duration::from_millis(5));
        figures.of("p").entered(false, Duration::from_millis(5));
        let all = figures.all();
        assert_eq!((all[0].1.messages(), all[0].1.processed()), (1, 2));
    }
}
