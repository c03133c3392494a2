//! What all owners of a runtime know of destinations together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::breaker::CircuitBreaker;
#[cfg(feature = "runtime")]
use super::breaker::CircuitState;
use super::known::Known;
#[cfg(feature = "runtime")]
use super::stock::FullStocks;
use super::stock::{KeepLimits, Stock};
use crate::sdk::TypeName;
#[cfg(feature = "runtime")]
use crate::time::Timestamp;

/// What is known of all destinations. All owners of a runtime share it, so that what one of them learns counts for the others.
#[derive(Debug, Default)]
pub(crate) struct DestinationRegistry {
    breakers: Known<Arc<str>, CircuitBreaker>,
    /// The functions that keep lists of waiting deliveries; with the destination, if a list is for one only.
    lists: Mutex<BTreeMap<TypeName, Option<Arc<str>>>>,
    /// Functions whose addresses keep deliveries, including those that stand in for others which no longer exist.
    keepers: Mutex<BTreeSet<TypeName>>,
    /// How many of `stocks` are full.
    #[cfg(feature = "runtime")]
    full: FullStocks,
    /// What pipelines keep, by the functions that keep it, in the order of their names.
    stocks: Mutex<Vec<(TypeName, Arc<Stock>)>>,
    /// Messages of other functions that were dropped, because a destination does not understand them.
    foreign: AtomicU64,
    /// Units that were dropped because their owner keeps none, by reason.
    dropped: Mutex<BTreeMap<&'static str, u64>>,
    /// The figures shown for each destination.
    #[cfg(feature = "runtime")]
    pub(crate) figures: super::figures::Figures,
}

impl DestinationRegistry {
    pub(crate) fn of(&self, destination: &Arc<str>) -> Arc<CircuitBreaker> {
        self.breakers.get(destination, CircuitBreaker::default)
    }

    /// Registers a function that keeps a list of waiting deliveries; `only` is its destination, if the list is for one only.
    pub(crate) fn add_list(&self, function: &TypeName, only: Option<Arc<str>>) {
        let mut lists = locked(&self.lists);
        match lists.get_mut(function) {
            None => _ = lists.insert(function.clone(), only),
            Some(known) if *known == only => {}
            Some(known) => *known = None,
        }
    }

    /// The state of the destination's circuit; closed if nothing is known of it.
    #[cfg(feature = "runtime")]
    pub(crate) fn circuit(&self, destination: &str, now: Timestamp) -> CircuitState {
        let breaker = self.breakers.existing(destination);
        breaker.map_or(CircuitState::Closed, |breaker| breaker.circuit(now))
    }

    /// Counts a message that was dropped.
    pub(super) fn foreign_message(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// The messages that were dropped since the start.
    #[cfg(feature = "runtime")]
    pub(crate) fn foreign_messages(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Counts a unit that was dropped.
    pub(crate) fn unit_dropped(&self, reason: &'static str) {
        *locked(&self.dropped).entry(reason).or_default() += 1;
    }

    /// The units that were dropped since the start, by reason.
    pub(crate) fn dropped(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.dropped).clone()
    }

    /// Registers a function whose addresses keep deliveries.
    pub(crate) fn add_keeper(&self, function: &TypeName) {
        locked(&self.keepers).insert(function.clone());
    }

    pub(super) fn has_keeper(&self, function: &TypeName) -> bool {
        locked(&self.keepers).contains(function)
    }

    /// The stock of a pipeline, which has these limits from now on.
    pub(crate) fn stock_of(&self, pipeline: &TypeName, limits: &KeepLimits) -> Arc<Stock> {
        let mut stocks = locked(&self.stocks);
        let mut known = stocks.iter().map(|(_, stock)| stock);
        if let Some(stock) = known.find(|stock| stock.pipeline() == pipeline) {
            stock.limit(limits);
            return Arc::clone(stock);
        }
        let stock = Stock::new(pipeline.clone(), limits.clone());
        #[cfg(feature = "runtime")]
        let stock = stock.counted_in(&self.full);
        let stock = Arc::new(stock);
        put(&mut stocks, pipeline, &stock);
        stock
    }

    /// Registers a function that keeps deliveries of a stock.
    pub(crate) fn keeps_in(&self, function: &TypeName, stock: &Arc<Stock>) {
        put(&mut locked(&self.stocks), function, stock);
    }

    /// The stock of what this function keeps.
    #[cfg(feature = "runtime")]
    pub(crate) fn stock_at(&self, namespace: &str, name: &str) -> Option<Arc<Stock>> {
        let stocks = locked(&self.stocks);
        let at = place(&stocks, namespace, name).ok()?;
        stocks.get(at).map(|(_, stock)| Arc::clone(stock))
    }

    /// Why records from outside for this pipeline have to wait, if they do.
    #[cfg(feature = "runtime")]
    pub(crate) fn blocks(&self, namespace: &str, name: &str) -> Option<String> {
        let stock = self.stock_at(namespace, name)?;
        let pipeline = stock.pipeline();
        let is_entry = pipeline.namespace() == namespace && pipeline.name() == name;
        is_entry.then(|| stock.blocks())?
    }

    /// Whether some pipeline keeps as much as it may.
    #[cfg(feature = "runtime")]
    pub(crate) fn has_full(&self) -> bool {
        self.full.load(Ordering::Relaxed) > 0
    }

    /// The functions whose lists may hold deliveries for this destination.
    pub(crate) fn lists(&self, destination: &str) -> Vec<TypeName> {
        let lists = locked(&self.lists);
        let may = lists
            .iter()
            .filter(|(_, only)| only.as_deref().is_none_or(|only| only == destination));
        may.map(|(function, _)| function.clone()).collect()
    }
}

fn place(stocks: &[(TypeName, Arc<Stock>)], namespace: &str, name: &str) -> Result<usize, usize> {
    stocks.binary_search_by(|(known, _)| (known.namespace(), known.name()).cmp(&(namespace, name)))
}

fn put(stocks: &mut Vec<(TypeName, Arc<Stock>)>, function: &TypeName, stock: &Arc<Stock>) {
    if let Err(at) = place(stocks, function.namespace(), function.name()) {
        stocks.insert(at, (function.clone(), Arc::clone(stock)));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_for_one_destination_is_not_used_for_another() {
        let registry = DestinationRegistry::default();
        let (one, all) = (TypeName::new("p/one"), TypeName::new("p/all"));
        registry.add_list(&one, Some("http://a:80".into()));
        registry.add_list(&all, Some("http://a:80".into()));
        registry.add_list(&all, Some("http://b:80".into()));
        assert_eq!(registry.lists("http://a:80"), [all.clone(), one]);
        assert_eq!(registry.lists("http://c:80"), [all]);
    }

    #[cfg(feature = "runtime")]
    #[test]
    fn the_circuit_of_an_unknown_destination_is_closed() {
        let registry = DestinationRegistry::default();
        let closed = registry.circuit("unknown", Timestamp::from_millis(0));
        assert_eq!(closed, CircuitState::Closed);
    }
}
