//! What is counted of attempts, by function type.

use std::iter;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::runtime::endpoint::attempts::FailingCalls;
use crate::sdk::TypeName;

/// The labels of a function type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FunctionLabels {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Attempts to call remote functions, since the start. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Invocations {
    /// Attempts that failed; over okhttp those without an answer only.
    pub(crate) failures: Family<FunctionLabels, Counter>,
    /// The duration of an attempt, in milliseconds.
    pub(crate) latency: Family<FunctionLabels, Histogram, fn() -> Histogram>,
    /// Calls in progress whose last attempt failed.
    pub(crate) failing: FailingCalls,
}

impl Default for Invocations {
    fn default() -> Self {
        Self {
            failures: Family::default(),
            latency: Family::new_with_constructor(histogram),
            failing: FailingCalls::default(),
        }
    }
}

impl Invocations {
    /// The two of one function type.
    pub(super) fn of(&self, type_name: &TypeName) -> (Counter, Histogram) {
        let labels = FunctionLabels {
            namespace: type_name.namespace().to_owned(),
            name: type_name.name().to_owned(),
        };
        let failures = self.failures.get_or_create(&labels).clone();
        let latency = self.latency.get_or_create(&labels).clone();
        (failures, latency)
    }
}

/// From a quarter of a millisecond to two minutes, the default budget.
fn histogram() -> Histogram {
    let doubling = iter::successors(Some(0.25), |bound| Some(bound * 2.0));
    Histogram::new(doubling.take_while(|bound| *bound < 200_000.0))
}
