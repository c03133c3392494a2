//! `/api/deliveries`: what is on its way to destinations.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use serde::Deserialize;
use serde_json::{Value, json};

use super::kept::{self, Item, KeptFilter};
use super::params::{Params, page_json};
use super::{Admin, Reply, bad_request, ok};
use crate::delivery::engine::State;
use crate::delivery::{COMMAND, Command, REPLY, Reply as DeliveryReply, Verb};
use crate::runtime::core::AddressKey;
use crate::runtime::intake::Incoming;
use crate::runtime::request;
use crate::runtime::respond::{self, Refusal, refuse};
use crate::sdk::{Message, MessageBuilder, TypedBytes};
use crate::storage::Rows;

/// A command waits for the call of its address, and a retry for its attempt.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_COMMAND_BYTES: usize = 64 * 1024;

/// Who asks for something, and why.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Asked {
    actor: String,
    reason: String,
    #[serde(default)]
    pub(super) dry_run: bool,
}

impl Asked {
    /// Reads the body of a request that asks for something.
    pub(super) async fn of(request: Request<Body>) -> Result<Self, Refusal> {
        let body = request::body(request, MAX_COMMAND_BYTES).await?;
        let asked: Self = serde_json::from_slice(&body).map_err(|err| {
            bad_request(&format!(
                "the body is to be {{\"actor\", \"reason\"}}: {err}"
            ))
        })?;
        match (asked.actor.trim(), asked.reason.trim()) {
            ("", _) => Err(bad_request("`actor` is empty: it stands in the history")),
            (_, "") => Err(bad_request("`reason` is empty: it stands in the history")),
            _ => Ok(asked),
        }
    }

    /// The message that has the delivery at `address` do it.
    pub(super) fn command(&self, verb: Verb, address: &AddressKey) -> Result<Incoming, Refusal> {
        let command = Command {
            verb,
            actor: self.actor.clone(),
            reason: self.reason.clone(),
        };
        let message = MessageBuilder::to(address.to_address()).value_as(&COMMAND, &command);
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
        let (after, limit) = (params.after()?, params.limit()?);
        let list = move |rows: &dyn Rows| kept::list(rows, &filter, after.as_deref(), limit, false);
        let page = self.read(list).await?;
        Ok(ok(&page_json(&page, Item::summary)))
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

    /// Has a delivery do what somebody asks for, and tells what became of it.
    pub(super) async fn act(
        &self,
        request: Request<Body>,
        params: &Params,
        address: AddressKey,
        verb: Verb,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let asked = Asked::of(request).await?;
        // Only stages know what a command is.
        if self.kept(address.clone()).await?.is_none() {
            return Err(not_found());
        }
        let answer = self
            .runtime
            .call(asked.command(verb, &address)?, COMMAND_TIMEOUT)
            .await;
        let answer = answer.map_err(|refusal| Box::new(respond::refused(&refusal)))?;
        let reply = delivery_reply(&address, answer)?;
        if reply.ok {
            return Ok(ok(&reply_json(&address, &reply)));
        }
        let message = reply.message.unwrap_or_default();
        Err(match reply.code.as_deref() {
            Some("job.not_found") => not_found(),
            Some("job.bad_command") => bad_request(&message),
            _ => refuse(StatusCode::CONFLICT, "job.bad_state", &message),
        })
    }
}

fn delivery_reply(address: &AddressKey, answer: Bytes) -> Result<DeliveryReply, Refusal> {
    let unreadable = |_| {
        let text = "what answered is no delivery";
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

fn not_found() -> Refusal {
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
        target: params.get("target").map(str::to_owned),
        reason: params.get("reason").map(str::to_owned),
        type_name: params.type_name("type")?,
    })
}

fn states(params: &Params) -> Result<Vec<State>, Refusal> {
    let known = [
        State::Acknowledged,
        State::Awaiting,
        State::Executing,
        State::Discarded,
        State::Cancelled,
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
