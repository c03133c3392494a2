//! The function server, and what it has measured.

use std::ops::Deref;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::load::{self, Report};
use crate::machine;
use crate::process::Server;

const POLL: Duration = Duration::from_millis(10);
/// For the first message to arrive.
const PATIENCE: Duration = Duration::from_secs(90);

/// The server that everybody's functions are on.
pub(super) struct Meter {
    server: Server,
}

/// What has arrived since the last start from zero.
#[derive(Clone, Copy)]
pub(super) struct Count {
    pub(super) messages: u64,
    pub(super) requests: u64,
}

/// A measured time.
pub(super) struct Sample {
    /// Messages per second, latencies, CPU time for each message, memory.
    pub(super) report: Report,
    /// Messages in a request, on average.
    pub(super) per_call: f64,
}

impl Meter {
    pub(super) fn start() -> Result<Self> {
        let server = Server::start(&["tally"])?;
        Ok(Self { server })
    }

    /// Starts from zero. With a topic each message is answered by a record for it.
    pub(super) fn begin(&self, topic: Option<&str>) -> Result<()> {
        let path = topic.map_or("/begin".to_owned(), |topic| format!("/begin/{topic}"));
        self.ask(&path)?;
        Ok(())
    }

    /// Forgets the latencies so far.
    pub(super) fn mark(&self) -> Result<()> {
        self.ask("/mark")?;
        Ok(())
    }

    pub(super) fn count(&self) -> Result<Count> {
        Count::of(&self.ask("/")?)
    }

    fn ask(&self, path: &str) -> Result<Value> {
        let answer = load::once(self.server.address, &load::get(path))?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Waits for the first message; fails at once when `is_alive` does.
    pub(super) fn first(&self, mut is_alive: impl FnMut() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        while self.count()?.messages == 0 {
            is_alive()?;
            if start.elapsed() > PATIENCE {
                bail!("no message has arrived within {PATIENCE:?}");
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Measures the process `pid` for `span`, or until `all` messages have arrived.
    pub(super) fn measure(&self, pid: u32, span: Duration, all: u64) -> Result<Sample> {
        self.mark()?;
        let (begun, before, cpu) = (Instant::now(), self.count()?, machine::cpu_time(pid));
        let (mut now, mut elapsed) = (before, Duration::ZERO);
        while elapsed < span && now.messages < all {
            thread::sleep(POLL);
            now = self.count()?;
            elapsed = begun.elapsed();
        }
        let cpu = machine::cpu_time(pid).saturating_sub(cpu);
        let latencies = self.ask("/latencies")?;
        let micros = |name: &str| Duration::from_micros(latencies[name].as_u64().unwrap_or(0));
        let messages = now.messages - before.messages;
        if messages == 0 {
            bail!("no message has arrived in {elapsed:?}");
        }
        let requests = (now.requests - before.requests).max(1);
        let report = Report {
            per_second: messages as f64 / elapsed.as_secs_f64(),
            p50: micros("p50"),
            p99: micros("p99"),
            cpu_per_request: cpu.div_f64(messages as f64),
            resident_mib: machine::resident_mib(pid),
            answered: messages as usize,
            refused: 0,
            longest: Duration::ZERO,
        };
        Ok(Sample {
            report,
            per_call: messages as f64 / requests as f64,
        })
    }
}

impl Deref for Meter {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Count {
    fn of(answer: &Value) -> Result<Self> {
        let number = |name: &str| answer[name].as_u64().with_context(|| format!("no {name}"));
        Ok(Self {
            messages: number("messages")?,
            requests: number("requests")?,
        })
    }
}

impl Sample {
    /// The sample with the median rate.
    pub(super) fn median(samples: Vec<Self>) -> Option<Self> {
        Self::middle(samples, |sample| sample.report.per_second)
    }

    /// The sample with the median 99th percentile.
    pub(super) fn median_p99(samples: Vec<Self>) -> Option<Self> {
        Self::middle(samples, |sample| sample.report.p99.as_secs_f64())
    }

    fn middle(mut samples: Vec<Self>, of: impl Fn(&Self) -> f64) -> Option<Self> {
        samples.sort_by(|a, b| of(a).total_cmp(&of(b)));
        let middle = samples.len() / 2;
        samples.into_iter().nth(middle)
    }

    /// The share of a core that was used.
    pub(super) fn cores(&self) -> f64 {
        self.report.cpu_per_request.as_secs_f64() * self.report.per_second
    }
}
