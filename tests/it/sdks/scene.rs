//! A host, the programs that it runs, and their output.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::until::Patience;
use crate::workload::homes::Home as _;
use crate::workload::homes::embedded::Embedded;
use crate::workload::model::canonical;
use crate::workload::program::Input;

pub(super) struct Scene {
    pub(super) home: Embedded,
    fed: u64,
    /// By their ids: a crash may write one twice.
    records: BTreeMap<String, Value>,
}

impl Scene {
    pub(super) fn of(home: Embedded) -> Self {
        Self {
            home,
            fed: 0,
            records: BTreeMap::new(),
        }
    }

    /// Feeds an address with a program.
    pub(super) fn feed(&mut self, to: &str, program: Value) {
        let to = to.parse().unwrap();
        let program = serde_json::from_value(program).unwrap();
        self.home.feed(&[Input { to, program }]);
        self.fed += 1;
    }

    /// Asks an address what it holds.
    pub(super) fn ask(&mut self, address: &str) {
        let id = format!("report of {address}");
        self.feed(
            address,
            json!({"id": id, "from": null, "do": [{"op": "report", "round": 1}]}),
        );
    }

    /// Waits until all that was fed is taken in.
    pub(super) async fn taken_in(&mut self) {
        let patience = Patience::for_("all programs to be taken in");
        while self.home.taken_in() < self.fed {
            self.tend(&patience).await;
        }
    }

    /// Waits until all that must come out is there and nothing is left to do: nothing waits, nothing is in flight, no timer is armed.
    /// There must be nothing else then.
    pub(super) async fn ends_with(&mut self, expected: &[Value]) {
        self.taken_in().await;
        let mut expected: Vec<_> = expected.iter().map(canonical).collect();
        expected.sort();
        loop {
            let found = self.found();
            let missing: Vec<_> = expected.iter().filter(|one| !found.contains(one)).collect();
            if missing.is_empty() {
                break;
            }
            let patience = Patience::for_(&format!("{missing:#?}"));
            while self.records.len() == found.len() {
                self.tend(&patience).await;
            }
        }
        let patience = Patience::for_("rest");
        while !self.home.unrest().await.is_empty() {
            self.tend(&patience).await;
        }
        self.tend(&patience).await;
        let mut found = self.found();
        found.retain(|one| !expected.contains(one));
        assert_eq!(found, [""; 0], "not to be expected");
        assert_eq!(self.found(), expected, "some came more than once");
    }

    /// What came out, in any order.
    fn found(&self) -> Vec<String> {
        let mut found: Vec<_> = self.records.values().map(canonical).collect();
        found.sort();
        found
    }

    async fn tend(&mut self, patience: &Patience) {
        for captured in self.home.tend().await {
            let before = self
                .records
                .insert(captured.id.unwrap(), captured.content.clone());
            assert!(
                before.is_none_or(|before| before == captured.content),
                "two records of one id"
            );
        }
        patience.pause().await;
    }
}
