//! `statefun.stdout.v1/egress`: a line of JSON for each record, on standard output.

use async_trait::async_trait;
use tokio::io::AsyncWriteExt as _;

use super::{Egress, EgressRecord, json_line};
use crate::sdk::{BoxError, TypeName};

/// Writes `{"egress", "id", "type", "value"}` lines.
#[derive(Debug)]
pub(crate) struct StdoutEgress {
    /// The name that the lines carry.
    pub(crate) name: TypeName,
}

#[async_trait]
impl Egress for StdoutEgress {
    async fn deliver(&self, records: &[EgressRecord]) -> Result<(), BoxError> {
        let mut text = String::new();
        for record in records {
            text.push_str(&json_line(&self.name, record));
            text.push('\n');
        }
        let mut stdout = tokio::io::stdout();
        stdout.write_all(text.as_bytes()).await?;
        stdout.flush().await?;
        Ok(())
    }
}
