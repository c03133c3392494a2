//! Stored values of functions, for the admin API and for the folder of a stopped runtime.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use super::page::{Page, Weigh, page};
use crate::protocol::reqreply::TypedValue;
use crate::runtime::core::AddressKey;
use crate::runtime::core::keys::{SPECS, STATE, type_prefix};
use crate::runtime::core::state::{StateRow, StateSpec, TimeToLive};
use crate::runtime::values;
use crate::sdk::TypeName;
use crate::storage::{Rows, StorageError};
use crate::time::Timestamp;

/// A filter of values.
#[derive(Debug, Clone, Default)]
pub(crate) struct StateFilter {
    pub(crate) type_name: Option<TypeName>,
    /// Only together with a type.
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
}

/// One stored value of a function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredState {
    pub(crate) address: AddressKey,
    pub(crate) name: String,
    pub(crate) value: TypedValue,
}

impl StateFilter {
    /// The key prefix of these values.
    pub(super) fn prefix(&self) -> Bytes {
        match (&self.type_name, &self.id) {
            (Some(name), Some(id)) => AddressKey::new(name.namespace(), name.name(), id).to_bytes(),
            (Some(name), None) => type_prefix(name.namespace(), name.name()),
            (None, _) => Bytes::new(),
        }
    }
}

/// A page of the values that match `filter` and have not expired, ordered by address.
pub(crate) fn list(
    rows: &dyn Rows,
    filter: &StateFilter,
    after: Option<&[u8]>,
    limit: usize,
    now: Timestamp,
) -> Result<Page<StoredState>, StorageError> {
    let mut expiry = Expiry::new(rows, now);
    page(rows, STATE, &filter.prefix(), after, limit, |key, row| {
        let name = AddressKey::split(key).map(|(_, name)| name);
        let is_other = |name: &Bytes| {
            let wanted = filter.name.as_ref();
            wanted.is_some_and(|wanted| wanted.as_bytes() != &name[..])
        };
        if name.as_ref().is_some_and(is_other) {
            return Ok(None);
        }
        let (state, stamp) = read(key, &row?)?;
        Ok((!expiry.is_over(&state, stamp)?).then_some(state))
    })
}

/// One value, unless it is absent or expired.
pub(crate) fn get(
    rows: &dyn Rows,
    address: &AddressKey,
    name: &str,
    now: Timestamp,
) -> Result<Option<StoredState>, StorageError> {
    let key = address.row(name.as_bytes());
    let Some(row) = rows.get(STATE, &key)? else {
        return Ok(None);
    };
    let (state, stamp) = read(&key, &row)?;
    Ok((!Expiry::new(rows, now).is_over(&state, stamp)?).then_some(state))
}

/// The declaration of a state by functions of the address's type, in this run or an earlier one.
pub(crate) fn declared(
    rows: &dyn Rows,
    address: &AddressKey,
    name: &str,
) -> Result<Option<StateSpec>, StorageError> {
    let key = [&address.type_prefix()[..], name.as_bytes()].concat();
    let Some(row) = rows.get(SPECS, &key)? else {
        return Ok(None);
    };
    let spec = StateSpec::decode(name, &row);
    spec.map(Some)
        .ok_or_else(|| StorageError::senseless(SPECS, &key))
}

fn read(key: &Bytes, row: &Bytes) -> Result<(StoredState, Option<Timestamp>), StorageError> {
    let senseless = || StorageError::senseless(STATE, key);
    let (address, name) = AddressKey::split(key).ok_or_else(senseless)?;
    let row = StateRow::decode(row).ok_or_else(senseless)?;
    let state = StoredState {
        address,
        name: String::from_utf8_lossy(&name).into_owned(),
        value: TypedValue::decode(row.value).map_err(|_| senseless())?,
    };
    Ok((state, row.stamp))
}

/// Decides which values have expired; reads each declaration once.
struct Expiry<'a> {
    rows: &'a dyn Rows,
    now: Timestamp,
    known: HashMap<Bytes, TimeToLive>,
}

impl<'a> Expiry<'a> {
    fn new(rows: &'a dyn Rows, now: Timestamp) -> Self {
        Self {
            rows,
            now,
            known: HashMap::new(),
        }
    }

    fn is_over(
        &mut self,
        state: &StoredState,
        stamp: Option<Timestamp>,
    ) -> Result<bool, StorageError> {
        if stamp.is_none() {
            return Ok(false);
        }
        let key = Bytes::from([&state.address.type_prefix()[..], state.name.as_bytes()].concat());
        let ttl = match self.known.get(&key) {
            Some(ttl) => *ttl,
            None => {
                let spec = declared(self.rows, &state.address, &state.name)?;
                let ttl = spec.map_or(TimeToLive::None, |spec| spec.ttl);
                self.known.insert(key, ttl);
                ttl
            }
        };
        Ok(ttl.is_over(stamp, self.now))
    }
}

impl Weigh for StoredState {
    fn weight(&self) -> usize {
        self.value.value.len()
    }
}

impl StoredState {
    /// `{address, state, typename, value?, base64}`.
    pub(crate) fn to_json(&self) -> Value {
        let mut item = json!({
            "address": self.address.to_address().to_string(),
            "state": self.name,
            "typename": self.value.typename,
            "base64": STANDARD.encode(&self.value.value),
        });
        if let (Some(readable), Some(fields)) = (readable(&self.value), item.as_object_mut()) {
            fields.insert("value".to_owned(), readable);
        }
        item
    }
}

/// A readable form of a value of a built-in type or JSON; `None` for other bytes.
pub(super) fn readable(value: &TypedValue) -> Option<Value> {
    let (typename, text, bytes) = values::show(value.clone());
    match text {
        Some(text) if typename == "io.statefun.types/string" => Some(text.into()),
        // NaN and infinity have no JSON form and stay text.
        Some(text) => Some(serde_json::from_str(&text).unwrap_or(Value::String(text))),
        None => serde_json::from_slice(&bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::storage::{Memory, Store, Write};

    fn put(store: &Store, id: &str, name: &str, type_name: &str, text: &str, stamp: Option<u64>) {
        let value = values::parse(type_name, &Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let stamp = stamp.map(Timestamp::from_millis);
        let key = AddressKey::new("example", "greeter", id).row(name.as_bytes());
        store.stage(vec![Write::put(
            STATE,
            key,
            StateRow { stamp, value }.encode(),
        )]);
    }

    fn greeter(id: Option<&str>, name: Option<&str>) -> StateFilter {
        StateFilter {
            type_name: Some(TypeName::new("example/greeter")),
            id: id.map(str::to_owned),
            name: name.map(str::to_owned),
        }
    }

    fn names(store: &Store, filter: &StateFilter, now: u64) -> Vec<String> {
        let page = list(store, filter, None, 100, Timestamp::from_millis(now)).unwrap();
        let items = page.items.iter().map(|item| item.as_ref().unwrap());
        let shown = items.map(|state| format!("{}/{}", state.address.id(), state.name));
        shown.collect()
    }

    #[test]
    fn a_filter_names_a_type_an_id_and_a_name() {
        let (store, _syncer) = Memory::default().open();
        for (id, name) in [("a", "seen"), ("a", "name"), ("ab", "seen"), ("", "seen")] {
            put(&store, id, name, "io.statefun.types/int", "1", None);
        }
        assert_eq!(names(&store, &StateFilter::default(), 0).len(), 4);
        assert_eq!(names(&store, &greeter(None, None), 0).len(), 4);
        assert_eq!(
            names(&store, &greeter(Some("a"), None), 0),
            ["a/name", "a/seen"]
        );
        assert_eq!(
            names(&store, &greeter(Some("a"), Some("seen")), 0),
            ["a/seen"]
        );
        assert_eq!(names(&store, &greeter(Some(""), None), 0), ["/seen"]);
        let other = StateFilter {
            type_name: Some(TypeName::new("example/gree")),
            ..StateFilter::default()
        };
        assert_eq!(names(&store, &other, 0), [""; 0]);
    }

    #[test]
    fn expired_values_are_not_shown() {
        let (store, _syncer) = Memory::default().open();
        put(&store, "a", "seen", "io.statefun.types/int", "1", Some(100));
        let spec = StateSpec {
            name: "seen".to_owned(),
            typename: "io.statefun.types/int".to_owned(),
            ttl: TimeToLive::AfterWrite(Duration::from_millis(10)),
        };
        let key = [&type_prefix("example", "greeter")[..], b"seen"].concat();
        store.stage(vec![Write::put(SPECS, key, spec.encode())]);
        assert_eq!(names(&store, &greeter(None, None), 109), ["a/seen"]);
        assert_eq!(names(&store, &greeter(None, None), 110), [""; 0]);
        let address = AddressKey::new("example", "greeter", "a");
        assert!(
            get(&store, &address, "seen", Timestamp::from_millis(109))
                .unwrap()
                .is_some()
        );
        assert!(
            get(&store, &address, "seen", Timestamp::from_millis(110))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn values_are_shown_as_people_write_them() {
        let (store, _syncer) = Memory::default().open();
        let shown = |type_name: &str, text: &str| {
            put(&store, "a", "x", type_name, text, None);
            let state = get(
                &store,
                &AddressKey::new("example", "greeter", "a"),
                "x",
                Timestamp::default(),
            );
            state.unwrap().unwrap().to_json()
        };
        let int = shown("io.statefun.types/int", "3");
        assert_eq!(
            int,
            json!({"address": "example/greeter/a", "state": "x", "typename": "io.statefun.types/int", "value": 3, "base64": "DQMAAAA="})
        );
        assert_eq!(shown("io.statefun.types/string", "true")["value"], "true");
        assert_eq!(shown("io.statefun.types/double", "NaN")["value"], "NaN");
        assert_eq!(shown("shop/order", r#"{"n": 1}"#)["value"]["n"], 1);
        assert_eq!(shown("shop/image", "\u{1}\u{2}").get("value"), None);
    }
}
