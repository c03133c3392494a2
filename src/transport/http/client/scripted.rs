//! Answers in the place of a network, for tests.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::message::{HttpRequest, HttpResponse};

/// Answers the requests of clients, which then open no connections.
pub trait Answering: Send + Sync + 'static {
    /// What follows from a request.
    fn answer(&self, request: &HttpRequest) -> Scripted;

    /// What follows from a publication to a topic of an MQTT broker, whose URL is `broker`. A status of 200 to 299 acknowledges it. Default: there is no
    /// connection.
    fn publication(&self, broker: &str, topic: &str, payload: &Bytes) -> Scripted {
        let _ = (broker, topic, payload);
        Scripted::NoConnection
    }
}

/// What follows from a request.
#[derive(Debug, Clone)]
pub enum Scripted {
    /// The server answers.
    Response(HttpResponse),
    /// There is no connection.
    NoConnection,
    /// There is no answer before the time limit, which is not waited for.
    NoAnswer,
}

/// Stands for the network.
#[derive(Clone)]
pub struct Script(Arc<dyn Answering>);

impl Script {
    /// Requests are answered by `answering`.
    pub fn new(answering: Arc<dyn Answering>) -> Self {
        Self(answering)
    }

    pub(super) fn answer(&self, request: &HttpRequest) -> Scripted {
        self.0.answer(request)
    }

    #[cfg(feature = "mqtt")]
    pub(crate) fn publication(&self, broker: &str, topic: &str, payload: &Bytes) -> Scripted {
        self.0.publication(broker, topic, payload)
    }
}

impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Script {}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}
