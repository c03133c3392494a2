//! One connection: HTTP/1.1 or HTTP/2, whichever its first bytes speak.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::{Sleep, Timer};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::sync::watch;
use tokio::time::{self, MissedTickBehavior};

use super::listener::Socket;
use crate::sdk::BoxError;

/// How often a silent HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves until the peer closes, or, once the sender of `stopped` is dropped, until the requests in flight are answered.
///
/// # Errors
/// What ended the connection otherwise; its peer may have gone, been too slow, or not have spoken HTTP.
pub(super) async fn serve_connection<S, B>(
    socket: Socket,
    service: S,
    idle_timeout: Duration,
    mut stopped: watch::Receiver<()>,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let clock = TickClock::new(idle_timeout / 2);
    let begun = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let begun = begun.clone();
        move |request| {
            begun.store(true, Ordering::Relaxed);
            service.call(request)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(clock.clone())
        .header_read_timeout(idle_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));

    let mut stopped = pin!(stopped.changed());
    let mut stopping = false;
    let mut ticks = clock.ticks();
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            _ = stopped.as_mut(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            // Then the connection is polled again, and with it what sleeps by this clock.
            _ = ticks.tick() => {
                clock.advance();
                // Until the protocol is known, and in HTTP/2, nobody else looks at the time.
                if clock.now() > clock.start + idle_timeout && !begun.load(Ordering::Relaxed) {
                    return Err("no request within the idle timeout".into());
                }
            }
        }
    }
}

/// The clock of HTTP/1.1's idle timeout. It moves by ticks, and its sleeps wake nobody: that spares each request two
/// visits to tokio's timer wheel.
#[derive(Debug, Clone)]
struct TickClock {
    start: Instant,
    period: Duration,
    ticked: Arc<AtomicU32>,
}

impl TickClock {
    fn new(period: Duration) -> Self {
        Self {
            start: Instant::now(),
            period: period.max(Duration::from_millis(1)),
            ticked: Arc::default(),
        }
    }

    fn ticks(&self) -> time::Interval {
        let mut ticks = time::interval_at(time::Instant::now() + self.period, self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    fn advance(&self) {
        self.ticked.fetch_add(1, Ordering::Relaxed);
    }
}

impl Timer for TickClock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let clock = self.clone();
        Box::pin(TickSleep { clock, deadline })
    }

    fn now(&self) -> Instant {
        self.start + self.period * self.ticked.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct TickSleep {
    clock: TickClock,
    deadline: Instant,
}

impl Sleep for TickSleep {}

impl Future for TickSleep {
    type Output = ();

    /// Ready at the first tick after the deadline: the clock may be most of a period behind.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() > self.deadline {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
