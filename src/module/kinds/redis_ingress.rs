//! `statefun.redis.v1/ingress`: entries of streams, or messages of channels, become messages.

use std::time::Duration;

use crate::document::{Complaint, Fields, Location, Node, scalar};
use crate::sdk::TypeName;

use super::super::draft::{Binding, Draft};
use super::super::{Ingress, coerce};
use super::redis::{RedisServer, name, server};
use super::routes::{self, Route};
use super::{Spec, needs_connector};

pub(super) const KIND: &str = "statefun.redis.v1/ingress";
const TAKE_OVER_AFTER: Duration = Duration::from_secs(300);

/// Reads streams with a consumer group, or subscribes to channels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisIngress {
    /// The location of the document's `spec`.
    pub location: Location,
    /// Its name.
    pub id: TypeName,
    /// The server.
    pub server: RedisServer,
    /// The streams and their targets; empty if there are channels.
    pub streams: Vec<Route>,
    /// The channels, or patterns of them, and their targets; empty if there are streams.
    pub channels: Vec<Route>,
    /// The consumer group. Default `statefun-` and the name of the ingress.
    pub group: String,
    /// The consumer in the group. Default `statefun`.
    pub consumer: String,
    /// Where a stream begins for which the group is made. Default latest.
    pub start: RedisStart,
    /// The field of an entry that is the id which is addressed. Default: the name of the stream is.
    pub id_field: Option<String>,
    /// The field of an entry that is the value. Default `value`.
    pub value_field: String,
    /// Entries that another consumer of the group has not acknowledged for this long are taken over; `None` for never. Default 5 minutes.
    pub take_over_after: Option<Duration>,
}

/// Where a stream begins for which the group is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RedisStart {
    /// With its first entry.
    Earliest,
    /// With what is added from then on.
    #[default]
    Latest,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = fields.must("id", coerce::own_name);
    let server = server(&fields);
    let (mut streams, mut channels) = (Vec::new(), Vec::new());
    match (fields.has("streams"), fields.has("channels")) {
        (true, true) => fields.fault(
            "channels",
            "an ingress has `streams` or `channels`: write one ingress for each",
        ),
        (_, false) => {
            let empty =
                "a Redis ingress reads at least one stream (`streams`) or channel (`channels`)";
            streams = routes::read(&fields, "streams", "stream", empty, draft);
        }
        (false, true) => {
            let empty = "a Redis ingress subscribes to at least one channel";
            channels = routes::read(&fields, "channels", "channel", empty, draft);
        }
    }
    let group = fields.optional("group", name);
    let consumer = fields.optional("consumer", name);
    let start = fields.optional("startupPosition", start);
    let id_field = fields.optional("idField", name);
    let value_field = fields.optional("valueField", name);
    let take_over_after = fields.optional("takeOverAfter", take_over_after);
    if fields.has("channels") {
        check_channels(&fields);
    }
    let (location, at) = (fields.location().clone(), fields.at());
    if let (Some(id), false) = (&id, cfg!(feature = "redis")) {
        needs_connector(KIND, id, &fields, "build with the feature `redis`", draft);
    }
    fields.finish();
    let (Some(id), Some(server)) = (id, server) else {
        return;
    };
    draft.bind(Binding::Ingress(id.clone()), at);
    let default_group = || format!("statefun-{}", id.as_str().replace('/', "-"));
    draft.module.ingresses.push(Ingress::Redis(RedisIngress {
        location,
        server,
        streams,
        channels,
        group: group.unwrap_or_else(default_group),
        consumer: consumer.unwrap_or_else(|| "statefun".to_owned()),
        start: start.unwrap_or_default(),
        id_field,
        value_field: value_field.unwrap_or_else(|| "value".to_owned()),
        take_over_after: take_over_after.unwrap_or(Some(TAKE_OVER_AFTER)),
        id,
    }));
}

/// Channels are at most once, which a module should not say by accident, and have no entries.
fn check_channels(fields: &Fields<'_>) {
    for key in [
        "group",
        "consumer",
        "startupPosition",
        "idField",
        "valueField",
        "takeOverAfter",
    ] {
        if fields.has(key) {
            fields.fault(
                key,
                "is a setting of streams: messages of channels are not kept and have no fields",
            );
        }
    }
    let complaint = Complaint::with_remedy(
        "messages of channels are delivered at most once: Redis keeps none, so what is published while nothing is connected is lost",
        "use `streams` for what must not be lost",
    );
    fields.warn("channels", complaint);
}

/// A duration, or `never`.
fn take_over_after(node: &Node) -> Result<Option<Duration>, Complaint> {
    match scalar::filled_text(node).as_deref() {
        Ok("never") => Ok(None),
        _ => scalar::span(node).map(Some),
    }
}

fn start(node: &Node) -> Result<RedisStart, Complaint> {
    match scalar::filled_text(node)?.as_str() {
        "earliest" => Ok(RedisStart::Earliest),
        "latest" => Ok(RedisStart::Latest),
        other => Err(format!("`{other}` is not known; known: earliest, latest").into()),
    }
}
