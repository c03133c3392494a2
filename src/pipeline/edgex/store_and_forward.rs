//! `StoreAndForward: {Enabled, RetryInterval, MaxRetryCount}`: when exports that keep their data try again.

use std::time::Duration;

use super::super::stages::Exporter;
use super::parameters;
use crate::delivery::engine::Policy;
use crate::document::{At, Complaint};
use crate::time::span;

/// The settings. Without them data is kept, as with EdgeX's defaults of interval and number.
#[derive(Debug, Clone)]
pub(super) struct StoreAndForward {
    is_enabled: bool,
    interval: Duration,
    max_retry_count: i64,
}

impl Default for StoreAndForward {
    fn default() -> Self {
        Self {
            is_enabled: true,
            interval: Duration::from_secs(300),
            max_retry_count: 10,
        }
    }
}

impl StoreAndForward {
    pub(super) fn read(at: &At<'_>) -> Option<Self> {
        let mut settings = Self {
            is_enabled: false,
            ..Self::default()
        };
        let mut is_whole = true;
        for (key, place) in at.entries("the section `StoreAndForward`")? {
            let read = match key {
                "Enabled" => place
                    .parsed(parameters::boolean)
                    .map(|enabled| settings.is_enabled = enabled),
                "RetryInterval" => interval(&place).map(|given| settings.interval = given),
                "MaxRetryCount" => count(&place).map(|given| settings.max_retry_count = given),
                _ => {
                    place.warn(format!("key `{key}` is unknown and ignored"));
                    Some(())
                }
            };
            is_whole &= read.is_some();
        }
        is_whole.then_some(settings)
    }

    /// The export with these settings.
    pub(super) fn applied_to(&self, exporter: &Exporter) -> Exporter {
        let policy = Policy::edgex_with(self.interval, self.max_retry_count);
        let exporter = exporter.with_policy(policy);
        if !self.is_enabled && exporter.on_failure.keeps() {
            return exporter.giving_up();
        }
        exporter
    }
}

/// EdgeX takes one second for what it cannot read, and for less than a second.
fn interval(at: &At<'_>) -> Option<Duration> {
    const LEAST: Duration = Duration::from_secs(1);
    let text = at.text()?;
    let why = match span::parse(text.trim()) {
        Ok(given) if given >= LEAST => return Some(given),
        Ok(_) => format!("`{text}` is less than a second"),
        Err(err) => err.to_string(),
    };
    at.warn(Complaint::with_remedy(
        format!("{why}; as in EdgeX, 1s is taken"),
        "write a duration such as `5m`",
    ));
    Some(LEAST)
}

fn count(at: &At<'_>) -> Option<i64> {
    let count = at.parsed(|text| {
        let count = text.trim().parse::<i64>();
        count.map_err(|_| format!("`{text}` is not a whole number"))
    })?;
    if count < 0 {
        at.warn("a negative number counts as 1, as in EdgeX; 0 means without end");
    }
    Some(count)
}
