//! Numbered requests, each sent once: how fast and how evenly they are accepted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::{Connection, single_threaded};

pub(crate) struct Fill {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) count: usize,
    /// Nothing more is sent after this time.
    pub(crate) limit: Duration,
    /// Makes the request with a number.
    pub(crate) request: fn(usize) -> Vec<u8>,
}

/// This many consecutive requests form a window, whose rate is computed separately.
const WINDOWS: usize = 20;

/// The result of a [`Fill`].
#[derive(Clone)]
pub(crate) struct Filled {
    pub(crate) accepted: usize,
    pub(crate) elapsed: Duration,
    pub(crate) refused: usize,
    /// The longest time from a request to its acceptance, refusals included.
    pub(crate) longest_wait: Duration,
    /// The longest time in which no connection had a request accepted.
    pub(crate) longest_gap: Duration,
    /// Requests accepted per second in each window, the slowest first.
    windows: Vec<f64>,
    next: usize,
    last: Instant,
    window_begun: Instant,
}

impl Fill {
    pub(crate) fn run(&self) -> Result<Filled> {
        single_threaded()?.block_on(self.drive())
    }

    async fn drive(&self) -> Result<Filled> {
        let start = Instant::now();
        let until = start + self.limit;
        let shared = Arc::new(Mutex::new(Filled::new(start)));
        let mut tasks = Vec::new();
        for _ in 0..self.connections {
            let connection = Connection::open(self.address).await?;
            let (count, request, shared) = (self.count, self.request, Arc::clone(&shared));
            tasks.push(tokio::spawn(send(
                connection, shared, count, request, until,
            )));
        }
        for task in tasks {
            task.await??;
        }
        let mut filled = lock(&shared).clone();
        filled.elapsed = start.elapsed();
        filled.windows.sort_by(f64::total_cmp);
        Ok(filled)
    }
}

async fn send(
    mut connection: Connection,
    shared: Arc<Mutex<Filled>>,
    count: usize,
    request: fn(usize) -> Vec<u8>,
    until: Instant,
) -> Result<(), Error> {
    loop {
        let number = lock(&shared).next;
        if number >= count || Instant::now() >= until {
            lock(&shared).refused += connection.refused;
            return Ok(());
        }
        lock(&shared).next += 1;
        let request = request(number);
        let sent = Instant::now();
        connection.exchange_length(&request, until + GRACE).await?;
        lock(&shared).accept(sent, count);
    }
}

/// Requests sent before the end may be accepted after it.
const GRACE: Duration = Duration::from_secs(30);

fn lock(shared: &Mutex<Filled>) -> std::sync::MutexGuard<'_, Filled> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Filled {
    fn new(start: Instant) -> Self {
        Self {
            accepted: 0,
            elapsed: Duration::ZERO,
            refused: 0,
            longest_wait: Duration::ZERO,
            longest_gap: Duration::ZERO,
            windows: Vec::with_capacity(WINDOWS),
            next: 0,
            last: start,
            window_begun: start,
        }
    }

    fn accept(&mut self, sent: Instant, count: usize) {
        let now = Instant::now();
        self.longest_wait = self.longest_wait.max(now - sent);
        self.longest_gap = self.longest_gap.max(now - self.last);
        self.last = now;
        self.accepted += 1;
        let window = (count / WINDOWS).max(1);
        if self.accepted.is_multiple_of(window) {
            let elapsed = (now - self.window_begun).as_secs_f64();
            self.windows.push(window as f64 / elapsed);
            self.window_begun = now;
        }
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    /// The rate of the slowest window.
    pub(crate) fn slowest(&self) -> f64 {
        self.windows.first().copied().unwrap_or_default()
    }

    /// The rate of the middle window.
    pub(crate) fn middle(&self) -> f64 {
        let middle = self.windows.len() / 2;
        self.windows.get(middle).copied().unwrap_or_default()
    }
}
