//! Applies settings that have changed since the last start: each waiting delivery gets a message and computes its time again; each open
//! batch gets one, and is sent if it is already due. Batches whose stage is gone get a message about that.
//!
//! The applied settings are stored, so that a start with the same ones only reads one row.

use bytes::Bytes;

use super::kept::{HEAD, KeptFilter, list};
use super::page::{Page, Weigh, page};
use crate::delivery::engine::{DeliveryState, Policy};
use crate::delivery::owner::RULES;
use crate::pipeline::Destinations;
use crate::runtime::core::AddressKey;
use crate::runtime::core::keys::{SPECS, STATE, type_prefix};
use crate::runtime::handle::RuntimeHandle;
use crate::runtime::intake::Incoming;
use crate::sdk::{Address, BoxError, MessageBuilder, TypeName};

/// Deliveries notified at a time.
const CHUNK: usize = 500;

/// Notifies the waiting deliveries of `function` unless `policy` is known to be that of the last start. `version` is that of the pipeline, if deliveries
/// of another one do not stay.
pub(crate) async fn rearm(
    runtime: RuntimeHandle,
    function: TypeName,
    policy: Policy,
    version: String,
) {
    if let Err(error) = told(&runtime, &function, &policy, &version).await {
        tracing::warn!(%function, error, "a changed policy could not be applied to waiting deliveries; the next start tries again");
    }
}

async fn told(
    runtime: &RuntimeHandle,
    function: &TypeName,
    policy: &Policy,
    version: &str,
) -> Result<(), BoxError> {
    let mut rules = serde_json::to_vec(policy)?;
    rules.extend_from_slice(version.as_bytes());
    let rules = Bytes::from(rules);
    let note = policy_note(function);
    let known = runtime.noted(&note).await?;
    if known.as_ref() == Some(&rules) {
        return Ok(());
    }
    // Also without a note: an earlier version stores none, and a run that is killed at once may have had no time for it.
    tell_all(runtime, function).await?;
    runtime.note(&note, rules);
    Ok(())
}

/// Notifies the waiting deliveries of `function` that its settings have changed.
async fn tell_all(runtime: &RuntimeHandle, function: &TypeName) -> Result<(), BoxError> {
    let mut after = None;
    loop {
        let page = waiting(runtime, function, after).await?;
        for item in page.items {
            match item {
                Ok(item) => tell(runtime, &item.address.to_address()).await?,
                Err(damaged) => {
                    tracing::warn!(%function, %damaged, "changed settings could not be applied to a waiting delivery");
                }
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Notifies the open batches and the waiting deliveries of `function` if `settings` have changed since the last
/// start, or if the stage was gone then.
pub(crate) async fn regather(runtime: RuntimeHandle, function: TypeName, settings: String) {
    let told = async {
        let (note, settings) = (batch_note(&function), Bytes::from(settings));
        if runtime.noted(&note).await?.as_ref() != Some(&settings) {
            tell_batches(&runtime, &function).await?;
            tell_all(&runtime, &function).await?;
            runtime.note(&note, settings);
        }
        Ok::<(), BoxError>(())
    };
    if let Err(error) = told.await {
        tracing::warn!(%function, error, "changed settings could not be applied to open batches; the next start tries again");
    }
}

/// Warns if `function`, a stage that is not a batch, has an open batch from the time when it was one: the stage cannot read it.
pub(crate) async fn warn_of_open_batch(runtime: RuntimeHandle, function: TypeName) {
    let open = async {
        let mut after = None;
        while declares(&runtime, &function, FILLING).await? {
            let found = open_batches(&runtime, &function, after, CHUNK).await?;
            after = found.next;
            let open = found.items.into_iter().flatten().next();
            if open.is_some() || after.is_none() {
                return Ok(open);
            }
        }
        Ok::<_, BoxError>(None)
    };
    match open.await {
        Ok(None) => {}
        Ok(Some(Filling(address))) => {
            let address = address.to_address();
            tracing::warn!(%address, "an open batch waits from the time when this stage was a batch; give this stage another name, and its records are listed, or make it a batch again");
        }
        Err(error) => {
            tracing::warn!(%function, error, "cannot find out whether the stage has an open batch")
        }
    }
}

/// Handles the data of stages that are gone: the records of their batches are kept one by one, so that they can be listed, cancelled, discarded and
/// exported. All of them are notified when their stage is back.
pub(crate) async fn unpack(runtime: RuntimeHandle, destinations: Destinations) {
    let all = runtime.gone();
    let gone = all.iter().filter(|gone| gone.kind == "function");
    for function in gone.map(|gone| gone.name.clone()).collect::<Vec<_>>() {
        let told = async {
            // Its data is notified when it is back, whatever its settings are then.
            if declares(&runtime, &function, HEAD).await? {
                runtime.note(&policy_note(&function), GONE);
                if destinations.moves_from(&function) {
                    tell_all(&runtime, &function).await?;
                }
            }
            if declares(&runtime, &function, FILLING).await? {
                runtime.note(&batch_note(&function), GONE);
                tell_batches(&runtime, &function).await?;
            }
            Ok::<(), BoxError>(())
        };
        if let Err(error) = told.await {
            tracing::warn!(%function, error, "the records in batches of a stage that is gone cannot be listed; the next start tries again");
        }
    }
}

/// The note stored instead of settings.
const GONE: Bytes = Bytes::from_static(b"gone");

fn policy_note(function: &TypeName) -> String {
    format!("policy {function}")
}

fn batch_note(function: &TypeName) -> String {
    format!("batch {function}")
}

/// The value of an open batch.
const FILLING: &str = "filling";

async fn declares(
    runtime: &RuntimeHandle,
    function: &TypeName,
    value: &str,
) -> Result<bool, BoxError> {
    let prefix = type_prefix(function.namespace(), function.name());
    let declared = [&prefix, value.as_bytes()].concat();
    let read = runtime.read(move |rows| rows.get(SPECS, &declared));
    Ok(read.await?.is_some())
}

async fn tell_batches(runtime: &RuntimeHandle, function: &TypeName) -> Result<(), BoxError> {
    let mut after = None;
    loop {
        let found = open_batches(runtime, function, after, CHUNK).await?;
        for Filling(address) in found.items.into_iter().flatten() {
            tell(runtime, &address.to_address()).await?;
        }
        after = found.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// A page of at most `limit` open batches of `function`.
async fn open_batches(
    runtime: &RuntimeHandle,
    function: &TypeName,
    after: Option<Bytes>,
    limit: usize,
) -> Result<Page<Filling>, BoxError> {
    let prefix = type_prefix(function.namespace(), function.name());
    let found = runtime.read(move |rows| {
        page(rows, STATE, &prefix, after.as_deref(), limit, |key, _| {
            let split = AddressKey::split(key);
            let filling = split.filter(|(_, name)| name == FILLING.as_bytes());
            Ok(filling.map(|(address, _)| Filling(address)))
        })
    });
    Ok(found.await?)
}

/// The address of an open batch.
struct Filling(AddressKey);

impl Weigh for Filling {
    fn weight(&self) -> usize {
        self.0.id().len() + 100
    }
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
    let message = MessageBuilder::to(to.clone()).value_as(&RULES, Bytes::new())?;
    let incoming = Incoming {
        target: AddressKey::from(to),
        argument: message.typed().raw().clone(),
        key: None,
    };
    Ok(runtime.send(incoming).await?)
}
