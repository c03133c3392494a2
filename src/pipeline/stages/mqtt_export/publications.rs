//! Makes publications from records, and sends them over the connection to their broker.

use std::sync::Arc;

use bytes::Bytes;
use rumqttc::QoS;
use tokio::time::Instant;

use super::super::super::record::Record;
use super::super::super::secrets::Secrets;
use super::super::super::template::Template;
use super::super::export::{Load, Prepared, Sent};
use super::broker::{Brokers, Connecting};
use super::credentials::Credentials;
use super::link::{Cause, Trouble};
use super::{BrokerAddress, MqttAuth, MqttExport, MqttPreConnect, check_topic};
use crate::delivery::engine::{Class, Classes, Failure, FailureKind, Policy};
use crate::transport::http::client::{Network, Scripted};

/// The publications of an [`MqttExport`], after its check.
#[derive(Clone)]
pub(crate) struct Publications {
    /// The broker; or, if the settings may be wrong, why there is none.
    connecting: Result<Arc<Connecting>, String>,
    topic: Template,
    qos: QoS,
    retain: bool,
    auth: MqttAuth,
    secret: String,
    pub(in crate::pipeline::stages) secrets: Secrets,
    pre_connect: Option<MqttPreConnect>,
}

/// What is published, and what the connection for it is opened with.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    credentials: Credentials,
}

/// A client of a broker, and how it connects.
#[cfg(feature = "runtime")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct MqttClient<'a> {
    pub(crate) address: &'a BrokerAddress,
    pub(crate) client_id: &'a str,
    connecting: &'a Connecting,
    auth: MqttAuth,
    secret: &'a str,
}

#[cfg(feature = "runtime")]
impl MqttClient<'_> {
    /// Whether both present the same user or certificate.
    pub(crate) fn signs_in_like(&self, other: &MqttClient<'_>) -> bool {
        (self.auth, self.secret) == (other.auth, other.secret)
    }

    /// Whether both have the same settings of their connection.
    pub(crate) fn connects_like(&self, other: &MqttClient<'_>) -> bool {
        self.connecting == other.connecting
    }
}

impl Publications {
    /// The client that publishes, if the URL of its broker is one.
    #[cfg(feature = "runtime")]
    pub(in crate::pipeline::stages) fn client(&self) -> Option<MqttClient<'_>> {
        let connecting = self.connecting.as_deref().ok()?;
        Some(MqttClient {
            address: &connecting.address,
            client_id: &connecting.client_id,
            connecting,
            auth: self.auth,
            secret: &self.secret,
        })
    }

    pub(super) fn of(
        export: MqttExport,
        address: Result<BrokerAddress, String>,
        topic: Template,
    ) -> Self {
        let qos = level(export.qos);
        let (retain, auth, secret) = (export.retain, export.auth, export.secret.trim().to_owned());
        let pre_connect = export.pre_connect;
        let connecting = address.map(|address| Arc::new(Connecting::of(export, address)));
        Self {
            connecting,
            topic,
            qos,
            retain,
            auth,
            secret,
            secrets: Secrets::default(),
            pre_connect,
        }
    }

    /// The same publications from a process that knows its network.
    pub(in crate::pipeline::stages) fn within(&self, network: &Network) -> Self {
        let mut same = self.clone();
        if let Ok(connecting) = &mut same.connecting {
            Arc::make_mut(connecting).network.clone_from(network);
        }
        same
    }

    /// Where all records go.
    pub(in crate::pipeline::stages) fn destination(&self) -> Option<Arc<str>> {
        let connecting = self.connecting.as_ref().ok()?;
        Some(Arc::clone(&connecting.destination))
    }

    /// Makes the publication for `record`.
    pub(in crate::pipeline::stages) fn prepare(
        &self,
        record: &mut Record,
    ) -> Result<Prepared, Box<Failure>> {
        let unmade = |text: String| Box::new(Failure::permanent("template", text));
        let connecting = self.connecting.as_ref();
        let connecting = connecting.map_err(|text| unmade(format!("the broker's URL: {text}")))?;
        let topic = self.topic.fill(record);
        let topic = topic.map_err(|err| unmade(err.to_string()))?;
        check_topic(&topic).map_err(unmade)?;
        let credentials = self.auth.credentials(&self.secret, &self.secrets)?;
        Ok(Prepared {
            destination: Arc::clone(&connecting.destination),
            load: Load::Publication(Publication {
                topic,
                payload: record.payload(),
                credentials,
            }),
        })
    }

    /// Publishes, and waits for the broker's acknowledgement.
    pub(in crate::pipeline::stages) async fn send(
        &self,
        publication: Publication,
        brokers: &Brokers,
        policy: &Policy,
    ) -> Result<Sent, Box<Failure>> {
        let failed = |trouble: Trouble| Box::new(failure(trouble, policy.classes));
        let connecting = self.connecting.as_ref().map_err(|text| {
            let text = format!("the broker's URL: {text}");
            Box::new(Failure::permanent("template", text))
        })?;
        let deadline = Instant::now() + policy.timeout;
        let Publication {
            topic,
            payload,
            credentials,
        } = publication;
        if let Some(script) = &connecting.network.script {
            let broker = &connecting.destination;
            let answer = script.publication(broker, &topic, &payload);
            return scripted(answer, broker).map_err(failed);
        }
        let broker = brokers.of(connecting);
        let link = broker.link(&credentials, deadline).await.map_err(failed)?;
        let sent = link.publish(topic, payload, self.qos, self.retain, deadline);
        sent.await.map_err(failed)?;
        Ok(Sent::Input)
    }

    /// Opens the connection before a record needs it, if the settings ask for that.
    pub(crate) fn pre_connect(&self, brokers: &Brokers) {
        let (Some(pre_connect), Ok(connecting)) = (self.pre_connect, &self.connecting) else {
            return;
        };
        if connecting.network.script.is_some() {
            return; // there are no connections
        }
        // A pipeline may be built where nothing runs, and its connection is then opened for the first record.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let broker = Arc::downgrade(&brokers.of(connecting));
        let (auth, secret, secrets) = (self.auth, self.secret.clone(), self.secrets.clone());
        let timeout = connecting.timeout;
        runtime.spawn(async move {
            for _ in 0..=pre_connect.retries {
                // The task ends with the functions of the pipeline.
                let Some(broker) = broker.upgrade() else {
                    return;
                };
                let opened = match auth.credentials(&secret, &secrets) {
                    Ok(credentials) => {
                        let deadline = Instant::now() + timeout;
                        let opened = broker.link(&credentials, deadline).await;
                        opened.map(drop).map_err(|trouble| trouble.text)
                    }
                    Err(failure) => Err(failure.message),
                };
                drop(broker);
                match opened {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(error, "no connection before the first record"),
                }
                tokio::time::sleep(pre_connect.interval).await;
            }
        });
    }
}

const fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// What the answer of a script means.
fn scripted(answer: Scripted, broker: &str) -> Result<Sent, Trouble> {
    let (cause, text) = match answer {
        Scripted::Response(answer) if answer.status.is_success() => return Ok(Sent::Input),
        Scripted::Response(_) => (Cause::Refused, "it refuses the publication"),
        Scripted::NoConnection => (Cause::Connection, "no connection"),
        Scripted::NoAnswer => (Cause::Silence, "no acknowledgement in time"),
    };
    let text = format!("{broker}: {text}");
    Err(Trouble { cause, text })
}

/// What a trouble means for the record.
fn failure(trouble: Trouble, classes: Classes) -> Failure {
    match trouble.cause {
        Cause::Connection => Failure::of_kind(classes, FailureKind::Connect, trouble.text),
        Cause::Tls => Failure::of_kind(classes, FailureKind::Tls, trouble.text),
        Cause::Silence => Failure::of_kind(classes, FailureKind::Timeout, trouble.text),
        // A new text of the secret may end it: never for good.
        Cause::Secret => Failure::retry("secret", trouble.text),
        Cause::Busy => Failure::retry("busy", trouble.text),
        // Outages of what the broker asks about its users look like this, too.
        Cause::Refused => {
            let class = match classes {
                Classes::Off => Class::Retry,
                Classes::Default => Class::Slow,
            };
            Failure::new(class, "refused", trouble.text)
        }
    }
}
