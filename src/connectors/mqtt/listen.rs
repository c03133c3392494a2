//! Keeps the connection of an ingress, and passes on what comes.
//!
//! The client is polled without a pause, so that pings go on while the runtime has no room; it stops only when the buffer is full. The
//! broker may close the connection then, and sends again what was not acknowledged.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::{
    ConnectionError, Event, EventLoop, Outgoing, Packet, Publish, QoS, StateError,
    SubscribeReasonCode,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;

use super::client::explain;
use crate::retry::Backoff;

/// Publications that wait in the buffer.
const BUFFERED: usize = 4096;
/// Their bytes; a larger one has the buffer for itself.
const BUFFERED_BYTES: u32 = 16 << 20;
/// A connection that has lasted so long worked.
const LASTED: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    factor: 2.0,
    max: Duration::from_secs(30),
};

/// Something that the broker has sent, or that has happened to the connection.
#[derive(Debug)]
pub(super) enum Heard {
    /// A publication. Its bytes are free in the buffer when the permit is dropped.
    Published(Publish, OwnedSemaphorePermit),
    /// The acknowledgement of the publication with this packet id is sent.
    Acknowledged(u16),
    /// The handshake of the publication with this packet id is over.
    Released(u16),
    Connection(Change),
}

/// What has happened to the connection.
#[derive(Debug)]
pub(super) enum Change {
    /// It is open; the broker has the session, or has not.
    Connected { session_present: bool },
    /// The answers to subscriptions.
    Subscribed(Vec<SubscribeReasonCode>),
    /// It is lost, or could not be opened.
    Lost(String),
}

/// The packet ids of publications with QoS 2 whose handshakes are open. A new connection needs them.
pub(super) type Open = Arc<Mutex<BTreeSet<u16>>>;

pub(super) fn lock(open: &Open) -> MutexGuard<'_, BTreeSet<u16>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Listening {
    events: EventLoop,
    to: mpsc::Sender<Heard>,
    room: Arc<Semaphore>,
    open: Open,
}

impl Listening {
    pub(super) fn new(events: EventLoop, open: Open) -> (Self, mpsc::Receiver<Heard>) {
        let (to, from) = mpsc::channel(BUFFERED);
        let room = Arc::new(Semaphore::new(BUFFERED_BYTES as usize));
        let listening = Self {
            events,
            to,
            room,
            open,
        };
        (listening, from)
    }

    /// Returns when nobody listens any more.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        let mut since = None;
        loop {
            match self.events.poll().await {
                Ok(event) => {
                    if matches!(event, Event::Incoming(Packet::ConnAck(_))) {
                        since = Some(Instant::now());
                    }
                    if !self.pass_on(event).await {
                        return;
                    }
                }
                Err(failure) => {
                    let lasted = since
                        .take()
                        .is_some_and(|at: Instant| at.elapsed() > LASTED);
                    failures = if lasted { 1 } else { failures + 1 };
                    if !self.lost(&failure).await {
                        return;
                    }
                    sleep(BACKOFF.delay(failures)).await;
                }
            }
        }
    }

    async fn pass_on(&mut self, event: Event) -> bool {
        let heard = match event {
            Event::Incoming(Packet::ConnAck(answer)) => {
                if answer.session_present {
                    self.take_up();
                }
                Heard::Connection(Change::Connected {
                    session_present: answer.session_present,
                })
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                Heard::Connection(Change::Subscribed(answer.return_codes))
            }
            Event::Incoming(Packet::PubRel(release)) => Heard::Released(release.pkid),
            Event::Outgoing(Outgoing::PubAck(id)) => Heard::Acknowledged(id),
            Event::Incoming(Packet::Publish(publish)) => {
                let bytes = publish.payload.len() + publish.topic.len();
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                let permits = bytes.min(BUFFERED_BYTES);
                let room = Arc::clone(&self.room).acquire_many_owned(permits);
                let Ok(permit) = room.await else { return false };
                Heard::Published(publish, permit)
            }
            _ => return true,
        };
        self.to.send(heard).await.is_ok()
    }

    /// Passes on what came before the connection was lost: the broker may not send it again.
    async fn lost(&mut self, failure: &ConnectionError) -> bool {
        let came = std::mem::take(&mut self.events.state.events);
        for event in came {
            if matches!(event, Event::Incoming(Packet::Publish(_))) && !self.pass_on(event).await {
                return false;
            }
        }
        if let ConnectionError::MqttState(StateError::Unsolicited(id)) = failure {
            // The end of a handshake that nobody here knows, for instance because the data folder is new. It is answered the next time.
            lock(&self.open).insert(*id);
        }
        let failure = explain(failure, &self.events.mqtt_options);
        let lost = Heard::Connection(Change::Lost(failure));
        self.to.send(lost).await.is_ok()
    }

    /// Tells the client which handshakes are open: it forgets them with each connection, and would take their ends for errors.
    fn take_up(&mut self) {
        for id in lock(&self.open).iter() {
            let mut publish = Publish::new("", QoS::ExactlyOnce, Vec::new());
            publish.pkid = *id;
            let taken = self
                .events
                .state
                .handle_incoming_packet(Packet::Publish(publish));
            debug_assert!(matches!(taken, Ok(None)), "it is acknowledged by hand");
        }
        self.events.state.events.clear();
    }
}
