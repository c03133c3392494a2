//! The brokers that the exports of a process publish to, each with its connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::{LastWill, MqttOptions, QoS};
use tokio::time::{Instant, timeout_at};

use super::credentials::Credentials;
use super::link::{Cause, Link, Trouble};
use super::{BrokerAddress, MqttExport, MqttWill};
use crate::transport::http::client::{ClientIdentity, HttpClientConfig, Network};
use crate::transport::mqtt;

/// Publications that are sent before the first acknowledgement. Brokers close the connection if there are more than they allow: mosquitto
/// allows 20.
const IN_FLIGHT: u16 = 16;
/// Nothing is subscribed to, so only acknowledgements come in.
const MAX_INCOMING: usize = 1 << 20;

/// How a connection to a broker is opened.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Connecting {
    /// The broker's name as a destination.
    pub(super) destination: Arc<str>,
    pub(super) address: BrokerAddress,
    pub(super) client_id: String,
    will: Option<MqttWill>,
    skip_verify: bool,
    keep_alive: Duration,
    pub(super) timeout: Duration,
    /// The longest wait between two attempts to open a lost connection again before it is needed; `None` if it is not.
    pub(super) reconnect_within: Option<Duration>,
    pub(super) network: Network,
}

impl Connecting {
    pub(super) fn of(export: MqttExport, address: BrokerAddress) -> Self {
        Self {
            destination: address.to_string().into(),
            address,
            client_id: export.client_id,
            will: export.will,
            skip_verify: export.skip_verify,
            keep_alive: export.keep_alive,
            timeout: export.connect_timeout,
            reconnect_within: export
                .auto_reconnect
                .then_some(export.max_reconnect_interval),
            network: Network::default(),
        }
    }

    /// The options of a connection that signs in with `credentials`.
    pub(super) fn options(&self, credentials: &Credentials) -> Result<MqttOptions, Trouble> {
        let BrokerAddress { host, port, is_tls } = &self.address;
        let mut options = MqttOptions::new(&*self.client_id, &**host, *port);
        options
            .set_keep_alive(self.keep_alive)
            .set_max_packet_size(MAX_INCOMING, usize::MAX)
            // What is not acknowledged is kept here, so the broker need not keep anything.
            .set_clean_session(true)
            .set_inflight(IN_FLIGHT);
        if let Some((user, password)) = &credentials.user {
            options.set_credentials(user, password);
        }
        if let Some(will) = &self.will {
            let qos = match will.qos {
                0 => QoS::AtMostOnce,
                1 => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            };
            let payload = will.payload.as_bytes();
            options.set_last_will(LastWill::new(&*will.topic, payload, qos, will.retain));
        }
        if *is_tls {
            let mut config = HttpClientConfig::default().network(&self.network);
            if !credentials.authorities.is_empty() {
                config.trusted_certificates_pem = credentials.authorities.clone().into_bytes();
                config.trust_public_authorities = false;
            }
            config.identity = credentials
                .identity
                .as_ref()
                .map(|(cert, key)| ClientIdentity {
                    certificates_pem: cert.clone().into_bytes(),
                    key_pem: key.clone().into_bytes(),
                });
            let transport = mqtt::encrypted(&config, !self.skip_verify).map_err(|err| Trouble {
                cause: Cause::Secret,
                text: format!("the certificates of the secret can't be used: {err}"),
            })?;
            options.set_transport(transport);
        }
        Ok(options)
    }
}

/// The brokers of a process: one connection for each address and client id.
#[derive(Debug, Default)]
pub(crate) struct Brokers(Mutex<HashMap<Key, Arc<Broker>>>);

/// The name of a destination, and a client id.
type Key = (Arc<str>, String);

impl Brokers {
    /// The broker that is connected to in this way. The first caller decides on everything but address and client id.
    pub(super) fn of(&self, connecting: &Arc<Connecting>) -> Arc<Broker> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (
            Arc::clone(&connecting.destination),
            connecting.client_id.clone(),
        );
        let broker = known.entry(key).or_insert_with(|| {
            let connecting = Arc::clone(connecting);
            Arc::new_cyclic(|itself| Broker {
                connecting,
                slot: tokio::sync::Mutex::default(),
                failures: AtomicU64::new(0),
                itself: itself.clone(),
            })
        });
        if *broker.connecting != **connecting {
            let (broker, client_id) = (&connecting.destination, &connecting.client_id);
            tracing::debug!(%broker, client_id, "exports share a connection and differ in its settings: those of the first one count");
        }
        Arc::clone(broker)
    }
}

/// A broker, and the connection to it.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) connecting: Arc<Connecting>,
    slot: tokio::sync::Mutex<Slot>,
    /// Attempts to connect that have failed.
    failures: AtomicU64,
    itself: std::sync::Weak<Broker>,
}

#[derive(Debug, Default)]
struct Slot {
    link: Option<Arc<Link>>,
    /// How the last attempt to connect failed.
    trouble: Option<Trouble>,
}

impl Broker {
    /// The connection that was opened with `credentials`; another one is opened if there is none.
    pub(super) async fn link(
        &self,
        credentials: &Credentials,
        deadline: Instant,
    ) -> Result<Arc<Link>, Trouble> {
        let before = self.failures.load(Ordering::Acquire);
        let silence = || Trouble {
            cause: Cause::Silence,
            text: format!("{}: no connection in time", self.connecting.destination),
        };
        let slot = timeout_at(deadline, self.slot.lock()).await;
        let mut slot = slot.map_err(|_| silence())?;
        let open = slot.link.as_ref();
        if let Some(link) = open.filter(|link| link.is_open() && link.has(credentials)) {
            return Ok(Arc::clone(link));
        }
        // The attempt of another record failed while this one waited for it.
        if let (true, Some(trouble)) = (
            self.failures.load(Ordering::Acquire) > before,
            &slot.trouble,
        ) {
            return Err(trouble.clone());
        }
        // It is closed when its last publication has ended. The broker takes a second connection under the same client id as the end of the
        // first one, so that one goes first.
        slot.link = None;
        let until = deadline.min(Instant::now() + self.connecting.timeout);
        let opened = timeout_at(
            until,
            Link::open(&self.connecting, credentials, &self.itself),
        );
        match opened.await.unwrap_or_else(|_| Err(silence())) {
            Ok(link) => {
                slot.trouble = None;
                Ok(Arc::clone(slot.link.insert(Arc::new(link))))
            }
            Err(trouble) => {
                slot.trouble = Some(trouble.clone());
                self.failures.fetch_add(1, Ordering::Release);
                Err(trouble)
            }
        }
    }

    /// Opens a lost connection again, at ever longer intervals.
    pub(super) async fn reconnect(
        broker: std::sync::Weak<Self>,
        credentials: Credentials,
        longest: Duration,
    ) {
        let mut wait = Duration::from_secs(1).min(longest);
        loop {
            tokio::time::sleep(wait).await;
            let Some(broker) = broker.upgrade() else {
                return;
            };
            let deadline = Instant::now() + broker.connecting.timeout;
            if broker.link(&credentials, deadline).await.is_ok() {
                return;
            }
            wait = (wait * 2).min(longest);
        }
    }
}
