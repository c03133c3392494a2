//! Records that a source has set aside: a line that cannot be read, or a message whose function was not bound.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::page::{Page, Weigh, page};
use super::{Admin, Reply, ok};
use crate::delivery::Verb;
use crate::runtime::NotBrought;
use crate::runtime::core::keys::{NOT_BROUGHT, put_text, type_prefix};
use crate::runtime::core::{AddressKey, IdempotencyKey};
use crate::runtime::intake::Incoming;
use crate::runtime::respond::{self, Refusal, refuse};
use crate::sdk::TypeName;
use crate::storage::{Rows, StorageError};

/// The scope of the idempotency keys with which records are sent again.
const SCOPE: &str = "statefun.admin/set-aside";
/// How long it is known that a record was sent.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// A record that a source has set aside, and the address that stands for it: the source's name and an id.
#[derive(Debug)]
pub(super) struct SetAside {
    pub(super) address: AddressKey,
    record: NotBrought,
}

/// A page of those of one source, or of all.
pub(super) fn list(
    rows: &dyn Rows,
    source: Option<&TypeName>,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Page<SetAside>, StorageError> {
    let prefix = source.map_or(Bytes::new(), |source| {
        type_prefix(source.namespace(), source.name())
    });
    page(rows, NOT_BROUGHT, &prefix, after, limit, |key, row| {
        read(key, &row?).map(Some)
    })
}

/// The one at `address`.
fn get(rows: &dyn Rows, address: &AddressKey) -> Result<Option<SetAside>, StorageError> {
    let key = address.to_bytes();
    let row = rows.get(NOT_BROUGHT, &key)?;
    row.map(|row| read(&key, &row)).transpose()
}

fn read(key: &Bytes, row: &Bytes) -> Result<SetAside, StorageError> {
    let address = AddressKey::split(key).map(|(address, _)| address);
    let found = address.zip(NotBrought::decode(row.clone()).ok());
    let (address, record) = found.ok_or_else(|| StorageError::senseless(NOT_BROUGHT, key))?;
    Ok(SetAside { address, record })
}

impl Weigh for SetAside {
    fn weight(&self) -> usize {
        self.record.encoded_len()
    }
}

impl SetAside {
    /// One line of a list.
    pub(super) fn summary(&self) -> Value {
        Value::Object(self.fields())
    }

    /// Everything.
    pub(super) fn with_bytes(&self) -> Value {
        let mut fields = self.fields();
        let bytes = STANDARD.encode(&self.record.value);
        fields.insert("base64".to_owned(), bytes.into());
        Value::Object(fields)
    }

    fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        put("address", self.address.to_address().to_string().into());
        put("state", "set_aside".into());
        put("origin", self.record.origin.as_str().into());
        put("error", json!({"message": self.record.why}));
        if let Some(target) = self.target() {
            put("target", target.to_address().to_string().into());
        }
        fields
    }

    fn target(&self) -> Option<AddressKey> {
        match self.record.target.as_slice() {
            [namespace, name, id] => Some(AddressKey::new(namespace, name, id)),
            _ => None,
        }
    }

    /// The message that the record is, if it can be read. Sent twice it takes effect once.
    fn message(&self, until: crate::time::Timestamp) -> Option<Incoming> {
        let mut row = Vec::new();
        put_text(&mut row, SCOPE);
        row.extend_from_slice(&self.address.to_bytes());
        Some(Incoming {
            target: self.target()?,
            argument: self.record.argument.clone(),
            key: Some(IdempotencyKey {
                row: row.into(),
                digest: 0,
                until,
            }),
        })
    }
}

impl Admin {
    /// The record that was set aside at `address`.
    pub(super) async fn not_brought(
        &self,
        address: AddressKey,
    ) -> Result<Option<SetAside>, Refusal> {
        self.read(move |rows| get(rows, &address)).await
    }

    /// Sends a record that was set aside, or removes it.
    pub(super) async fn act_on_record(
        &self,
        record: SetAside,
        verb: Verb,
    ) -> Result<Reply, Refusal> {
        let state = match verb {
            Verb::Retry if self.bring(&record).await? => "redriven",
            Verb::Retry => {
                let text = "the record cannot be read, so there is nothing to send: write a correct one to the source, and purge this one";
                return Err(refuse(StatusCode::CONFLICT, "record.unreadable", text));
            }
            Verb::Purge => "purged",
            _ => {
                let text = "a record that was set aside can be redriven or purged";
                return Err(refuse(StatusCode::CONFLICT, "job.bad_state", text));
            }
        };
        self.runtime.remove_set_aside(&record.address);
        let address = record.address.to_address().to_string();
        Ok(ok(&json!({"address": address, "state": state})))
    }

    /// Sends those of a page that can be read. Returns how many that were.
    pub(super) async fn bring_all(
        &self,
        records: Vec<SetAside>,
        dry_run: bool,
    ) -> Result<usize, Refusal> {
        let mut brought = 0;
        for record in records {
            let is_brought = match dry_run {
                true => record.target().is_some(),
                false => self.bring(&record).await?,
            };
            brought += usize::from(is_brought);
            if is_brought && !dry_run {
                self.runtime.remove_set_aside(&record.address);
            }
        }
        Ok(brought)
    }

    async fn bring(&self, record: &SetAside) -> Result<bool, Refusal> {
        let Some(message) = record.message(self.runtime.now() + KNOWN_FOR) else {
            return Ok(false);
        };
        let sent = self.runtime.send(message).await;
        sent.map_err(|refusal| Box::new(respond::refused(&refusal)))?;
        Ok(true)
    }
}
