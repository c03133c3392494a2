//! Egress records that their target system refuses, with the reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use super::damaged::Damaged;
use super::page::{Weigh, page};
use crate::runtime::core::MessageId;
use crate::runtime::core::keys::{SET_ASIDE, take_text};
use crate::runtime::egress::SetAside;
use crate::storage::{Rows, StorageError};

/// A record that is kept because its target system refuses it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refused {
    egress: String,
    id: String,
    record: SetAside,
}

impl Weigh for Refused {
    fn weight(&self) -> usize {
        self.record.encoded_len()
    }
}

/// The first `limit` refused records.
///
/// # Errors
/// If the store cannot be read.
pub(super) fn list(
    rows: &dyn Rows,
    limit: usize,
) -> Result<Vec<Result<Refused, Damaged>>, StorageError> {
    let listed = page(rows, SET_ASIDE, &[], None, limit, |key, row| {
        let refused = read(key, &row?);
        refused
            .map(Some)
            .ok_or_else(|| StorageError::senseless(SET_ASIDE, key))
    })?;
    Ok(listed.items)
}

fn read(key: &Bytes, row: &Bytes) -> Option<Refused> {
    let mut rest = &key[..];
    let (namespace, name) = (take_text(&mut rest)?, take_text(&mut rest)?);
    let id = MessageId::decode(rest)?;
    Some(Refused {
        egress: format!("{namespace}/{name}"),
        id: format!("{}-{}", id.boot, id.number),
        record: SetAside::decode(row.clone()).ok()?,
    })
}

pub(super) fn refused_json(refused: &Refused) -> Value {
    let Refused { egress, id, record } = refused;
    json!({
        "egress": egress,
        "id": id,
        "reason": record.why,
        "type": record.value_type_name,
        "base64": STANDARD.encode(&record.value),
    })
}
