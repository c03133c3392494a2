//! A delivery in the state of its address.

use bytes::Bytes;

use super::super::engine::DeliveryState;
use super::item::{HEAD, Item, JOB, LOG};
use super::row::{Row, Stored};
use super::target::Target;
use crate::sdk::{BoxError, Context};

/// Larger units are stored separately from their item, so that they are not written again with each attempt.
const MAX_INLINE_UNIT_BYTES: usize = 8 * 1024;

/// A loaded item.
pub(super) struct Kept {
    pub(super) item: Item,
    /// The stored unit; `None` if it is stored separately.
    pub(super) unit: Option<Bytes>,
    /// Whether it was stored by an earlier version.
    is_old: bool,
    /// Its last transition when it was loaded; `None` if it is new.
    pub(super) before: Option<u64>,
    /// The attempts that had been made when it was loaded.
    pub(super) attempts_before: u32,
}

impl Kept {
    pub(super) const fn new(item: Item) -> Self {
        Self {
            item,
            unit: None,
            is_old: false,
            before: None,
            attempts_before: 0,
        }
    }

    pub(super) fn with_unit(self, unit: Option<Bytes>) -> Self {
        Self { unit, ..self }
    }

    pub(super) fn load(context: &mut Context) -> Result<Option<Self>, BoxError> {
        let storage = context.storage();
        Ok(match storage.get(&HEAD)? {
            None => None,
            Some(Row::Stored(stored)) => Some(Self {
                before: Some(stored.item.delivery.seq),
                attempts_before: stored.item.delivery.attempt,
                unit: stored.unit,
                ..Self::new(stored.item)
            }),
            Some(Row::Old(old)) => {
                let item = old.into_item(storage.get(&LOG)?.unwrap_or_default());
                Some(Self {
                    before: Some(item.delivery.seq),
                    attempts_before: item.delivery.attempt,
                    is_old: true,
                    ..Self::new(item)
                })
            }
        })
    }

    pub(super) fn unit<T: Target>(
        &self,
        context: &mut Context,
        target: &T,
    ) -> Result<T::Unit, BoxError> {
        let unit = self.unit_bytes(context)?;
        target.decode(&unit.ok_or("the unit is not there")?)
    }

    /// The stored form of the unit.
    pub(super) fn unit_bytes(&self, context: &mut Context) -> Result<Option<Bytes>, BoxError> {
        match &self.unit {
            Some(unit) => Ok(Some(unit.clone())),
            None => Ok(context.storage().get(&JOB)?),
        }
    }

    /// Writes the delivery; a successful one is removed, unless its target `keeps_ended` ones.
    pub(super) fn save(mut self, context: &mut Context, keeps_ended: bool) -> Result<(), BoxError> {
        if self.item.delivery.state == Some(DeliveryState::Succeeded) && !keeps_ended {
            return erase(context);
        }
        let storage = context.storage();
        if let Some(unit) = self.unit.take_if(|unit| unit.len() > MAX_INLINE_UNIT_BYTES) {
            self.item.unit_bytes = unit.len() as u64;
            storage.set(&JOB, unit)?;
        }
        if self.is_old {
            storage.remove(&LOG)?;
        }
        let stored = Stored::new(self.item, self.unit);
        Ok(storage.set(&HEAD, Row::Stored(Box::new(stored)))?)
    }
}

/// Removes the delivery at this address.
pub(super) fn erase(context: &mut Context) -> Result<(), BoxError> {
    let storage = context.storage();
    if storage.get(&HEAD)?.is_some() {
        storage.remove(&HEAD)?;
    }
    if storage.get(&LOG)?.is_some() {
        storage.remove(&LOG)?;
    }
    if storage.get(&JOB)?.is_some() {
        storage.remove(&JOB)?;
    }
    Ok(())
}

pub(super) fn is_taken(context: &mut Context) -> Result<bool, BoxError> {
    let is_taken = context.storage().get(&HEAD)?.is_some();
    if is_taken {
        tracing::debug!(address = %context.address(), "the delivery exists already; ignored");
    }
    Ok(is_taken)
}
