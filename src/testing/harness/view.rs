//! What a test sees: records of egresses, and the states of addresses, which it can also set.

use super::{Harness, HarnessError};
use crate::runtime::core::keys::{STATE, after_prefix, egress_prefix, type_prefix};
use crate::runtime::core::{AddressKey, AdminChange, Input};
use crate::sdk::{Address, EgressMessage, SdkError, Type, TypeName, TypedBytes, ValueSpec};
use crate::storage::Rows as _;

impl Harness {
    /// The records sent to `egress` so far, in the order in which the batches were applied.
    pub fn egress(&self, egress: &TypeName) -> &[EgressMessage] {
        let key = egress_prefix(egress.namespace(), egress.name());
        self.egress.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The records sent to `egress` so far, as values of type `ty`.
    ///
    /// # Errors
    /// If one has another type. Records without a value are skipped.
    pub fn egress_values<T>(&self, egress: &TypeName, ty: &Type<T>) -> Result<Vec<T>, SdkError> {
        let sent = self.egress(egress).iter();
        sent.filter_map(|message| message.get(ty).transpose())
            .collect()
    }

    /// The value `spec` of the function at `address`, as its next call would see it.
    ///
    /// # Errors
    /// If the stored value has another type.
    pub fn state<T>(&self, address: &Address, spec: &ValueSpec<T>) -> Result<Option<T>, SdkError> {
        let stored = self
            .core
            .state(&AddressKey::from(address), spec.name(), self.now());
        let Some(value) = stored.expect("rows in memory can be read") else {
            return Ok(None);
        };
        let typed = TypedBytes::parse(value).expect("stored values are `TypedValue`s");
        let what = || format!("value `{}` of {address}", spec.name());
        spec.value_type().read(&typed, what)
    }

    /// The addresses at which `function` keeps a value called `value`, in the order of their ids.
    pub fn addresses(&self, function: &TypeName, value: &str) -> Vec<Address> {
        let prefix = type_prefix(function.namespace(), function.name());
        let end = after_prefix(&prefix);
        let rows = self.store.scan(STATE, &prefix, end.as_deref(), usize::MAX);
        let rows = rows.expect("rows in memory can be read").into_iter();
        let named = rows.filter_map(|(key, _)| {
            let (address, name) = AddressKey::split(&key)?;
            (name == value.as_bytes()).then(|| address.to_address())
        });
        named.collect()
    }

    /// Sets the value `spec` of the function at `address`; `None` removes it. If a call is in progress, the change waits for its end.
    ///
    /// # Errors
    /// If the value's type refuses it, or the function declared the value with another type.
    pub fn set_state<T>(
        &mut self,
        address: &Address,
        spec: &ValueSpec<T>,
        value: Option<&T>,
    ) -> Result<(), HarnessError> {
        let value = match value.map(|value| spec.value_type().typed(value)) {
            None => None,
            Some(Ok(typed)) => Some(typed.raw().clone()),
            Some(Err(error)) => {
                let reason = error.to_string();
                return Err(HarnessError::Refused { reason });
            }
        };
        let change = AdminChange::SetState {
            address: AddressKey::from(address),
            name: spec.name().to_owned(),
            value,
        };
        let known = self.warnings.len();
        self.step(Input::Change(0, change));
        match self.warnings.split_off(known).pop() {
            Some(reason) => Err(HarnessError::Refused { reason }),
            None => Ok(()),
        }
    }
}
