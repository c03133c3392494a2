//! `statefun.stdout.v1/egress`: a line of JSON for each record, on standard output.

use async_trait::async_trait;
use tokio::io::AsyncWriteExt as _;

use crate::connectors::line::lines;
use crate::printable;
use crate::runtime::{Sink, SinkBatch};
use crate::sdk::BoxError;

/// Writes `{"egress", "id", "type", "value"}` lines.
#[derive(Debug)]
pub(crate) struct StdoutEgress;

#[async_trait]
impl Sink for StdoutEgress {
    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let mut stdout = tokio::io::stdout();
        let lines = lines(batch);
        // The output may be a terminal; JSON with escaped control characters is equivalent.
        stdout.write_all(printable::json(&lines).as_bytes()).await?;
        stdout.flush().await?;
        Ok(())
    }
}
