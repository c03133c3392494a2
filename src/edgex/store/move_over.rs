//! Moves what waits between the store of the SDK and the data of a service here.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::configuration::Configuration;
use super::{Found, ObjectStore, StoreError, StoredObject, version};
use crate::admin::hand_out::{self, HandedOut};
use crate::pipeline::{DEFAULT_PIPELINE, Pipeline, Record};
use crate::runtime::handle::RuntimeHandle;
use crate::runtime::{Runtime, RuntimeBuilder};
use crate::sdk::BoxError;
use crate::time::Timestamp;

/// Objects read or written at a time.
const CHUNK: u32 = 200;

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MovedObjects {
    /// How many were moved.
    pub moved: u64,
    /// Those that could not be, which stay where they were.
    pub left: Vec<Left>,
}

/// An object that stays where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// Its id in the store, or its address here.
    pub id: String,
    /// Why.
    pub why: String,
}

/// Takes over what a service on the SDK left waiting: each object waits here at the function at which it stood, with its values, its correlation id
/// and its failed attempts. It is removed from the store once it is on disk here. Taking over again after a crash is harmless: an object that already waits here
/// stays as it is.
///
/// `builder` says where the data is. The runtime is started at rest: nothing is sent.
///
/// # Errors
/// If the store or the data cannot be read or written. What was moved until then stays moved.
pub async fn import_stored(
    builder: RuntimeBuilder,
    configuration: &Configuration,
    store: &mut ObjectStore,
) -> Result<MovedObjects, StoreError> {
    let pipelines = pipelines(configuration)?;
    let runtime = at_rest(builder, &pipelines).await?;
    let imported = import(&runtime.handle(), &pipelines, store).await;
    runtime.shutdown().await;
    imported
}

/// Gives what waits here back to the store of a service on the SDK: records that could not be sent, with their failed attempts, at the function at which they
/// wait. Each is removed here once it is in the store. Dead letters stay.
///
/// `builder` says where the data is. The runtime is started at rest: nothing is sent.
///
/// # Errors
/// If the store or the data cannot be read or written. What was moved until then stays moved.
pub async fn export_stored(
    builder: RuntimeBuilder,
    configuration: &Configuration,
    store: &mut ObjectStore,
) -> Result<MovedObjects, StoreError> {
    let pipelines = pipelines(configuration)?;
    let runtime = at_rest(builder, &pipelines).await?;
    let exported = export(&runtime.handle(), &pipelines, store).await;
    runtime.shutdown().await;
    exported
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Runtime(error.to_string())
}

/// The pipelines of the service, by EdgeX's ids.
fn pipelines(configuration: &Configuration) -> Result<BTreeMap<String, Pipeline>, StoreError> {
    let all = configuration.pipelines.iter().map(|config| {
        let built = Pipeline::declared(config.clone()).build();
        Ok((config.name().to_owned(), built.map_err(failed)?))
    });
    all.collect()
}

async fn at_rest(
    builder: RuntimeBuilder,
    pipelines: &BTreeMap<String, Pipeline>,
) -> Result<Runtime, StoreError> {
    let mut builder = builder.at_rest();
    for pipeline in pipelines.values() {
        builder = builder.pipeline(pipeline).map_err(failed)?;
    }
    builder.start().await.map_err(failed)
}

fn version_note(pipeline: &str) -> String {
    format!("edgex version {pipeline}")
}

async fn import(
    runtime: &RuntimeHandle,
    pipelines: &BTreeMap<String, Pipeline>,
    store: &ObjectStore,
) -> Result<MovedObjects, StoreError> {
    let (mut imported, mut after) = (MovedObjects::default(), None);
    loop {
        let page = store.page(after.as_deref(), CHUNK).await?;
        let Some(last) = page.last() else {
            return Ok(imported);
        };
        after = Some(last.place.clone());
        let mut taken = Vec::new();
        for found in page {
            let id = found.id;
            match take(runtime, pipelines, found).await? {
                Ok(()) => taken.push(id),
                Err(why) => imported.left.push(Left {
                    id: id.to_string(),
                    why,
                }),
            }
        }
        // All are on disk here.
        store.remove(&taken).await?;
        imported.moved += taken.len() as u64;
    }
}

/// Hands an object to its function. The inner error says why it stays in the store.
async fn take(
    runtime: &RuntimeHandle,
    pipelines: &BTreeMap<String, Pipeline>,
    found: Found,
) -> Result<Result<(), String>, StoreError> {
    let object = match found.object {
        Ok(object) => object,
        Err(why) => return Ok(Err(format!("cannot be read: {why}"))),
    };
    if let Err(invalid) = object.check() {
        return Ok(Err(invalid.to_string()));
    }
    let name = match object.pipeline_id.as_str() {
        "" => DEFAULT_PIPELINE.to_owned(),
        name => name.to_owned(),
    };
    let Some(pipeline) = pipelines.get(&name) else {
        return Ok(Err(format!("the service has no pipeline `{name}`")));
    };
    let version = object.version.clone();
    let message = match waiting(pipeline, found.id, found.since, object, runtime.now()) {
        Ok(message) => message,
        Err(why) => return Ok(Err(why.to_string())),
    };
    runtime.note(&version_note(&name), version.into());
    runtime.hand_over(&message).await.map_err(failed)?;
    Ok(Ok(()))
}

/// The message by which the function keeps the object.
fn waiting(
    pipeline: &Pipeline,
    id: Uuid,
    since: Option<Timestamp>,
    object: StoredObject,
    now: Timestamp,
) -> Result<crate::sdk::Message, BoxError> {
    let position = usize::try_from(object.pipeline_position)?;
    let mut record = Record::new(object.payload)
        .with_id(id)
        .with_correlation_id(object.correlation_id);
    for (key, value) in object.context_data {
        record = record.with_value(&key, value);
    }
    record.set_received_at(now);
    let failures = u32::try_from(object.retry_count)?.saturating_add(1);
    let since = since.unwrap_or(now).min(now);
    // The first stage decodes; EdgeX does not count that.
    pipeline.waiting_at(position + 1, record, failures, since)
}

async fn export(
    runtime: &RuntimeHandle,
    pipelines: &BTreeMap<String, Pipeline>,
    store: &mut ObjectStore,
) -> Result<MovedObjects, StoreError> {
    let mut exported = MovedObjects::default();
    for (name, pipeline) in pipelines {
        let noted = runtime.noted(&version_note(name)).await.map_err(failed)?;
        let noted = noted.and_then(|noted| String::from_utf8(noted.to_vec()).ok());
        let version = match noted {
            Some(version) => Ok(version),
            None => version::of(pipeline.edgex_functions()),
        };
        for (position, keeper) in pipeline.keepers().enumerate().skip(1) {
            let mut after = None;
            loop {
                let page = hand_out::page(runtime, keeper, after)
                    .await
                    .map_err(failed)?;
                let (mut objects, mut addresses) = (Vec::new(), Vec::new());
                for item in page.items {
                    let object = version.clone().and_then(|version| {
                        let place = (name.as_str(), position - 1);
                        object(&store.service_key, place, version, &item)
                    });
                    match object {
                        Ok(object) => {
                            objects.push(object);
                            addresses.push(item.address);
                        }
                        Err(why) => exported.left.push(Left {
                            id: item.address.to_address().to_string(),
                            why,
                        }),
                    }
                }
                for damaged in page.damaged {
                    exported.left.push(Left {
                        id: keeper.to_string(),
                        why: damaged,
                    });
                }
                if !objects.is_empty() {
                    store.store(&objects).await?;
                    hand_out::remove(runtime, &addresses)
                        .await
                        .map_err(failed)?;
                    exported.moved += objects.len() as u64;
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
    }
    Ok(exported)
}

/// What the SDK stores of a waiting record.
fn object(
    service_key: &str,
    (pipeline, position): (&str, usize),
    version: String,
    item: &HandedOut,
) -> Result<StoredObject, String> {
    let record = item.record.as_ref().ok_or("its record cannot be read")?;
    let mut object = StoredObject {
        id: item.id.clone(),
        app_service_key: service_key.to_owned(),
        payload: record.payload(),
        retry_count: i64::from(item.attempts.saturating_sub(1)),
        pipeline_id: pipeline.to_owned(),
        version,
        correlation_id: record.correlation_id().to_owned(),
        ..StoredObject::default()
    };
    object.pipeline_position = i64::try_from(position).map_err(|err| err.to_string())?;
    let values = record.values().iter();
    object.context_data = values
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    object.check().map_err(|invalid| invalid.to_string())?;
    Ok(object)
}
