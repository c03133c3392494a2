//! `/api/deliveries`: deliveries that have not ended.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use hyper::body::Incoming as Body;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::StrDeserializer;
use serde_json::{Value, json};

use super::kept::{self, Item, KeptFilter};
use super::params::Params;
use super::{Admin, Reply, bad_request, ok};
use crate::delivery::engine::{DeliveryState, Reason};
use crate::delivery::{COMMAND, Command, REPLY, Reply as DeliveryReply, Verb};
use crate::json_words;
use crate::runtime::core::AddressKey;
use crate::runtime::intake::Incoming;
use crate::runtime::request;
use crate::runtime::respond::{self, Refusal, refuse};
use crate::sdk::{Message, MessageBuilder, TypeName, TypedBytes};
use crate::storage::Rows;
use crate::transport::http::BodyReader;

/// Time limit of a command, which waits for the call of its address; a retry also waits for its attempt.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_COMMAND_BYTES: usize = 64 * 1024;

/// The actor of a command, and the reason.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) actor: String,
    pub(super) reason: String,
    /// Only count; for commands on many deliveries.
    pub(super) dry_run: Option<bool>,
}

/// The expected body; `dry_run` is optional, and for commands on many deliveries.
const ASKED: &str = r#"a JSON object `{"actor": "…", "reason": "…"}`"#;

/// Maximum characters of an actor's name and of a reason, which are stored in each history.
const MAX_ACTOR_CHARS: usize = 200;
const MAX_REASON_CHARS: usize = 2_000;

impl Asked {
    /// Reads the body of a command.
    pub(super) async fn of(request: Request<Body>, bodies: &BodyReader) -> Result<Self, Refusal> {
        let body = request::body(request, &bodies.up_to(MAX_COMMAND_BYTES)).await?;
        let asked = Self::read(&body)?;
        check_actor(&asked.actor, &asked.reason)?;
        Ok(asked)
    }

    fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.iter().all(u8::is_ascii_whitespace) {
            let text = format!("the body is empty; send {ASKED}");
            return Err(refuse(StatusCode::BAD_REQUEST, "body.empty", &text));
        }
        let wrong = |why: String| bad_request(&format!("the body is not {ASKED}: {why}"));
        let value: Value =
            serde_json::from_slice(body).map_err(|err| wrong(json_words::explained(&err)))?;
        if !value.is_object() {
            return Err(wrong("it is JSON, but not an object".to_owned()));
        }
        Self::deserialize(value).map_err(|err| wrong(json_words::explained(&err)))
    }

    /// The message that sends the command to the delivery at `address`.
    pub(super) fn command(&self, verb: Verb, address: &AddressKey) -> Result<Incoming, Refusal> {
        let command = Command {
            verb,
            actor: self.actor.clone(),
            reason: self.reason.clone(),
        };
        let message = MessageBuilder::to(address.to_address()).value_as(&COMMAND, command);
        let message = message.map_err(|err| bad_request(&err.to_string()))?;
        Ok(Incoming {
            target: address.clone(),
            argument: message.typed().raw().clone(),
            key: None,
        })
    }
}

impl Admin {
    pub(super) async fn deliveries(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["state", "target", "reason", "type", "after", "limit"])?;
        let filter = KeptFilter {
            states: states(params)?,
            ..filter(params)?
        };
        let (after, limit) = (params.after(&filter.prefix())?, params.limit()?);
        let list = move |rows: &dyn Rows| kept::list(rows, &filter, after.as_deref(), limit, false);
        self.page(list, Item::summary).await
    }

    pub(super) async fn delivery(
        &self,
        params: &Params,
        address: AddressKey,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        match self.kept(address).await? {
            Some(item) => Ok(ok(&item.details())),
            None => Err(not_found()),
        }
    }

    pub(super) async fn kept(&self, address: AddressKey) -> Result<Option<Item>, Refusal> {
        self.read(move |rows| kept::get(rows, &address)).await
    }

    /// Sends a command to a delivery, and returns the result.
    pub(super) async fn act(
        &self,
        request: Request<Body>,
        params: &Params,
        address: AddressKey,
        verb: Verb,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let asked = Asked::of(request, &self.bodies).await?;
        if asked.dry_run.is_some() {
            let text = "`dry_run` is for many deliveries at a time: /api/dead-letters/redrive";
            return Err(bad_request(text));
        }
        // Only functions of stages accept commands.
        if self.kept(address.clone()).await?.is_none() {
            return match self.not_brought(address).await? {
                Some(record) => self.act_on_record(record, verb).await,
                None => Err(not_found()),
            };
        }
        let answer = self
            .runtime
            .call(asked.command(verb, &address)?, COMMAND_TIMEOUT)
            .await;
        let answer = answer.map_err(|refusal| Box::new(respond::refused(&refusal)))?;
        done(&address, answer)
    }
}

/// Refuses a command without an actor and a reason, and ones that are too long.
pub(super) fn check_actor(actor: &str, reason: &str) -> Result<(), Refusal> {
    for (name, text, max) in [
        ("actor", actor, MAX_ACTOR_CHARS),
        ("reason", reason, MAX_REASON_CHARS),
    ] {
        if text.trim().is_empty() {
            let text = format!("`{name}` is empty, but it is recorded in the history");
            return Err(bad_request(&text));
        }
        if text.chars().nth(max).is_some() {
            let text = format!("`{name}` is longer than {max} characters");
            return Err(bad_request(&text));
        }
    }
    Ok(())
}

/// The reply to a command, from the answer of the delivery.
pub(super) fn done(address: &AddressKey, answer: Bytes) -> Result<Reply, Refusal> {
    let reply = delivery_reply(address, answer)?;
    if reply.ok {
        return Ok(ok(&reply_json(address, &reply)));
    }
    let message = reply.message.unwrap_or_default();
    Err(match reply.code.as_deref() {
        Some("job.not_found") => not_found(),
        Some("job.bad_command") => bad_request(&message),
        _ => refuse(StatusCode::CONFLICT, "job.bad_state", &message),
    })
}

fn delivery_reply(address: &AddressKey, answer: Bytes) -> Result<DeliveryReply, Refusal> {
    let unreadable = |_| {
        let text = "the answer is not that of a delivery: the address belongs to another function";
        refuse(StatusCode::BAD_GATEWAY, "delivery.unreadable", text)
    };
    let typed = TypedBytes::parse(answer).map_err(|_| unreadable(()))?;
    Message::new(address.to_address(), typed)
        .require(&REPLY)
        .map_err(|_| unreadable(()))
}

fn reply_json(address: &AddressKey, reply: &DeliveryReply) -> Value {
    json!({
        "address": address.to_address().to_string(),
        "state": reply.state,
        "attempt": reply.attempt,
        "reason": reply.why,
    })
}

pub(super) fn not_found() -> Refusal {
    refuse(
        StatusCode::NOT_FOUND,
        "delivery.not_found",
        "no delivery is kept at this address",
    )
}

/// The part of a filter that deliveries and dead letters share.
pub(super) fn filter(params: &Params) -> Result<KeptFilter, Refusal> {
    Ok(KeptFilter {
        states: Vec::new(),
        target: params.get("target").map(target).transpose()?,
        reason: params.get("reason").map(reason).transpose()?,
        type_name: params.type_name("type")?,
        among: None,
    })
}

/// A target as deliveries name it: a function, or scheme, host and port.
fn target(text: &str) -> Result<String, Refusal> {
    let form = || {
        let form = "lists show targets as `http://127.0.0.1:9000`: scheme, host and port";
        bad_request(&format!("`target`: `{text}` is not a target; {form}"))
    };
    let Some((scheme @ ("http" | "https"), _)) = text.split_once("://") else {
        let is_other = text.contains("://") || text.parse::<TypeName>().is_ok();
        return is_other.then(|| text.to_owned()).ok_or_else(form);
    };
    let url: Uri = text.parse().map_err(|_| form())?;
    let authority = url.authority().ok_or_else(form)?;
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") if scheme == "http" => 80,
        Some("") => 443,
        _ => authority.port_u16().ok_or_else(form)?,
    };
    if url
        .path_and_query()
        .is_some_and(|rest| rest.as_str() != "/")
    {
        return Err(form());
    }
    Ok(format!("{scheme}://{}:{port}", authority.host()))
}

pub(super) fn reason(text: &str) -> Result<Reason, Refusal> {
    let text: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    Reason::deserialize(text).map_err(|err| {
        let told = json_words::plain(&err.to_string());
        bad_request(&format!("`reason`: {told}"))
    })
}

pub(super) fn states(params: &Params) -> Result<Vec<DeliveryState>, Refusal> {
    let known = [
        DeliveryState::Acknowledged,
        DeliveryState::Awaiting,
        DeliveryState::Executing,
        DeliveryState::Succeeded,
        DeliveryState::Discarded,
        DeliveryState::Cancelled,
    ];
    let parse = |text: &str| {
        known
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|state| state.as_str()).collect();
                bad_request(&format!("`state` is one of {}", names.join(", ")))
            })
    };
    params.all("state").map(parse).collect()
}
