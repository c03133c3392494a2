//! What delays an ingress, for operators: the failures of its streams and shards from which it recovers by itself.

use std::collections::BTreeMap;

use tracing::{info, warn};

use crate::runtime::Inlet;

/// The present failures, by stream or split.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<String, String>);

impl Troubles {
    /// Notes and shows a failure.
    pub(super) fn add(&mut self, inlet: &Inlet, of: &str, failure: String) {
        let ingress = inlet.name();
        let before = self.0.insert(of.to_owned(), failure.clone());
        if before.as_ref() != Some(&failure) {
            warn!(%ingress, of, failure, "Kinesis cannot be read; will retry");
        }
        self.show(inlet);
    }

    /// Notes that something works.
    pub(super) fn remove(&mut self, inlet: &Inlet, of: &str) {
        if self.0.remove(of).is_none() {
            return;
        }
        let ingress = inlet.name();
        info!(%ingress, of, "Kinesis can be read again");
        self.show(inlet);
    }

    /// Ends the failure of an earlier run, if there is none in this one.
    pub(super) fn end_of_earlier_runs(&self, inlet: &Inlet) {
        if self.0.is_empty() {
            inlet.recovers();
        }
    }

    fn show(&self, inlet: &Inlet) {
        let mut all = self.0.iter();
        let Some((of, failure)) = all.next() else {
            inlet.recovers();
            return;
        };
        match all.count() {
            0 => inlet.struggles(&format!("{of}: {failure}")),
            more => inlet.struggles(&format!("{of}: {failure} (and {more} more)")),
        }
    }
}
