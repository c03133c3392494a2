//! An export: sends records away over a channel, and says what becomes of those that cannot be sent.

mod common;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;

use super::super::record::Record;
use super::super::secrets::Secrets;
use super::super::template::{Template, Unfilled};
use super::http_export::Requests;
#[cfg(all(feature = "runtime", feature = "mqtt"))]
use super::mqtt_export::MqttClient;
#[cfg(feature = "mqtt")]
use super::mqtt_export::{Brokers, Publication, Publications};
pub use common::OnFailure;
pub(in crate::pipeline::stages) use common::{Common, IN_RETRY, read_size};

use crate::delivery::engine::{Class, Failure, FailureKind, Policy};
use crate::delivery::owner::Circuit;
use crate::time::Timestamp;
use crate::transport::http::client::{HttpError, HttpRequest, Network};

/// An export after its check.
#[derive(Clone)]
pub(crate) struct Exporter {
    pub(crate) channel: Channel,
    pub(crate) order_key: Option<Template>,
    pub(crate) policy: Policy,
    pub(crate) on_failure: OnFailure,
    pub(crate) max_in_flight: NonZeroUsize,
    pub(crate) circuit: Option<Circuit>,
    pub(crate) max_payload_bytes: usize,
}

/// How records leave.
#[derive(Clone)]
pub(crate) enum Channel {
    /// As HTTP requests.
    Http(Box<Requests>),
    /// As publications to an MQTT broker.
    #[cfg(feature = "mqtt")]
    Mqtt(Publications),
}

/// Connections that the exports of a process share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    #[cfg(feature = "mqtt")]
    pub(crate) brokers: Arc<Brokers>,
}

/// An attempt that only has to be made.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Scheme, host and port.
    pub(crate) destination: Arc<str>,
    pub(crate) load: Load,
}

/// What is sent.
#[derive(Debug)]
pub(crate) enum Load {
    Request(HttpRequest),
    #[cfg(feature = "mqtt")]
    Publication(Publication),
}

/// How a sent record continues.
#[derive(Debug)]
pub(crate) enum Sent {
    /// As it came.
    Input,
    /// With the answer as its payload.
    Answer {
        payload: Bytes,
        content_type: String,
        content_encoding: String,
    },
}

impl Sent {
    /// Makes the record the input of the next stage.
    pub(crate) fn apply_to(self, record: &mut Record) {
        if let Self::Answer {
            payload,
            content_type,
            content_encoding,
        } = self
        {
            record.set_payload(payload, content_type);
            record.set_content_encoding(content_encoding);
        }
    }
}

impl Load {
    pub(crate) fn payload_bytes(&self) -> usize {
        match self {
            Self::Request(request) => request.body.len(),
            #[cfg(feature = "mqtt")]
            Self::Publication(publication) => publication.payload.len(),
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = match &self.channel {
            Channel::Http(_) => "http",
            #[cfg(feature = "mqtt")]
            Channel::Mqtt(_) => "mqtt",
        };
        f.debug_struct("Exporter")
            .field("channel", &channel)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Exporter {
    /// The client with which it publishes to an MQTT broker, if it does.
    #[cfg(all(feature = "runtime", feature = "mqtt"))]
    pub(crate) fn mqtt_client(&self) -> Option<MqttClient<'_>> {
        match &self.channel {
            Channel::Mqtt(publications) => publications.client(),
            Channel::Http(_) => None,
        }
    }

    /// The same export from a process that knows its network.
    pub(crate) fn within(&self, network: &Network) -> Result<Self, HttpError> {
        let channel = match &self.channel {
            Channel::Http(requests) => Channel::Http(Box::new(requests.within(network)?)),
            #[cfg(feature = "mqtt")]
            Channel::Mqtt(publications) => Channel::Mqtt(publications.within(network)),
        };
        Ok(Self {
            channel,
            ..self.clone()
        })
    }

    /// The same export in a process that has these secrets.
    pub(crate) fn with_secrets(&self, secrets: &Secrets) -> Self {
        let mut same = self.clone();
        match &mut same.channel {
            Channel::Http(requests) => requests.secrets.clone_from(secrets),
            #[cfg(feature = "mqtt")]
            Channel::Mqtt(publications) => publications.secrets.clone_from(secrets),
        }
        same
    }

    /// The same export with another policy; its own timeout and order stay, and what it does not keep is not woken.
    pub(crate) fn with_policy(&self, policy: Policy) -> Self {
        Self {
            policy: Policy {
                timeout: self.policy.timeout,
                order: self.policy.order,
                wake: policy.wake && self.on_failure.keeps(),
                ..policy
            },
            ..self.clone()
        }
    }

    /// The same export with another circuit. Records that are not kept cannot wait for a probe, and have none.
    pub(crate) fn with_circuit(self, circuit: Option<Circuit>) -> Self {
        Self {
            circuit: circuit.filter(|_| self.on_failure.keeps()),
            ..self
        }
    }

    /// Whether the next stage gets the record at once, and not after this one.
    pub(crate) fn is_isolated(&self) -> bool {
        self.on_failure == OnFailure::Isolate
    }

    /// The failure as it counts for this export: without a later attempt where nothing is kept for one.
    pub(crate) fn counted(&self, failure: Box<Failure>) -> Box<Failure> {
        if self.on_failure.keeps() || failure.class == Class::Permanent {
            return failure;
        }
        Box::new(Failure {
            class: Class::Permanent,
            code: "no_persist".to_owned(),
            ..*failure
        })
    }

    /// Prepares the attempt for `record`, with `item` as its idempotency key.
    pub(crate) fn prepare(
        &self,
        record: &mut Record,
        item: &str,
    ) -> Result<Prepared, Box<Failure>> {
        let prepared = match &self.channel {
            Channel::Http(requests) => requests.prepare(record, item)?,
            #[cfg(feature = "mqtt")]
            Channel::Mqtt(publications) => publications.prepare(record)?,
        };
        let bytes = prepared.load.payload_bytes();
        if bytes > self.max_payload_bytes {
            let text = format!(
                "the payload has {bytes} bytes, {} are allowed",
                self.max_payload_bytes
            );
            let kind = FailureKind::TooLarge;
            return Err(Box::new(Failure::of_kind(self.policy.classes, kind, text)));
        }
        Ok(prepared)
    }

    /// Makes the attempt and returns the result.
    #[cfg_attr(
        not(feature = "mqtt"),
        allow(unused_variables, reason = "requests have a pool of their own")
    )]
    pub(crate) async fn send(
        &self,
        prepared: Prepared,
        connections: &Connections,
        now: Timestamp,
    ) -> Result<Sent, Box<Failure>> {
        match (&self.channel, prepared.load) {
            (Channel::Http(requests), Load::Request(request)) => {
                requests.send(request, &self.policy, now).await
            }
            #[cfg(feature = "mqtt")]
            (Channel::Mqtt(publications), Load::Publication(publication)) => {
                let brokers = &connections.brokers;
                publications.send(publication, brokers, &self.policy).await
            }
            #[cfg(feature = "mqtt")]
            _ => Err(Box::new(Failure::permanent(
                "stage_error",
                "the export does not send such data",
            ))),
        }
    }

    /// Where all records go; `None` when that depends on the record.
    pub(crate) fn destination(&self) -> Option<Arc<str>> {
        match &self.channel {
            Channel::Http(requests) => requests.destination(),
            #[cfg(feature = "mqtt")]
            Channel::Mqtt(publications) => publications.destination(),
        }
    }

    /// The key in whose order `record` is sent; none when any order will do.
    pub(crate) fn order_key(&self, record: &mut Record) -> Option<Result<String, Unfilled>> {
        let key = self.order_key.as_ref()?.fill(record);
        match (&self.channel, key) {
            (Channel::Http(requests), Ok(key)) => Some(requests.placed(key, record)),
            (_, key) => Some(key),
        }
    }

    /// The method of its requests, in lower case; empty if it makes none.
    #[cfg(feature = "postgres")]
    pub(crate) fn method(&self) -> &'static str {
        match &self.channel {
            Channel::Http(requests) if requests.method == http::Method::PUT => "put",
            Channel::Http(_) => "post",
            #[cfg(feature = "mqtt")]
            Channel::Mqtt(_) => "",
        }
    }

    /// Whether its attempts only exchange bytes, wherever they are made: a connection that is shared needs a task.
    pub(crate) const fn only_exchanges(&self) -> bool {
        matches!(self.channel, Channel::Http(_))
    }
}
