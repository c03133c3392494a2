//! How much each pipeline keeps, counted from its rows, and the limits of that.

use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
#[cfg(feature = "runtime")]
use std::{
    collections::BTreeMap,
    sync::Arc,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

#[cfg(feature = "runtime")]
use tokio::sync::Notify;

#[cfg(feature = "runtime")]
use super::super::engine::{DeliveryState, Reason};
#[cfg(feature = "runtime")]
use super::outline::Outline;
use crate::sdk::TypeName;

/// What happens when a pipeline keeps as many waiting records as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFull {
    /// New records are not accepted until others have left: senders are refused, and sources wait.
    #[default]
    Block,
    /// The oldest waiting records become dead letters.
    DropOldest,
    /// A new record that would have to wait becomes a dead letter.
    DropNewest,
}

/// How much a pipeline keeps at most. The embedded runtime counts it; behind Flink nobody does, and nothing is limited.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepLimits {
    /// Maximum waiting records. Default 1,000,000.
    pub max_items: NonZeroU64,
    /// Maximum bytes of waiting records, as they are stored. Default 1 GiB.
    pub max_bytes: NonZeroU64,
    /// What happens when one of these is reached. Default [`OnFull::Block`].
    pub on_full: OnFull,
    /// How many dead letters are kept. Default: all, until an operator purges them.
    pub dead_letters: DeadLetterLimits,
}

impl Default for KeepLimits {
    fn default() -> Self {
        Self {
            max_items: NonZeroU64::new(1_000_000).unwrap_or(NonZeroU64::MAX),
            max_bytes: NonZeroU64::new(1 << 30).unwrap_or(NonZeroU64::MAX),
            on_full: OnFull::default(),
            dead_letters: DeadLetterLimits::default(),
        }
    }
}

/// How many dead letters of one reason a pipeline keeps; those beyond it are purged, oldest first, and counted. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeadLetterLimits {
    /// Maximum dead letters.
    pub max_items: Option<NonZeroU64>,
    /// Maximum bytes, as they are stored.
    pub max_bytes: Option<NonZeroU64>,
    /// How long one is kept after it was given up.
    pub max_age: Option<Duration>,
}

/// Records and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
}

impl Load {
    #[cfg(feature = "runtime")]
    pub(crate) const fn is_nothing(self) -> bool {
        self.items == 0 && self.bytes == 0
    }

    #[cfg(feature = "runtime")]
    const fn above(self, items: u64, bytes: u64) -> Self {
        Self {
            items: self.items.saturating_sub(items),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }
}

/// What one pipeline keeps.
#[derive(Debug)]
pub(crate) struct Stock {
    pipeline: TypeName,
    inner: Mutex<Inner>,
    /// Something is above a limit.
    #[cfg(feature = "runtime")]
    over: Notify,
    /// How many stocks of the runtime are full.
    #[cfg(feature = "runtime")]
    full: FullStocks,
    /// Who keeps it within its limits: the last one that took it over.
    #[cfg(feature = "runtime")]
    keeper: AtomicU64,
}

/// Counts the full stocks of a runtime, so that nobody has to ask each of them.
#[cfg(feature = "runtime")]
pub(crate) type FullStocks = Arc<AtomicUsize>;

#[derive(Debug)]
struct Inner {
    limits: KeepLimits,
    waiting: Counted,
    /// It has been logged that no more has room.
    #[cfg(feature = "runtime")]
    was_full: bool,
    #[cfg(feature = "runtime")]
    dead: BTreeMap<Reason, Counted>,
}

/// Until all rows stored at the start are counted, a count may be negative.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    items: i64,
    bytes: i64,
}

impl Counted {
    #[cfg(feature = "runtime")]
    const fn add(&mut self, bytes: u64, count: i64) {
        self.items += count;
        self.bytes += count.saturating_mul(bytes.cast_signed());
    }

    fn load(self) -> Load {
        Load {
            items: u64::try_from(self.items).unwrap_or(0),
            bytes: u64::try_from(self.bytes).unwrap_or(0),
        }
    }
}

/// There is one for each pipeline of a runtime.
impl PartialEq for Stock {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Stock {}

impl Inner {
    fn is_full(&self) -> bool {
        let Load { items, bytes } = self.waiting.load();
        items >= self.limits.max_items.get() || bytes >= self.limits.max_bytes.get()
    }
}

impl Stock {
    pub(crate) fn new(pipeline: TypeName, limits: KeepLimits) -> Self {
        Self {
            pipeline,
            inner: Mutex::new(Inner {
                limits,
                waiting: Counted::default(),
                #[cfg(feature = "runtime")]
                was_full: false,
                #[cfg(feature = "runtime")]
                dead: BTreeMap::new(),
            }),
            #[cfg(feature = "runtime")]
            over: Notify::new(),
            #[cfg(feature = "runtime")]
            full: FullStocks::default(),
            #[cfg(feature = "runtime")]
            keeper: AtomicU64::new(0),
        }
    }

    /// The same, counted with others when it is full.
    #[cfg(feature = "runtime")]
    pub(crate) fn counted_in(self, full: &FullStocks) -> Self {
        let full = Arc::clone(full);
        Self { full, ..self }
    }

    pub(crate) const fn pipeline(&self) -> &TypeName {
        &self.pipeline
    }

    /// Changes the limits.
    pub(crate) fn limit(&self, limits: &KeepLimits) {
        let mut inner = self.locked();
        inner.limits.clone_from(limits);
        #[cfg(feature = "runtime")]
        {
            self.note_full(&mut inner);
            self.over.notify_one();
        }
    }

    /// Whether a new unit that would have to wait is given up.
    pub(super) fn rejects_new(&self) -> bool {
        let inner = self.locked();
        inner.limits.on_full == OnFull::DropNewest && inner.is_full()
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "runtime")]
impl Stock {
    /// Counts a row `count` times more.
    pub(super) fn add(&self, row: &Outline, count: i64) {
        let mut inner = self.locked();
        match (row.state, row.reason) {
            (Some(DeliveryState::Discarded), Some(reason)) => {
                let dead = inner.dead.entry(reason).or_default();
                dead.add(row.bytes, count);
            }
            (Some(state), _) if state.is_terminal() => {}
            _ => inner.waiting.add(row.bytes, count),
        }
        self.note_full(&mut inner);
        if count > 0 && is_over(&inner) {
            self.over.notify_one();
        }
    }

    /// Counts and logs that it has become full, or has room again.
    fn note_full(&self, inner: &mut Inner) {
        let is_full = inner.is_full();
        if is_full != inner.was_full {
            inner.was_full = is_full;
            let (pipeline, Load { items, bytes }) = (&self.pipeline, inner.waiting.load());
            match is_full {
                true => {
                    self.full.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%pipeline, items, bytes, on_full = ?inner.limits.on_full, "the pipeline keeps as many waiting records as it may");
                }
                false => {
                    self.full.fetch_sub(1, Ordering::Relaxed);
                    tracing::info!(%pipeline, items, bytes, "the pipeline has room for waiting records again");
                }
            }
        }
    }

    /// Why records from outside have to wait, if they do.
    pub(crate) fn blocks(&self) -> Option<String> {
        let inner = self.locked();
        if inner.limits.on_full != OnFull::Block || !inner.is_full() {
            return None;
        }
        let Load { items, bytes } = inner.waiting.load();
        let limit = match items >= inner.limits.max_items.get() {
            true => format!("{} records (maxItems)", inner.limits.max_items),
            false => format!("{} bytes (maxBytes)", inner.limits.max_bytes),
        };
        Some(format!(
            "pipeline {} keeps {items} waiting records of {bytes} bytes, and its limit is {limit}",
            self.pipeline
        ))
    }

    /// What has to be dropped of the waiting records.
    pub(crate) fn surplus(&self) -> Load {
        let inner = self.locked();
        match inner.limits.on_full {
            OnFull::DropOldest => surplus(&inner),
            OnFull::Block | OnFull::DropNewest => Load::default(),
        }
    }

    /// What has to be purged of the dead letters, by reason.
    pub(crate) fn dead_surplus(&self) -> Vec<(Reason, Load)> {
        let inner = self.locked();
        let of = |(reason, dead): (&Reason, &Counted)| {
            (*reason, dead_surplus(*dead, inner.limits.dead_letters))
        };
        let all = inner.dead.iter().map(of);
        all.filter(|(_, surplus)| !surplus.is_nothing()).collect()
    }

    /// The limits of dead letters.
    pub(crate) fn dead_letters(&self) -> DeadLetterLimits {
        self.locked().limits.dead_letters
    }

    /// Takes over to keep it within its limits; returns the number of who does.
    pub(crate) fn take_over(&self) -> u64 {
        self.keeper.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Whether nobody has taken it over since.
    pub(crate) fn is_kept_by(&self, keeper: u64) -> bool {
        self.keeper.load(Ordering::SeqCst) == keeper
    }

    /// Ready when something may be above a limit.
    pub(crate) async fn over(self: &Arc<Self>) {
        self.over.notified().await;
    }
}

#[cfg(feature = "runtime")]
fn surplus(inner: &Inner) -> Load {
    let (items, bytes) = (inner.limits.max_items.get(), inner.limits.max_bytes.get());
    inner.waiting.load().above(items, bytes)
}

#[cfg(feature = "runtime")]
fn dead_surplus(dead: Counted, limits: DeadLetterLimits) -> Load {
    let items = limits.max_items.map_or(u64::MAX, NonZeroU64::get);
    let bytes = limits.max_bytes.map_or(u64::MAX, NonZeroU64::get);
    dead.load().above(items, bytes)
}

#[cfg(feature = "runtime")]
fn is_over(inner: &Inner) -> bool {
    let drops = inner.limits.on_full == OnFull::DropOldest && !surplus(inner).is_nothing();
    let limits = inner.limits.dead_letters;
    let mut dead = inner.dead.values();
    drops || dead.any(|dead| !dead_surplus(*dead, limits).is_nothing())
}

#[cfg(test)]
#[cfg(feature = "runtime")]
mod tests {
    use super::*;

    fn limits(items: u64, bytes: u64, on_full: OnFull) -> KeepLimits {
        KeepLimits {
            max_items: NonZeroU64::new(items).unwrap(),
            max_bytes: NonZeroU64::new(bytes).unwrap(),
            on_full,
            ..KeepLimits::default()
        }
    }

    fn row(state: DeliveryState, reason: Reason, bytes: u64) -> Outline {
        Outline {
            target: "http://h".to_owned(),
            state: Some(state),
            reason: Some(reason),
            submitted_at: None,
            bytes,
            stock: None,
        }
    }

    fn stock(limits: KeepLimits) -> Stock {
        Stock::new(TypeName::new("pipelines/p"), limits)
    }

    #[test]
    fn waiting_records_and_their_bytes_are_limited_and_dead_letters_do_not_count() {
        let waits = row(DeliveryState::Awaiting, Reason::Retry, 100);
        let dead = row(DeliveryState::Discarded, Reason::Exhausted, 100);
        let stock = stock(limits(2, 1_000, OnFull::Block));
        stock.add(&dead, 1);
        stock.add(&waits, 1);
        assert_eq!(stock.blocks(), None);
        stock.add(&waits, 1);
        let text = stock.blocks().unwrap();
        assert!(
            text.contains("keeps 2 waiting records of 200 bytes"),
            "{text}"
        );
        assert!(text.ends_with("2 records (maxItems)"), "{text}");
        stock.add(&waits, -1);
        assert_eq!(stock.blocks(), None);
        stock.add(&row(DeliveryState::Awaiting, Reason::Retry, 900), 1);
        stock.limit(&limits(9, 1_000, OnFull::Block));
        assert!(stock.blocks().unwrap().ends_with("1000 bytes (maxBytes)"));
    }

    #[test]
    fn only_what_is_above_the_limit_is_surplus_and_only_where_the_oldest_are_dropped() {
        let waits = row(DeliveryState::Awaiting, Reason::Scheduled, 10);
        for (on_full, expected) in [
            (OnFull::DropOldest, 2),
            (OnFull::DropNewest, 0),
            (OnFull::Block, 0),
        ] {
            let stock = stock(limits(3, 1_000, on_full));
            for _ in 0..5 {
                stock.add(&waits, 1);
            }
            assert_eq!(stock.surplus().items, expected);
            assert_eq!(stock.rejects_new(), on_full == OnFull::DropNewest);
        }
    }

    #[test]
    fn dead_letters_are_limited_by_reason_and_only_if_that_is_set() {
        let dead = |reason| row(DeliveryState::Discarded, reason, 100);
        let mut limits = limits(3, 1_000, OnFull::Block);
        let stock = stock(limits.clone());
        for _ in 0..5 {
            stock.add(&dead(Reason::Exhausted), 1);
        }
        stock.add(&dead(Reason::Full), 1);
        assert_eq!(stock.dead_surplus(), [], "all are kept");
        limits.dead_letters.max_items = NonZeroU64::new(4);
        stock.limit(&limits);
        let surplus = |items, bytes| Load { items, bytes };
        assert_eq!(stock.dead_surplus(), [(Reason::Exhausted, surplus(1, 0))]);
        limits.dead_letters.max_bytes = NonZeroU64::new(50);
        stock.limit(&limits);
        let both = [
            (Reason::Exhausted, surplus(1, 450)),
            (Reason::Full, surplus(0, 50)),
        ];
        assert_eq!(stock.dead_surplus(), both);
    }
}
