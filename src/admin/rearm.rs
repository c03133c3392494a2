//! A policy that has changed since the last start reaches what waits: each waiting delivery is told, and computes its time anew.
//!
//! The policy that all of them know is noted, so that a start with the same one reads a row and nothing else.

use bytes::Bytes;

use super::kept::{KeptFilter, list};
use super::page::Page;
use crate::delivery::engine::{DeliveryState, Policy};
use crate::delivery::owner::RULES;
use crate::runtime::core::AddressKey;
use crate::runtime::handle::RuntimeHandle;
use crate::runtime::intake::Incoming;
use crate::sdk::{Address, BoxError, MessageBuilder, TypeName};

/// Deliveries that are told at a time.
const CHUNK: usize = 500;

/// Tells what waits at the addresses of `function` when `policy` is another one than at the last start.
pub(crate) async fn rearm(runtime: RuntimeHandle, function: TypeName, policy: Policy) {
    if let Err(error) = told(&runtime, &function, &policy).await {
        tracing::warn!(%function, error, "what waits was not told that its policy has changed; the next start tries again");
    }
}

async fn told(
    runtime: &RuntimeHandle,
    function: &TypeName,
    policy: &Policy,
) -> Result<(), BoxError> {
    let rules = Bytes::from(serde_json::to_vec(policy)?);
    let note = format!("policy {function}");
    let known = runtime.noted(&note).await?;
    if known.as_ref() == Some(&rules) {
        return Ok(());
    }
    let mut after = None;
    // What an earlier version kept waits by the policy of that time, which nobody wrote down.
    let mut is_done = known.is_none();
    while !is_done {
        let page = waiting(runtime, function, after).await?;
        for item in page.items {
            match item {
                Ok(item) => tell(runtime, &item.address.to_address()).await?,
                Err(damaged) => {
                    tracing::warn!(%function, %damaged, "one that waits was not told that its policy has changed");
                }
            }
        }
        after = page.next;
        is_done = after.is_none();
    }
    runtime.note(&note, rules);
    Ok(())
}

async fn waiting(
    runtime: &RuntimeHandle,
    function: &TypeName,
    after: Option<Bytes>,
) -> Result<Page<super::kept::Item>, BoxError> {
    let filter = KeptFilter {
        states: vec![DeliveryState::Awaiting],
        type_name: Some(function.clone()),
        ..KeptFilter::default()
    };
    let page = runtime.read(move |rows| list(rows, &filter, after.as_deref(), CHUNK, false));
    Ok(page.await?)
}

async fn tell(runtime: &RuntimeHandle, to: &Address) -> Result<(), BoxError> {
    let message = MessageBuilder::to(to.clone()).value_as(&RULES, &Bytes::new())?;
    let incoming = Incoming {
        target: AddressKey::from(to),
        argument: message.typed().raw().clone(),
        key: None,
    };
    Ok(runtime.send(incoming).await?)
}
