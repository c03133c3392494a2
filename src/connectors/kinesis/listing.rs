//! Asks for the shards of streams.

use super::api::ListShards;
use super::client::Lazy;
use super::failure::Failure;
use super::shards::Listed;
use crate::time::Timestamp;

/// The shards of a stream, and when they were listed, by the clock of the service.
pub(super) struct Listing {
    pub(super) shards: Vec<Listed>,
    pub(super) at: Timestamp,
}

/// # Errors
/// If they are not listed completely.
pub(super) async fn list(client: &Lazy, stream: &str) -> Result<Listing, Failure> {
    let client = client.client().await.map_err(Failure::Unasked)?;
    let mut shards = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let call = ListShards {
            stream_name: Some(stream).filter(|_| next.is_none()),
            next_token: next.as_deref(),
        };
        let page = client.call(&call).await?;
        for shard in page.answer.shards {
            let id = shard.shard_id.clone();
            let shard = Listed::read(shard).ok_or_else(|| {
                Failure::Unasked(format!("the hashes of shard {id} are not numbers").into())
            })?;
            shards.push(shard);
        }
        let at = page.at;
        next = page.answer.next_token;
        if next.is_none() && shards.is_empty() {
            return Err(Failure::Changing(stream.to_owned()));
        }
        if next.is_none() {
            return Ok(Listing { shards, at });
        }
    }
}
