//! What functions know of their service.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::bus::Bus;
use crate::pipeline::Secrets;

/// Shared by all functions of a service. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Services(Arc<Shared>);

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) service_key: String,
    /// `None` if the service is not at a message bus.
    pub(super) bus: Option<Bus>,
    pub(super) publish_topic: Option<String>,
    /// Addresses by the keys of `Clients`.
    pub(super) clients: BTreeMap<String, String>,
    /// Known once the pipelines have been read.
    pub(super) secrets: OnceLock<Secrets>,
}

impl Services {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Sets where secrets are found, once.
    pub(super) fn know_secrets(&self, secrets: Secrets) {
        let _ = self.0.secrets.set(secrets);
    }

    pub(super) fn service_key(&self) -> &str {
        &self.0.service_key
    }

    pub(super) fn bus(&self) -> Option<&Bus> {
        self.0.bus.as_ref()
    }

    pub(super) fn publish_topic(&self) -> Option<&str> {
        self.0.publish_topic.as_deref()
    }

    pub(super) fn client(&self, key: &str) -> Option<&str> {
        self.0.clients.get(key).map(String::as_str)
    }

    pub(super) fn secrets(&self) -> &Secrets {
        self.0.secrets.get_or_init(Secrets::default)
    }
}
