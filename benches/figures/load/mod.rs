//! A load generator: raw HTTP/1.1 over kept-alive connections, one request at a time on each, all on one thread.

mod connection;
mod fill;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

use crate::machine;

use connection::Connection;
pub(crate) use fill::{Fill, Filled};

pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// Complete requests, head and body; each connection cycles through them from a different start.
    pub(crate) requests: Arc<[Vec<u8>]>,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
    /// The serving process, whose CPU time is measured.
    pub(crate) pid: u32,
}

#[derive(Clone)]
pub(crate) struct Report {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) cpu_per_request: Duration,
    pub(crate) resident_mib: f64,
    /// Requests answered, those before the measured time included.
    pub(crate) answered: usize,
    /// Refusals with a `retry-after` that were retried.
    pub(crate) refused: usize,
    /// The longest time from a request to its answer, refusals included.
    pub(crate) longest: Duration,
}

/// A POST with `content-length` and `extra` header lines, each ended by `\r\n`.
pub(crate) fn post(path: &str, extra: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{extra}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// Runs the load. Fails on the first answer that is neither a 2xx nor a refusal with a `retry-after`, which is retried.
pub(crate) fn run(load: &Load) -> Result<Report> {
    single_threaded()?.block_on(drive(load))
}

/// Sends one request on its own connection; returns the body of the answer.
pub(crate) fn once(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    single_threaded()?.block_on(async {
        let mut connection = Connection::open(address).await?;
        connection.exchange(request, until).await
    })
}

/// Refusals are retried for at most this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn single_threaded() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

async fn drive(load: &Load) -> Result<Report> {
    let begin = Instant::now() + load.warm_up;
    let end = begin + load.measure;
    let mut connections = Vec::new();
    for number in 0..load.connections {
        let connection = Connection::open(load.address).await?;
        let first = number * load.requests.len() / load.connections;
        let requests = load.requests.clone();
        connections.push(tokio::spawn(repeat(
            connection, requests, first, begin, end,
        )));
    }
    tokio::time::sleep_until(begin.into()).await;
    let cpu_before = machine::cpu_time(load.pid);
    tokio::time::sleep_until(end.into()).await;
    let cpu = machine::cpu_time(load.pid).saturating_sub(cpu_before);
    let resident_mib = machine::resident_mib(load.pid);

    let mut micros = Vec::new();
    let (mut answered, mut refused) = (0, 0);
    for connection in connections {
        let one = connection.await??;
        micros.extend(one.micros);
        answered += one.answered;
        refused += one.refused;
    }
    let report = Report::of(micros, load.measure)?;
    let measured = report.per_second * load.measure.as_secs_f64();
    Ok(Report {
        cpu_per_request: cpu.div_f64(measured),
        resident_mib,
        answered,
        refused,
        ..report
    })
}

/// The results of one connection.
struct Repeated {
    /// The microseconds of the requests answered in the measured time.
    micros: Vec<u32>,
    answered: usize,
    refused: usize,
}

/// Sends requests until `end`; those answered after `begin` are measured.
async fn repeat(
    mut connection: Connection,
    requests: Arc<[Vec<u8>]>,
    first: usize,
    begin: Instant,
    end: Instant,
) -> Result<Repeated> {
    let mut micros = Vec::new();
    let mut answered = 0;
    let mut sent = Instant::now();
    for request in requests.iter().cycle().skip(first) {
        connection.exchange_length(request, end + PATIENCE).await?;
        answered += 1;
        let now = Instant::now();
        if now >= end {
            break;
        }
        if now >= begin {
            micros.push((now - sent).as_micros() as u32);
        }
        sent = now;
    }
    Ok(Repeated {
        micros,
        answered,
        refused: connection.refused,
    })
}

impl Report {
    /// Computes the figures of operations that took these microseconds each, all within this time.
    pub(crate) fn of(mut micros: Vec<u32>, elapsed: Duration) -> Result<Self> {
        ensure!(!micros.is_empty(), "nothing was answered in {elapsed:?}");
        micros.sort_unstable();
        let quantile = |share: f64| {
            let index = ((micros.len() - 1) as f64 * share) as usize;
            Duration::from_micros(micros[index].into())
        };
        Ok(Self {
            per_second: micros.len() as f64 / elapsed.as_secs_f64(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            cpu_per_request: Duration::ZERO,
            resident_mib: 0.0,
            answered: micros.len(),
            refused: 0,
            longest: quantile(1.0),
        })
    }
}
