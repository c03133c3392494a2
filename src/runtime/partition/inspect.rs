//! The view of a partition from outside.

use std::collections::HashSet;

use super::Partition;
use super::command::{Inspection, Queue};
use crate::runtime::core::{Activity, AddressKey, QueueView};
use crate::runtime::endpoint::Failing;

/// Maximum function types in the view.
const LOADS: usize = 1_000;

impl Partition {
    pub(super) fn inspect(&self, limit: usize) -> Inspection {
        let counters = self
            .core
            .counters()
            .map(|(namespace, name, counters)| (namespace.to_owned(), name.to_owned(), counters));
        Inspection {
            queues: self.queues(limit),
            backlog: self.core.backlog(),
            in_flight: self.core.in_flight(),
            counters: counters.collect(),
            loads: self.core.loads(LOADS),
        }
    }

    /// Addresses whose calls have failed attempts come first, together with those that failed before.
    fn queues(&self, limit: usize) -> Vec<Queue> {
        let mut failing = self.dependencies.directory.invocations.failing.all();
        failing.sort_by_key(|(_, failing)| std::cmp::Reverse(failing.attempts));
        let failing = failing.into_iter().filter_map(|(address, failing)| {
            let view = self.core.queue(&address)?;
            Some(self.shown(view, Some(failing)))
        });
        let mut queues: Vec<Queue> = failing.take(limit).collect();
        let listed: HashSet<_> = queues
            .iter()
            .map(|queue| queue.view.address.clone())
            .collect();
        let others = self.core.queues(limit).into_iter();
        let others = others.filter(|view| !listed.contains(&view.address));
        queues.extend(others.map(|view| self.shown(view, None)));
        queues
    }

    pub(super) fn look(&self, address: &AddressKey) -> Option<Queue> {
        let view = self.core.queue(address)?;
        let failing = self.dependencies.directory.invocations.failing.of(address);
        Some(self.shown(view, failing))
    }

    fn shown(&self, view: QueueView, failing: Option<Failing>) -> Queue {
        let called_at = match view.activity {
            Activity::InFlight(call) => self.called_at.get(&call).copied(),
            _ => None,
        };
        Queue {
            view,
            failing,
            called_at,
        }
    }
}
