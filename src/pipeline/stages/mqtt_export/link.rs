//! A connection to a broker that several publications use at once. A task drives it; it ends with the first failure, and everything that
//! was not acknowledged then has failed, too.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Outgoing, Packet, QoS,
    StateError,
};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::broker::{Broker, Connecting};
use super::credentials::Credentials;
use crate::transport::mqtt::{explain, prepare};

/// Publications that may wait for the connection to take them.
const QUEUE: usize = 4096;

/// Why a publication was not acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    pub(super) text: String,
}

/// What kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// There was no connection, or it broke.
    Connection,
    /// The handshake of TLS failed.
    Tls,
    /// The broker does not let this client in.
    Refused,
    /// Nothing came in time.
    Silence,
    /// What was signed in with cannot be used.
    Secret,
    /// Too many publications wait already.
    Busy,
}

/// An open connection.
pub(super) struct Link {
    destination: Arc<str>,
    client: AsyncClient,
    credentials: Credentials,
    under_way: Arc<Mutex<UnderWay>>,
    task: AbortHandle,
}

type Outcome = oneshot::Sender<Result<(), Trouble>>;

/// The publications of a connection that are not acknowledged.
#[derive(Default)]
struct UnderWay {
    /// Those that the connection has not taken yet, in their order.
    queued: VecDeque<Outcome>,
    /// Those that were sent, by their packet ids. An id is used again after its acknowledgement, with QoS 2 after the first half of it.
    sent: HashMap<u16, VecDeque<Outcome>>,
    /// Why the connection has ended.
    ended: Option<Trouble>,
}

impl UnderWay {
    /// Records what happened on the connection.
    fn note(&mut self, event: &Event) {
        let done = match event {
            // Nobody acknowledges what has no packet id.
            Event::Outgoing(Outgoing::Publish(0)) => self.queued.pop_front(),
            Event::Outgoing(Outgoing::Publish(id)) => {
                if let Some(outcome) = self.queued.pop_front() {
                    self.sent.entry(*id).or_default().push_back(outcome);
                }
                None
            }
            Event::Incoming(Packet::PubAck(ack)) => self.acknowledged(ack.pkid),
            Event::Incoming(Packet::PubComp(ack)) => self.acknowledged(ack.pkid),
            _ => None,
        };
        if let Some(outcome) = done {
            drop(outcome.send(Ok(()))); // it may have stopped waiting
        }
    }

    fn acknowledged(&mut self, id: u16) -> Option<Outcome> {
        self.sent.get_mut(&id)?.pop_front()
    }

    fn end(&mut self, trouble: &Trouble) {
        self.ended.get_or_insert_with(|| trouble.clone());
        let sent = self.sent.drain().flat_map(|(_, outcomes)| outcomes);
        for outcome in self.queued.drain(..).chain(sent) {
            drop(outcome.send(Err(trouble.clone())));
        }
    }
}

fn lock(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Connects. The task that drives the connection ends with it.
    pub(super) async fn open(
        connecting: &Connecting,
        credentials: &Credentials,
        broker: &Weak<Broker>,
    ) -> Result<Self, Trouble> {
        let limit = connecting.timeout;
        let options = connecting.options(credentials)?;
        let (client, mut events) = AsyncClient::new(options, QUEUE);
        prepare(&mut events, limit);
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => break,
                Ok(_) => {}
                Err(failure) => {
                    return Err(Trouble {
                        cause: cause(&failure),
                        text: explain(&failure, &events.mqtt_options, limit),
                    });
                }
            }
        }
        let under_way = Arc::<Mutex<UnderWay>>::default();
        let again = connecting
            .reconnect_within
            .map(|longest| (broker.clone(), credentials.clone(), longest));
        let driven = drive(events, Arc::clone(&under_way), limit, again);
        let task = tokio::spawn(driven).abort_handle();
        Ok(Self {
            destination: Arc::clone(&connecting.destination),
            client,
            credentials: credentials.clone(),
            under_way,
            task,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        lock(&self.under_way).ended.is_none()
    }

    /// Whether it was opened with these.
    pub(super) fn has(&self, credentials: &Credentials) -> bool {
        self.credentials == *credentials
    }

    /// Publishes, and waits until the broker has acknowledged it; with QoS 0 until it was written.
    pub(super) async fn publish(
        &self,
        topic: String,
        payload: Bytes,
        qos: QoS,
        retain: bool,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let (outcome, done) = oneshot::channel();
        {
            // Both queues have the same order.
            let mut under_way = lock(&self.under_way);
            if let Some(trouble) = &under_way.ended {
                return Err(trouble.clone());
            }
            self.client
                .try_publish(topic, qos, retain, payload)
                .map_err(|_| Trouble {
                    cause: Cause::Busy,
                    text: format!("{QUEUE} publications wait for {} already", self.destination),
                })?;
            under_way.queued.push_back(outcome);
        }
        let lost = || Trouble {
            cause: Cause::Connection,
            text: format!("{}: the connection was closed", self.destination),
        };
        match timeout_at(deadline, done).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(lost())),
            Err(_) => {
                let trouble = Trouble {
                    cause: Cause::Silence,
                    text: format!("{}: no acknowledgement in time", self.destination),
                };
                // A connection on which acknowledgements are missing is not used again.
                self.task.abort();
                lock(&self.under_way).end(&trouble);
                Err(trouble)
            }
        }
    }
}

/// Says goodbye, so that the broker does not publish the will.
impl Drop for Link {
    fn drop(&mut self) {
        drop(self.client.try_disconnect());
    }
}

/// What opens the connection again, with what, and how long it waits in between at most.
type Again = Option<(Weak<Broker>, Credentials, std::time::Duration)>;

/// Drives the connection until it ends. Boxed, because it may open another one.
fn drive(
    mut events: EventLoop,
    under_way: Arc<Mutex<UnderWay>>,
    limit: std::time::Duration,
    again: Again,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let trouble = loop {
            match events.poll().await {
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
                Ok(event) => lock(&under_way).note(&event),
                Err(failure) => {
                    break Trouble {
                        cause: cause(&failure),
                        text: explain(&failure, &events.mqtt_options, limit),
                    };
                }
            }
        };
        lock(&under_way).end(&trouble);
        drop((events, under_way));
        if let Some((broker, credentials, longest)) = again {
            Broker::reconnect(broker, credentials, longest).await;
        }
    })
}

fn cause(failure: &ConnectionError) -> Cause {
    match failure {
        ConnectionError::ConnectionRefused(ConnectReturnCode::ServiceUnavailable) => {
            Cause::Connection
        }
        ConnectionError::ConnectionRefused(_) => Cause::Refused,
        ConnectionError::Tls(rumqttc::TlsError::Io(failure)) => {
            let inner = failure.get_ref();
            match inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
                true => Cause::Tls,
                false => Cause::Connection,
            }
        }
        ConnectionError::Tls(_) => Cause::Tls,
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => Cause::Silence,
        ConnectionError::MqttState(StateError::AwaitPingResp) => Cause::Silence,
        _ => Cause::Connection,
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::{PubAck, PubComp};

    use super::*;

    fn queued(
        under_way: &mut UnderWay,
        count: usize,
    ) -> Vec<oneshot::Receiver<Result<(), Trouble>>> {
        let channels = (0..count).map(|_| oneshot::channel());
        let (outcomes, done): (Vec<_>, Vec<_>) = channels.unzip();
        under_way.queued.extend(outcomes);
        done
    }

    #[test]
    fn an_acknowledgement_is_for_the_publication_that_had_its_packet_id_first() {
        let mut under_way = UnderWay::default();
        let mut done = queued(&mut under_way, 3);
        for id in [1, 2, 1] {
            under_way.note(&Event::Outgoing(Outgoing::Publish(id)));
        }
        under_way.note(&Event::Incoming(Packet::PubAck(PubAck { pkid: 1 })));
        assert!(matches!(done[0].try_recv(), Ok(Ok(()))));
        assert!(done[1].try_recv().is_err() && done[2].try_recv().is_err());
        under_way.note(&Event::Incoming(Packet::PubComp(PubComp { pkid: 1 })));
        assert!(matches!(done[2].try_recv(), Ok(Ok(()))));
        assert!(done[1].try_recv().is_err(), "not acknowledged");
    }

    #[test]
    fn what_needs_no_acknowledgement_is_done_when_it_was_written() {
        let mut under_way = UnderWay::default();
        let mut done = queued(&mut under_way, 2);
        under_way.note(&Event::Outgoing(Outgoing::Publish(0)));
        assert!(matches!(done[0].try_recv(), Ok(Ok(()))));
        assert!(done[1].try_recv().is_err());
    }

    #[test]
    fn the_end_of_a_connection_fails_everything_under_way() {
        let mut under_way = UnderWay::default();
        let mut done = queued(&mut under_way, 2);
        under_way.note(&Event::Outgoing(Outgoing::Publish(7)));
        under_way.end(&Trouble {
            cause: Cause::Connection,
            text: "gone".to_owned(),
        });
        for done in &mut done {
            assert!(matches!(done.try_recv(), Ok(Err(trouble)) if trouble.text == "gone"));
        }
    }
}
