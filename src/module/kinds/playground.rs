//! `io.statefun.playground.v1/ingress` and `/egress`: StateFun's HTTP ingress and egress for trials.

use crate::document::{Complaint, Fields, Location, scalar};
use crate::sdk::TypeName;

use super::super::draft::{Binding, Draft};
use super::super::listeners::Listening;
use super::super::{Egress, EgressTarget, Ingress};
use super::Spec;
use super::exposed::is_exposed;

const EGRESS: TypeName = TypeName::new("io.statefun.playground/egress");

/// `POST /<namespace>/<type>/<id>` sends a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaygroundIngress {
    /// The location of the document's `spec`.
    pub location: Location,
    /// Default `127.0.0.1` (StateFun: all interfaces).
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Bodies of `io.statefun.types/string` are plain text and wrapped here. Default false: the body is the value's bytes, as in StateFun.
    pub wraps_text: bool,
}

impl PlaygroundIngress {
    /// The name of every playground ingress; a module has at most one.
    pub const ID: TypeName = TypeName::new("io.statefun.playground/ingress");
}

/// `GET /<topic>` removes one record from a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaygroundEgress {
    /// Default `127.0.0.1` (StateFun: all interfaces).
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The topics.
    pub topics: Vec<String>,
}

pub(super) fn read_ingress(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let port = fields.must("port", scalar::port);
    let host = host(&fields);
    let wraps_text = fields.optional("wrapText", scalar::boolean);
    if wraps_text.is_some() {
        let finding = fields.finding("wrapText", "`wrapText` is an addition; StateFun ignores it");
        fields.findings().not_for_flink(finding);
    }
    listening("playground ingress", &fields, &host, port, draft);
    let (location, at) = (fields.location().clone(), fields.at());
    fields.finish();
    let Some(port) = port else { return };
    draft.bind(Binding::Ingress(PlaygroundIngress::ID), at);
    let ingress = PlaygroundIngress {
        location,
        host,
        port,
        wraps_text: wraps_text.unwrap_or_default(),
    };
    draft.module.ingresses.push(Ingress::Playground(ingress));
}

pub(super) fn read_egress(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let port = fields.must("port", scalar::port);
    let host = host(&fields);
    let topics = fields.list("topics", scalar::filled_text);
    if topics.is_empty() {
        let finding = fields.finding("topics", "no topics: every record will be refused");
        fields.findings().warning(finding);
    }
    listening("playground egress", &fields, &host, port, draft);
    let (location, at) = (fields.location().clone(), fields.at());
    fields.finish();
    let Some(port) = port else { return };
    draft.bind(Binding::Egress(EGRESS), at);
    draft.module.egresses.push(Egress {
        location,
        id: EGRESS,
        target: EgressTarget::Playground(PlaygroundEgress { host, port, topics }),
    });
}

fn host(fields: &Fields<'_>) -> String {
    let host = fields.optional("host", scalar::filled_text);
    if host.is_some() {
        let text = "`host` is an addition; StateFun ignores it and listens on all interfaces";
        let finding = fields.finding("host", text);
        fields.findings().not_for_flink(finding);
    }
    if host.as_deref().is_some_and(is_exposed) {
        let warning = Complaint::with_remedy(
            "anyone who reaches this address can use the playground, which has no token",
            "leave `host` out to listen on 127.0.0.1",
        );
        fields.warn("host", warning);
    }
    host.unwrap_or_else(|| "127.0.0.1".to_owned())
}

/// Records the address of one of the two.
fn listening(
    name: &'static str,
    fields: &Fields<'_>,
    host: &str,
    port: Option<u16>,
    draft: &mut Draft<'_>,
) {
    draft.module.listeners.extend(port.map(|port| Listening {
        name,
        host: host.to_owned(),
        port,
        at: fields.finding("port", ""),
    }));
}
