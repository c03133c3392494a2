//! `statefun.redis.v1/egress`: records become entries of streams, or messages of channels.

use std::num::{NonZeroU64, NonZeroUsize};

use crate::document::scalar;

use super::super::draft::{Binding, Draft};
use super::super::{Egress, EgressTarget, coerce};
use super::redis::{RedisServer, name, server};
use super::{Spec, needs_connector};

pub(super) const KIND: &str = "statefun.redis.v1/egress";
/// The largest text of Redis.
const MAX_TEXT: usize = 512 << 20;

/// Adds each record to a stream, or publishes it to a channel, once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisEgress {
    /// The server.
    pub server: RedisServer,
    /// What records are sent to.
    pub out: RedisOut,
    /// The stream or channel of records that do not name one.
    pub name: Option<String>,
    /// Streams are trimmed to about this many entries. Default: they are not.
    pub max_length: Option<u64>,
    /// The field of an entry with the key of a record that has one. Default `key`.
    pub key_field: String,
    /// The field of an entry with the payload. Default `value`.
    pub value_field: String,
    /// The key at which the egress keeps its position. Default `statefun:egress:` and the name of the egress.
    pub position_key: String,
    /// Larger payloads are set aside. Default 16 MiB, at most 512 MiB, the limit of Redis.
    pub max_payload_bytes: usize,
}

/// What records are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisOut {
    /// Streams.
    Stream,
    /// Channels.
    Channel,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = fields.must("id", coerce::own_name);
    let server = server(&fields);
    let to = fields.optional("to", |node| match scalar::filled_text(node)?.as_str() {
        "streams" => Ok(RedisOut::Stream),
        "channels" => Ok(RedisOut::Channel),
        other => Err(format!("`{other}` is not known; known: streams, channels").into()),
    });
    let stream = fields.optional("stream", name);
    let channel = fields.optional("channel", name);
    let out = match (to, fields.has("stream"), fields.has("channel")) {
        (_, true, true) => {
            fields.fault(
                "channel",
                "an egress sends to streams or to channels: write one egress for each",
            );
            None
        }
        (Some(RedisOut::Channel), true, _) => {
            fields.fault("stream", "the egress sends to channels (`to`)");
            None
        }
        (Some(RedisOut::Stream), _, true) => {
            fields.fault("channel", "the egress sends to streams (`to`)");
            None
        }
        (Some(out), ..) => Some(out),
        (None, true, _) => Some(RedisOut::Stream),
        (None, _, true) => Some(RedisOut::Channel),
        (None, false, false) if fields.has("to") => None,
        (None, false, false) => {
            fields.fault("to", "give `stream` or `channel`; or `to: streams` or `to: channels`, if each record names its own");
            None
        }
    };
    let max_length = fields.optional("maxLength", scalar::count_of::<NonZeroU64>);
    let key_field = fields.optional("keyField", name);
    let value_field = fields.optional("valueField", name);
    let position_key = fields.optional("positionKey", name);
    let max_payload_bytes = fields.optional("maxPayloadBytes", scalar::count_of::<NonZeroUsize>);
    if out == Some(RedisOut::Channel) {
        for key in ["maxLength", "keyField", "valueField"] {
            if fields.has(key) {
                fields.fault(
                    key,
                    "is a setting of streams: messages of channels are not kept and have no fields",
                );
            }
        }
    }
    let (location, at) = (fields.location().clone(), fields.at());
    if let (Some(id), false) = (&id, cfg!(feature = "redis")) {
        needs_connector(KIND, id, &fields, "build with the feature `redis`", draft);
    }
    fields.finish();
    let (Some(id), Some(server), Some(out)) = (id, server, out) else {
        return;
    };
    draft.bind(Binding::Egress(id.clone()), at);
    let default_key = format!("statefun:egress:{id}");
    draft.module.egresses.push(Egress {
        location,
        target: EgressTarget::Redis(RedisEgress {
            server,
            out,
            name: stream.or(channel),
            max_length: max_length.map(NonZeroU64::get),
            key_field: key_field.unwrap_or_else(|| "key".to_owned()),
            value_field: value_field.unwrap_or_else(|| "value".to_owned()),
            position_key: position_key.unwrap_or(default_key),
            max_payload_bytes: max_payload_bytes
                .map_or(16 << 20, |bytes| bytes.get().min(MAX_TEXT)),
        }),
        id,
    });
}
