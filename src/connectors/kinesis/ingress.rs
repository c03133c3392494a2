//! `io.statefun.kinesis.v1/ingress`: records of streams become messages.
//!
//! The sequence number after a batch is stored together with the batch. A shard without a stored position begins at the document's startup
//! position if the ingress has never run, otherwise at its oldest record, as with StateFun.

use std::sync::Arc;

use async_trait::async_trait;

use super::client::Lazy;
use super::reader::Reader;
use super::settings::{Dependencies, Reading};
use crate::module::KinesisIngress;
use crate::runtime::{HttpListeners, Inlet, Listener, Source, StartError};
use crate::sdk::BoxError;

/// Reads streams.
#[derive(Debug)]
pub(crate) struct KinesisSource {
    spec: KinesisIngress,
    dependencies: Dependencies,
    opened: Option<(Reading, Arc<Lazy>)>,
}

impl KinesisSource {
    pub(crate) const fn new(spec: KinesisIngress, dependencies: Dependencies) -> Self {
        let opened = None;
        Self {
            spec,
            dependencies,
            opened,
        }
    }
}

#[async_trait]
impl Source for KinesisSource {
    /// Checks the settings, without a connection.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let what = || format!("ingress {} ({})", self.spec.id, self.spec.location);
        let reading = Reading::of(&self.spec).map_err(|why| StartError::connector(what(), why))?;
        let settings = reading.settings.clone();
        let client = Lazy::new(settings, self.dependencies.clone());
        self.opened = Some((reading, Arc::new(client)));
        Ok(None)
    }

    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let (reading, client) = self.opened.clone().ok_or("the source was not opened")?;
        Reader::new(&self.spec, reading, client, inlet).run().await
    }
}
