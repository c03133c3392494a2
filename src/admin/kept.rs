//! The stored deliveries and dead letters of pipeline stages.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::damaged::Damaged;
use super::page::{Page, Weigh, page};
use crate::delivery::engine::{DeliveryState, Reason};
use crate::delivery::owner::Outline;
use crate::pipeline::Kept;
use crate::protocol::reqreply::TypedValue;
use crate::runtime::core::AddressKey;
use crate::runtime::core::keys::{SPECS, STATE, after_prefix, take_text, type_prefix};
use crate::runtime::core::state::{StateRow, StateSpec};
use crate::sdk::TypeName;
use crate::storage::{Rows, StorageError};

/// The state in which stages store deliveries, and its typename, which distinguishes it from others with the same name.
pub(super) const HEAD: &str = Kept::VALUES[0];
const LOG: &str = Kept::VALUES[1];
const JOB: &str = Kept::VALUES[2];
const HEAD_TYPE: &str = "statefun.pipelines/head";

/// A filter of deliveries.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptFilter {
    /// Any of these states; empty for all.
    pub(super) states: Vec<DeliveryState>,
    pub(super) target: Option<String>,
    pub(super) reason: Option<Reason>,
    pub(super) type_name: Option<TypeName>,
    /// Only those of these functions, as key prefixes.
    pub(super) among: Option<Arc<[Bytes]>>,
}

/// A delivery and its address.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) address: AddressKey,
    kept: Kept,
}

/// A page of the deliveries that match `filter`. With `full` their bytes are read, too.
pub(super) fn list(
    rows: &dyn Rows,
    filter: &KeptFilter,
    after: Option<&[u8]>,
    limit: usize,
    full: bool,
) -> Result<Page<Item>, StorageError> {
    let mut items = Vec::new();
    for stage in stages(rows, filter.type_name.as_ref())? {
        let prefix = match stage {
            Ok(prefix) => prefix,
            // Shown once, on the first page.
            Err(damaged) => {
                items.extend(after.is_none().then_some(Err(damaged)));
                continue;
            }
        };
        if filter
            .among
            .as_ref()
            .is_some_and(|among| !among.contains(&prefix))
        {
            continue;
        }
        let is_behind = |after: &[u8]| after_prefix(&prefix).is_some_and(|end| after >= &end[..]);
        if after.is_some_and(is_behind) {
            continue;
        }
        let from = after.filter(|after| after.starts_with(&prefix));
        let page = page(
            rows,
            STATE,
            &prefix,
            from,
            limit.saturating_sub(items.len()),
            |key, row| {
                let item = match AddressKey::split(key) {
                    Some((address, name)) if name == HEAD.as_bytes() => {
                        read(rows, address, &row?, full)?
                    }
                    _ => None,
                };
                Ok(item.filter(|item| filter.wants(&item.kept)))
            },
        )?;
        items.extend(page.items);
        if page.next.is_some() {
            return Ok(Page {
                items,
                next: page.next,
            });
        }
    }
    Ok(Page { items, next: None })
}

/// The delivery at `address`, with its bytes.
pub(super) fn get(rows: &dyn Rows, address: &AddressKey) -> Result<Option<Item>, StorageError> {
    match rows.get(STATE, &address.row(HEAD.as_bytes()))? {
        Some(row) => read(rows, address.clone(), &row, true),
        None => Ok(None),
    }
}

/// The function types that have stored deliveries, in this run or an earlier one, as key prefixes in order.
pub(super) fn stages(
    rows: &dyn Rows,
    only: Option<&TypeName>,
) -> Result<Vec<Result<Bytes, Damaged>>, StorageError> {
    let only = only.map(|name| type_prefix(name.namespace(), name.name()));
    let (mut stages, mut after) = (Vec::new(), None::<Bytes>);
    loop {
        let found = page(
            rows,
            SPECS,
            only.as_deref().unwrap_or_default(),
            after.as_deref(),
            500,
            stage_of,
        )?;
        stages.extend(found.items);
        after = found.next;
        if after.is_none() {
            return Ok(stages);
        }
    }
}

/// The prefix of a declaration's key, if it declares the deliveries of a stage.
fn stage_of(key: &Bytes, row: Result<Bytes, StorageError>) -> Result<Option<Bytes>, StorageError> {
    let senseless = || StorageError::senseless(SPECS, key);
    let mut name = &key[..];
    if take_text(&mut name).and(take_text(&mut name)).is_none() {
        return Err(senseless());
    }
    if name != HEAD.as_bytes() {
        return Ok(None);
    }
    let spec = StateSpec::decode(HEAD, &row?).ok_or_else(senseless)?;
    let front = key.slice(..key.len() - name.len());
    Ok((spec.typename == HEAD_TYPE).then_some(front))
}

/// Reads the delivery from the values of an address; `None` if they are something else.
fn read(
    rows: &dyn Rows,
    address: AddressKey,
    head: &Bytes,
    full: bool,
) -> Result<Option<Item>, StorageError> {
    let key = |name: &str| address.row(name.as_bytes());
    let value = |name: &str| -> Result<Option<Bytes>, StorageError> {
        let row = rows.get(STATE, &key(name))?;
        let typed = row.map(|row| typed(&key(name), &row)).transpose()?;
        Ok(typed.map(|typed| typed.value))
    };
    let head = typed(&key(HEAD), head)?;
    if head.typename != HEAD_TYPE {
        return Ok(None);
    }
    let log = if Kept::is_old(&head.value) {
        value(LOG)?
    } else {
        None
    };
    let job = if full { value(JOB)? } else { None };
    let kept = Kept::read(&head.value, log.as_deref(), job.as_deref());
    let kept = kept.map_err(|_| StorageError::senseless(STATE, &key(HEAD)))?;
    Ok(Some(Item { address, kept }))
}

/// The value in a stored row.
fn typed(key: &[u8], row: &Bytes) -> Result<TypedValue, StorageError> {
    let row = StateRow::decode(row);
    let typed = row.and_then(|row| TypedValue::decode(row.value).ok());
    typed.ok_or_else(|| StorageError::senseless(STATE, key))
}

/// The counted parts of a delivery; `None` if the row is something else.
pub(super) fn outline(row: &Bytes) -> Option<Outline> {
    let typed = TypedValue::decode(StateRow::decode(row)?.value).ok()?;
    let is_kept = typed.has_value && typed.typename == HEAD_TYPE;
    is_kept.then(|| Outline::decode(&typed.value).ok())?
}

impl Weigh for Item {
    fn weight(&self) -> usize {
        let record = self.kept.record();
        record.map_or(0, |record| record.payload().len()) + 1024
    }
}

/// A key prefix; there are as many as stages.
impl Weigh for Bytes {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl KeptFilter {
    /// The key prefix of these deliveries.
    pub(super) fn prefix(&self) -> Bytes {
        let name = self.type_name.as_ref();
        name.map_or(Bytes::new(), |name| {
            type_prefix(name.namespace(), name.name())
        })
    }

    fn wants(&self, kept: &Kept) -> bool {
        let delivery = kept.delivery();
        let state = delivery
            .state
            .is_some_and(|state| self.states.contains(&state));
        let target = self
            .target
            .as_ref()
            .is_none_or(|target| *target == delivery.target);
        let reason = self.reason.is_none() || self.reason == delivery.reason;
        (self.states.is_empty() || state) && target && reason
    }
}

impl Item {
    pub(super) const fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(super) fn is_dead_letter(&self) -> bool {
        self.kept.delivery().state == Some(DeliveryState::Discarded)
    }

    /// One line of a list.
    pub(super) fn summary(&self) -> Value {
        self.addressed(self.kept.summary())
    }

    /// Everything except the bytes.
    pub(super) fn details(&self) -> Value {
        self.addressed(self.kept.details())
    }

    /// Everything, with the bytes as `base64` if they can be read.
    pub(super) fn with_bytes(&self) -> Value {
        let mut details = self.details();
        let record = self.kept.record();
        if let (Some(record), Some(fields)) = (record, details.as_object_mut()) {
            fields.insert(
                "base64".to_owned(),
                STANDARD.encode(record.payload()).into(),
            );
        }
        details
    }

    fn addressed(&self, value: Value) -> Value {
        let mut fields = Map::new();
        let address = self.address.to_address().to_string();
        fields.insert("address".to_owned(), json!(address));
        if let Value::Object(others) = value {
            fields.extend(others);
        }
        Value::Object(fields)
    }
}
