//! An ingress that subscribes to channels, at most once: Redis forgets a message when it has sent it to those who listen.

use redis::{Msg, RedisResult};
use tracing::{info, warn};

use super::client::Connecting;
use crate::module::RedisIngress;
use crate::runtime::{Batch, Inlet};
use crate::sdk::BoxError;

/// Messages of a batch.
const BATCH: usize = 512;

/// Whether a channel is a pattern of several.
fn is_pattern(channel: &str) -> bool {
    channel.contains(['*', '?', '['])
}

/// Subscribes and brings messages until something fails. While the runtime has no room, nothing is read; the server then drops the connection when too much
/// waits there.
pub(super) async fn run(
    spec: &RedisIngress,
    connecting: &Connecting,
    inlet: &Inlet,
) -> Result<(), BoxError> {
    let mut listening = connecting.listen().await?;
    let sources = spec.channels.iter().map(|route| route.source.as_str());
    let (patterns, names): (Vec<_>, Vec<_>) = sources.partition(|source| is_pattern(source));
    listening.subscribe(&names, &patterns).await?;
    inlet.recovers();
    info!(
        ingress = %spec.id, server = %spec.server.name(),
        "is subscribed; what was published before, or while there was no connection, is not delivered"
    );
    loop {
        let mut batch = Batch::new();
        add(spec, &listening.next().await?, &mut batch);
        for _ in 1..BATCH {
            let Some(message) = listening.ready() else {
                break;
            };
            add(spec, &message, &mut batch);
        }
        if !batch.is_empty() {
            // Nothing is acknowledged in channels, so nobody waits for the disk.
            _ = inlet.bring(batch).await?;
        }
    }
}

/// Makes messages of one from a channel.
fn add(spec: &RedisIngress, message: &Msg, batch: &mut Batch) {
    let (Ok(channel), Ok(subscribed)) = (message.get_channel::<String>(), subscribed(message))
    else {
        warn!(ingress = %spec.id, "a message is dropped: the name of its channel is not UTF-8");
        return;
    };
    let mut routes = spec.channels.iter();
    if let Some(route) = routes.find(|route| route.source == subscribed) {
        let payload = message.get_payload_bytes();
        for target in &route.targets {
            batch.add(target, &channel, &route.value_type, payload);
        }
    }
}

/// The pattern or the channel that was subscribed to.
fn subscribed(message: &Msg) -> RedisResult<String> {
    match message.from_pattern() {
        true => message.get_pattern(),
        false => message.get_channel(),
    }
}
