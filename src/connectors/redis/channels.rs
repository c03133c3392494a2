//! An ingress that subscribes to channels, at most once: Redis forgets a message when it has sent it to those who listen.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tracing::{info, warn};

use super::client::{Connecting, Connection, Failure};
use super::resp::{Command, Value};
use crate::module::{RedisIngress, Route};
use crate::runtime::{Batch, Inlet};
use crate::sdk::BoxError;

/// Messages of a batch.
const BATCH: usize = 512;
/// The longest silence before a ping, and then before the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Whether a channel is a pattern of several.
pub(super) fn is_pattern(channel: &str) -> bool {
    channel.contains(['*', '?', '['])
}

/// Subscribes and brings messages until something fails. While the runtime has no room, nothing is read; the server then drops the connection when too much
/// waits there.
pub(super) async fn run(
    spec: &RedisIngress,
    connecting: &Connecting,
    inlet: &Inlet,
) -> Result<(), BoxError> {
    let mut connection = connecting.open().await?;
    let (patterns, names): (Vec<_>, Vec<_>) = spec
        .channels
        .iter()
        .partition(|route| is_pattern(&route.source));
    for (command, routes) in [("SUBSCRIBE", names), ("PSUBSCRIBE", patterns)] {
        let mut subscribe = Command::new(command);
        for route in &routes {
            subscribe.push(&route.source);
        }
        if routes.is_empty() {
            continue;
        }
        connection.send(&subscribe).await?;
        for _ in &routes {
            let answer = timeout(SILENCE, connection.reply()).await;
            let answer = answer.map_err(|_| "no answer to a subscription")??;
            if let Value::Error(text) = answer {
                return Err(format!("{}: {text}", spec.server.name()).into());
            }
        }
    }
    inlet.recovers();
    info!(
        ingress = %spec.id, server = %spec.server.name(),
        "is subscribed; what was published before, or while there was no connection, is not delivered"
    );
    loop {
        let first = next(&mut connection).await?;
        let mut batch = Batch::new();
        let mut message = Some(first);
        for _ in 0..BATCH {
            let Some(value) = message else { break };
            add(spec, &value, &mut batch);
            message = connection.buffered()?;
        }
        if let Some(value) = message {
            add(spec, &value, &mut batch);
        }
        if !batch.is_empty() {
            // Nothing is acknowledged in channels, so nobody waits for the disk.
            _ = inlet.bring(batch).await?;
        }
    }
}

/// The next message; a silent server is asked whether it is there.
async fn next(connection: &mut Connection) -> Result<Value, Failure> {
    if let Ok(message) = timeout(SILENCE, connection.reply()).await {
        return message;
    }
    connection.send(&Command::new("PING")).await?;
    match timeout(SILENCE, connection.reply()).await {
        Ok(message) => message,
        Err(_) => connection.silent(),
    }
}

/// Makes messages of one from a channel; answers to pings have none.
fn add(spec: &RedisIngress, value: &Value, batch: &mut Batch) {
    let Some((route, channel, payload)) = published(spec, value) else {
        return;
    };
    let Ok(channel) = str::from_utf8(channel) else {
        warn!(ingress = %spec.id, "a message is dropped: the name of its channel is not UTF-8");
        return;
    };
    for target in &route.targets {
        batch.add(target, channel, &route.value_type, payload);
    }
}

fn published<'a>(
    spec: &'a RedisIngress,
    value: &'a Value,
) -> Option<(&'a Route, &'a Bytes, &'a Bytes)> {
    let (subscribed, channel, payload) = match value.list()? {
        [kind, channel, payload] if kind.text() == Some("message") => (channel, channel, payload),
        [kind, pattern, channel, payload] if kind.text() == Some("pmessage") => {
            (pattern, channel, payload)
        }
        _ => return None,
    };
    let subscribed = subscribed.text()?;
    let mut routes = spec.channels.iter();
    let route = routes.find(|route| route.source == subscribed)?;
    Some((route, channel.bytes()?, payload.bytes()?))
}
