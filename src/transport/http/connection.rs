//! One connection: HTTP/1.1 or HTTP/2, depending on its first bytes.

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::sync::watch;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::connection_slots::{Busy, Seat};
use super::guarded::Guarded;
use super::listener::Socket;
use super::seldom::Seldom;
use super::server::{Answers, ServerLimits};
use super::wordless::WithWords;
use crate::sdk::BoxError;

/// How often a silent HTTP/2 client is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Maximum size of an HTTP/1.1 head, and of the part of a body that is read at once: the buffer of a connection.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;
/// Maximum concurrent requests on one HTTP/2 connection.
const HTTP2_STREAMS: u32 = 100;
/// Unread bytes that an HTTP/2 client may send: per request, and per connection.
const HTTP2_WINDOWS: (u32, u32) = (64 * 1024, 256 * 1024);
/// The idle timeout in ticks.
const TICKS: u32 = 4;
/// A connection that writes less than this between two ticks (for pings, for example) and does nothing else is idle.
const TRICKLE_BYTES: u64 = 1024;
/// How long a connection that was asked to make room may take to finish writing.
const LEAVE_WITHIN: Duration = Duration::from_millis(100);

/// Serves until the peer closes, or, once the sender of `stopped` is dropped, until the requests in flight are answered.
///
/// # Errors
/// What else ended the connection: its peer may have gone away, been too slow, or not spoken HTTP.
pub(super) async fn serve_connection(
    socket: Socket,
    service: impl Answers,
    limits: ServerLimits,
    seat: Arc<Seat>,
    mut stopped: watch::Receiver<()>,
) -> Result<(), BoxError> {
    let service = service_fn({
        let seat = Arc::clone(&seat);
        move |request| Answering {
            _busy: seat.begin(),
            answer: Box::pin(service.call(request)),
        }
    });
    let builder = builder();
    let socket = Guarded::new(socket, Arc::clone(&seat), limits.write_timeout);
    let socket = TokioIo::new(WithWords::new(socket));
    let mut connection = pin!(builder.serve_connection(socket, service));

    let mut stopped = pin!(stopped.changed());
    let (mut is_stopping, mut is_leaving) = (false, false);
    let mut leave = None;
    let mut quiet = Quiet::default();
    let mut ticks = ticks(limits.idle_timeout / TICKS);
    loop {
        let event = {
            let event = pin!(async {
                tokio::select! {
                    biased;
                    _ = stopped.as_mut(), if !is_stopping => Event::Stop,
                    () = seat.asked(), if !is_leaving => Event::Leave,
                    () = until(&mut leave) => Event::LeaveOver,
                    _ = ticks.tick() => Event::Tick,
                }
            });
            tokio::select! {
                biased;
                ended = connection.as_mut() => return ended,
                event = Seldom::new(event) => event,
            }
        };
        match event {
            Event::Stop => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            Event::Leave => {
                is_leaving = true;
                connection.as_mut().graceful_shutdown();
                leave = Some(Leave::of(&seat));
            }
            Event::LeaveOver => {
                if leave.as_ref().is_none_or(|leave| leave.is_over(&seat)) {
                    return Err("it made room for another connection".into());
                }
                leave = Some(Leave::of(&seat));
            }
            // The only check of the time: a timer of the protocol's would cost an allocation per request.
            Event::Tick => match quiet.look(&seat) {
                ..TICKS => {}
                _ if seat.begun() == 0 => return Err("no request within the idle timeout".into()),
                TICKS => connection.as_mut().graceful_shutdown(),
                _ => return Err("nothing was asked or read within the idle timeout".into()),
            },
        }
    }
}

/// A request that is being answered. The answer is boxed: hyper copies a service's future into place for each request.
struct Answering<F> {
    answer: Pin<Box<F>>,
    _busy: Busy,
}

impl<F: Future> Future for Answering<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.answer.as_mut().poll(cx)
    }
}

/// Events of a connection other than its requests.
enum Event {
    /// The server stops.
    Stop,
    /// Another connection needs its slot.
    Leave,
    /// The time to write what it has is over.
    LeaveOver,
    /// A part of the idle timeout is over.
    Tick,
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // A client that has sent all it will send may close that side and wait for its answer.
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_concurrent_streams(HTTP2_STREAMS)
        .initial_stream_window_size(HTTP2_WINDOWS.0)
        .initial_connection_window_size(HTTP2_WINDOWS.1);
    builder
}

fn ticks(period: Duration) -> time::Interval {
    let period = period.max(Duration::from_millis(1));
    let mut ticks = time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Detects that nothing happens on a connection.
#[derive(Debug, Default)]
struct Quiet {
    ticks: u32,
    begun: u64,
    written_bytes: u64,
}

impl Quiet {
    /// The number of ticks without activity.
    fn look(&mut self, seat: &Seat) -> u32 {
        let (begun, written_bytes) = (seat.begun(), seat.written_bytes());
        let is_quiet = !seat.is_busy()
            && begun == self.begun
            && written_bytes - self.written_bytes < TRICKLE_BYTES;
        self.ticks = if is_quiet { self.ticks + 1 } else { 0 };
        (self.begun, self.written_bytes) = (begun, written_bytes);
        self.ticks
    }
}

/// The grace period of a connection that is to make room.
#[derive(Debug)]
struct Leave {
    until: Pin<Box<time::Sleep>>,
    written_bytes: u64,
}

impl Leave {
    fn of(seat: &Seat) -> Self {
        Self {
            until: Box::pin(time::sleep(LEAVE_WITHIN)),
            written_bytes: seat.written_bytes(),
        }
    }

    /// Whether it is neither answering nor writing.
    fn is_over(&self, seat: &Seat) -> bool {
        !seat.is_busy() && seat.written_bytes() == self.written_bytes
    }
}

/// Ready when the grace period is over; never if there is none.
async fn until(leave: &mut Option<Leave>) {
    match leave {
        Some(leave) => leave.until.as_mut().await,
        None => pending().await,
    }
}
