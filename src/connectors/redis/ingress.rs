//! `statefun.redis.v1/ingress`: entries of streams, or messages of channels.

use async_trait::async_trait;

use super::client::Connecting;
use super::{channels, streams};
use crate::module::RedisIngress;
use crate::runtime::{HttpListeners, Inlet, Listener, Source, StartError};
use crate::sdk::BoxError;
use crate::transport::http::client::Network;

/// Reads streams or channels.
#[derive(Debug)]
pub(crate) struct RedisSource {
    spec: RedisIngress,
    network: Network,
    connecting: Option<Connecting>,
}

impl RedisSource {
    pub(crate) const fn new(spec: RedisIngress, network: Network) -> Self {
        Self {
            spec,
            network,
            connecting: None,
        }
    }
}

#[async_trait]
impl Source for RedisSource {
    /// Checks the settings, without connecting to the server.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let connecting = Connecting::of(&self.spec.server, &self.network).map_err(|why| {
            let what = format!("ingress {} ({})", self.spec.id, self.spec.location);
            StartError::connector(what, why)
        })?;
        self.connecting = Some(connecting);
        Ok(None)
    }

    /// A lost connection is an error: the runtime calls this again, with growing waits.
    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let connecting = self
            .connecting
            .as_ref()
            .ok_or("the source was not opened")?;
        match self.spec.channels.is_empty() {
            true => streams::run(&self.spec, connecting, inlet).await,
            false => channels::run(&self.spec, connecting, inlet).await,
        }
    }
}
