//! Idle connections, and how long they are kept.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::HttpClientConfig;
use super::connection::Connection;
use super::origin::Origin;
use crate::random::Random;

/// Empty lists are removed once there are more lists than this.
const FEW_ORIGINS: usize = 64;

/// Idle connections by origin. Clones share it; dropping the last one closes them.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    idle_timeout: Duration,
    max_idle_per_origin: usize,
    max_idle: usize,
    max_age: Option<RangeInclusive<Duration>>,
    waiting: Mutex<Waiting>,
    /// Wakes the reaper early.
    sooner: Arc<Notify>,
}

struct Waiting {
    connections: HashMap<Origin, Connections>,
    /// When the reaper runs next; `None` if there is no reaper.
    reaper: Option<Instant>,
    ages: Random,
}

/// The connections to an origin.
#[derive(Default)]
struct Connections {
    /// The one that was used last is at the end.
    idle: Vec<Idle>,
    /// As many clones as connections are open.
    open: Arc<()>,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

/// Counts as one of the connections that may be open to an origin.
pub(super) struct Slot(#[expect(dead_code, reason = "counted")] Arc<()>);

impl Pool {
    pub(super) fn new(config: &HttpClientConfig) -> Self {
        Self(Arc::new(Shared {
            idle_timeout: config.pool_idle_timeout,
            max_idle_per_origin: config.max_idle_per_host,
            max_idle: config.max_idle,
            max_age: config.max_connection_age.clone(),
            waiting: Mutex::new(Waiting {
                connections: HashMap::new(),
                reaper: None,
                ages: Random::seeded(config.seed),
            }),
            sooner: Arc::default(),
        }))
    }

    /// When a connection opened now will be too old.
    pub(super) fn expiry(&self) -> Option<Instant> {
        let range = self.0.max_age.as_ref()?;
        let spread = range.end().saturating_sub(*range.start());
        let spread = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
        let more = self.0.waiting().ages.below(spread.saturating_add(1));
        Some(Instant::now() + *range.start() + Duration::from_nanos(more))
    }

    /// The most recently used connection that is still usable, and driven by the runtime of the caller.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        let now = Instant::now();
        let caller = Handle::current().id();
        let mut waiting = self.0.waiting();
        if waiting.connections.len() > FEW_ORIGINS {
            // Sending to ever new hosts leaves empty lists behind.
            waiting.connections.retain(|_, all| all.is_used());
        }
        let connections = &mut waiting.connections.get_mut(origin)?.idle;
        let is_near = |idle: &Idle| idle.connection.is_near(caller);
        while let Some(place) = connections.iter().rposition(is_near) {
            let idle = connections.remove(place);
            if idle.until <= now || !idle.connection.is_ready() {
                continue;
            }
            if let Some(shared) = idle.connection.share() {
                let until = self.0.until(now, &shared);
                connections.push(Idle {
                    connection: shared,
                    until,
                });
            }
            return Some(idle.connection);
        }
        None
    }

    /// The slot of a connection that is about to be opened. If no more may be open, the idle one that was used least recently is closed: a
    /// thread of another runtime drives it.
    pub(super) fn slot(&self, origin: &Origin) -> Slot {
        let mut waiting = self.0.waiting();
        let connections = waiting.connections.entry(origin.clone()).or_default();
        let slot = Slot(Arc::clone(&connections.open));
        if connections.open() > self.0.max_idle_per_origin && !connections.idle.is_empty() {
            connections.idle.remove(0);
        }
        slot
    }

    /// Keeps a connection whose response has been read completely.
    pub(super) fn put(&self, origin: Origin, mut connection: Connection) {
        if connection.is_closed() || self.0.max_idle_per_origin == 0 {
            return;
        }
        if connection.is_ready() {
            self.keep(origin, connection);
            return;
        }
        // Its task has not seen the end of the body yet, or its peer has not read the request to the end.
        let (pool, limit) = (self.clone(), self.0.idle_timeout);
        tokio::spawn(async move {
            if timeout(limit, connection.becomes_ready()).await == Ok(true) {
                pool.keep(origin, connection);
            }
        });
    }

    fn keep(&self, origin: Origin, connection: Connection) {
        let now = Instant::now();
        let until = self.0.until(now, &connection);
        if until <= now {
            return;
        }
        let mut waiting = self.0.waiting();
        let idle = |connections: &Connections| connections.idle.len();
        let all: usize = waiting.connections.values().map(idle).sum();
        let connections = &mut waiting.connections.entry(origin).or_default().idle;
        let is_shared = connection.share().is_some();
        if is_shared && !connections.is_empty() {
            return;
        }
        if connections.len() >= self.0.max_idle_per_origin || all >= self.0.max_idle {
            return;
        }
        connections.push(Idle { connection, until });
        match waiting.reaper {
            None => {
                waiting.reaper = Some(until);
                tokio::spawn(reap(Arc::downgrade(&self.0), Arc::clone(&self.0.sooner)));
            }
            Some(next) if until < next => {
                waiting.reaper = Some(until);
                self.0.sooner.notify_one();
            }
            Some(_) => {}
        }
    }
}

impl Shared {
    fn until(&self, now: Instant, connection: &Connection) -> Instant {
        let idle = now + self.idle_timeout;
        connection.expires.map_or(idle, |expires| idle.min(expires))
    }

    /// Closes connections that were idle too long, and returns when to run again; `None` if none is left.
    fn close_old(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut waiting = self.waiting();
        let mut next: Option<Instant> = None;
        waiting.connections.retain(|_, connections| {
            connections.idle.retain(|idle| {
                let stays = idle.until > now && !idle.connection.is_closed();
                if stays {
                    next = Some(next.map_or(idle.until, |next| next.min(idle.until)));
                }
                stays
            });
            connections.is_used()
        });
        waiting.reaper = next;
        next
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // The lists are consistent after every statement, so a panic elsewhere does not corrupt them.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    fn open(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    fn is_used(&self) -> bool {
        !self.idle.is_empty() || self.open() > 0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.sooner.notify_one();
    }
}

/// Closes connections when they are due. Ends when none is left, or with the pool.
async fn reap(pool: Weak<Shared>, sooner: Arc<Notify>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.close_old()) {
        tokio::select! {
            () = sleep_until(next) => {}
            () = sooner.notified() => {}
        }
    }
}
