//! A load generator: raw HTTP/1.1 over kept-alive connections, one request at a time on each, all on one thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::machine;

pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// Whole requests, head and body; each connection walks through them from another one on.
    pub(crate) requests: Arc<[Vec<u8>]>,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
    /// The serving process, whose CPU time is taken over the measured time.
    pub(crate) pid: u32,
}

pub(crate) struct Report {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) cpu_per_request: Duration,
    pub(crate) resident_mib: f64,
    /// Requests answered, those before the measured time included.
    pub(crate) answered: usize,
}

/// A POST with `content-length` and `extra` header lines, each ended by `\r\n`.
pub(crate) fn post(path: &str, extra: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: bench\r\n{extra}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A GET.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

/// Runs the load. Fails on the first answer that is no 2xx.
pub(crate) fn run(load: &Load) -> Result<Report> {
    single_threaded()?.block_on(drive(load))
}

/// One request on a connection of its own: the body of its answer.
pub(crate) fn once(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    single_threaded()?.block_on(async { Connection::open(address).await?.exchange(request).await })
}

/// Sends the requests numbered from 0 to `count`, each once: how many a second.
pub(crate) fn each(
    address: SocketAddr,
    connections: usize,
    count: usize,
    request: fn(usize) -> Vec<u8>,
) -> Result<f64> {
    single_threaded()?.block_on(async {
        let start = Instant::now();
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let mut connection = Connection::open(address).await?;
            let next = Arc::clone(&next);
            tasks.push(tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= count {
                        return Ok::<_, Error>(());
                    }
                    connection.exchange_length(&request(number)).await?;
                }
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(count as f64 / start.elapsed().as_secs_f64())
    })
}

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
        connections.push(tokio::spawn(connection.repeat(requests, first, begin, end)));
    }
    tokio::time::sleep_until(begin.into()).await;
    let cpu_before = machine::cpu_time(load.pid);
    tokio::time::sleep_until(end.into()).await;
    let cpu = machine::cpu_time(load.pid).saturating_sub(cpu_before);
    let resident_mib = machine::resident_mib(load.pid);

    let mut micros = Vec::new();
    let mut answered = 0;
    for connection in connections {
        let (measured, count) = connection.await??;
        micros.extend(measured);
        answered += count;
    }
    let report = Report::of(micros, load.measure)?;
    let measured = report.per_second * load.measure.as_secs_f64();
    Ok(Report {
        cpu_per_request: cpu.div_f64(measured),
        resident_mib,
        answered,
        ..report
    })
}

impl Report {
    /// Of operations that took so many microseconds each, all in this time.
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
        })
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(64 * 1024);
        Ok(Self { stream, buffer })
    }

    /// Sends requests until `end`: the microseconds of those answered after `begin`, and how many were answered at all.
    async fn repeat(
        mut self,
        requests: Arc<[Vec<u8>]>,
        first: usize,
        begin: Instant,
        end: Instant,
    ) -> Result<(Vec<u32>, usize)> {
        let mut micros = Vec::new();
        let mut count = 0;
        let mut sent = Instant::now();
        for request in requests.iter().cycle().skip(first) {
            self.exchange_length(request).await?;
            count += 1;
            let answered = Instant::now();
            if answered >= end {
                break;
            }
            if answered >= begin {
                micros.push((answered - sent).as_micros() as u32);
            }
            sent = answered;
        }
        Ok((micros, count))
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        let length = self.exchange_length(request).await?;
        Ok(self.buffer.split_off(self.buffer.len() - length))
    }

    /// The length of the answer's body, which ends the buffer.
    async fn exchange_length(&mut self, request: &[u8]) -> Result<usize> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            let count = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(count > 0, "the server closed the connection");
            if let Some((head, body)) = parse(&self.buffer)? {
                while self.buffer.len() < head + body {
                    let count = self.stream.read_buf(&mut self.buffer).await?;
                    ensure!(count > 0, "the server closed the connection in an answer");
                }
                return Ok(body);
            }
        }
    }
}

/// The lengths of head and body once the head is whole.
fn parse(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    if !head.starts_with("HTTP/1.1 2") {
        let body = String::from_utf8_lossy(&bytes[end..]);
        bail!("refused: {head}{body}");
    }
    let length = head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length = match length {
        Some(length) => length.parse()?,
        None if head.starts_with("HTTP/1.1 204") => 0,
        None => bail!("an answer without content-length: {head}"),
    };
    Ok(Some((end + 4, length)))
}
