//! The share of each function type in the queues.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::runtime::partition::Inspection;

/// The usage of one function type.
#[derive(Default)]
pub(super) struct Load {
    pub(super) function: String,
    pub(super) backlog: u64,
    pub(super) memory_bytes: usize,
    /// Whether messages to it, and to types that send to it, are refused.
    pub(super) is_full: bool,
}

/// The usage of each function type in all partitions, the largest first, after those that are full in a partition.
pub(super) fn loads(partitions: &[Inspection]) -> Vec<Load> {
    let mut by_name: BTreeMap<String, Load> = BTreeMap::new();
    for load in partitions.iter().flat_map(|partition| &partition.loads) {
        let function = format!("{}/{}", load.namespace, load.name);
        let sum = by_name.entry(function).or_default();
        sum.backlog += load.backlog;
        sum.memory_bytes += load.memory_bytes;
        sum.is_full |= load.is_full();
    }
    let named = by_name
        .into_iter()
        .map(|(function, load)| Load { function, ..load });
    let mut loads: Vec<Load> = named.collect();
    loads.sort_by_key(|load| Reverse((load.is_full, load.backlog)));
    loads
}
