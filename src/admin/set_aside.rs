//! `/api/set-aside`: egress records that their target system refuses, with the reason. They can be sent again or deleted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use prost::Message as _;
use serde_json::{Value, json};
use tracing::info;

use super::damaged::Damaged;
use super::deliveries::Asked;
use super::page::{Page, Weigh, page};
use super::params::Params;
use super::redriven::Redriven;
use super::{Admin, CHANGE_TIMEOUT, Change, Reply, ok};
use crate::protocol::reqreply::TypedValue;
use crate::runtime::core::MessageId;
use crate::runtime::core::keys::{SET_ASIDE, egress_prefix, take_text};
use crate::runtime::egress::SetAside;
use crate::runtime::respond::{Refusal, refuse};
use crate::sdk::TypeName;
use crate::storage::{Rows, StorageError};

/// Records that are read or sent again at a time.
const CHUNK: usize = 100;

/// The name of a record: its egress, and its id, which is written `<start>-<number>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordId {
    egress: TypeName,
    id: MessageId,
}

impl RecordId {
    /// Reads the parts of a path. `None` if they name no record.
    pub(super) fn parse(namespace: &str, name: &str, id: &str) -> Option<Self> {
        let egress = TypeName::from_parts(namespace, name).ok()?;
        let (boot, number) = id.split_once('-')?;
        let (boot, number) = (boot.parse().ok()?, number.parse().ok()?);
        let id = MessageId { boot, number };
        Some(Self { egress, id })
    }

    fn of_key(key: &Bytes) -> Option<Self> {
        let mut rest = &key[..];
        let (namespace, name) = (take_text(&mut rest)?, take_text(&mut rest)?);
        let egress = TypeName::from_parts(namespace, name).ok()?;
        let id = MessageId::decode(rest).filter(|_| rest.len() == MessageId::LENGTH)?;
        Some(Self { egress, id })
    }

    fn key(&self) -> Vec<u8> {
        let prefix = egress_prefix(self.egress.namespace(), self.egress.name());
        [&prefix[..], &self.id.encode()].concat()
    }

    fn id_text(&self) -> String {
        format!("{}-{}", self.id.boot, self.id.number)
    }
}

/// A record that is kept because its target system refuses it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refused {
    of: RecordId,
    record: SetAside,
}

impl Weigh for Refused {
    fn weight(&self) -> usize {
        self.record.encoded_len()
    }
}

impl Refused {
    fn read(key: &Bytes, row: &Bytes) -> Result<Self, StorageError> {
        let of = RecordId::of_key(key);
        let read = of.zip(SetAside::decode(row.clone()).ok());
        let (of, record) = read.ok_or_else(|| StorageError::senseless(SET_ASIDE, key))?;
        Ok(Self { of, record })
    }

    fn summary(&self) -> Value {
        json!({
            "egress": self.of.egress.as_str(),
            "id": self.of.id_text(),
            "reason": self.record.why,
            "type": self.record.value_type_name,
            "bytes": self.record.value.len(),
        })
    }

    pub(super) fn with_bytes(&self) -> Value {
        let mut all = self.summary();
        if let Some(fields) = all.as_object_mut() {
            let bytes = STANDARD.encode(&self.record.value);
            fields.insert("base64".to_owned(), bytes.into());
        }
        all
    }

    /// The `TypedValue` that the function sent.
    fn value(&self) -> Bytes {
        let value = TypedValue {
            typename: self.record.value_type_name.clone(),
            has_value: true,
            value: self.record.value.clone(),
        };
        value.encode_to_vec().into()
    }
}

impl Admin {
    pub(super) async fn set_aside(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["egress", "full", "after", "limit"])?;
        let (prefix, limit, full) = (prefix(params)?, params.limit()?, params.flag("full")?);
        let after = params.after_key(&prefix, |key| RecordId::of_key(key).is_some())?;
        let list = move |rows: &dyn Rows| some(rows, &prefix, after.as_deref(), limit);
        let show = if full {
            Refused::with_bytes
        } else {
            Refused::summary
        };
        self.page(list, show).await
    }

    pub(super) async fn one_set_aside(
        &self,
        params: &Params,
        record: RecordId,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        Ok(ok(&self.kept_aside(record).await?.with_bytes()))
    }

    /// Sends a record again at the end of its outbox, or deletes it.
    pub(super) async fn take_back(
        &self,
        request: Request<Body>,
        params: &Params,
        record: RecordId,
        again: bool,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let asked = Asked::of(request, &self.bodies).await?;
        if !again {
            self.taken_back(&asked, &record, None).await?;
            return Ok(ok(&json!({"purged": true})));
        }
        let refused = self.kept_aside(record).await?;
        self.taken_back(&asked, &refused.of, Some(refused.value()))
            .await?;
        Ok(ok(&json!({"redriven": 1})))
    }

    /// Sends all records of an egress, or of all egresses, again, or only counts them.
    pub(super) async fn redrive_set_aside(
        &self,
        request: Request<Body>,
        params: &Params,
    ) -> Result<Reply, Refusal> {
        params.only(&["egress"])?;
        let prefix = prefix(params)?;
        let asked = Asked::of(request, &self.bodies).await?;
        let dry_run = asked.dry_run.unwrap_or(false);
        let (mut after, mut redriven) = (None::<Bytes>, Redriven::default());
        loop {
            let prefix = prefix.clone();
            let read = move |rows: &dyn Rows| some(rows, &prefix, after.as_deref(), CHUNK);
            let page = self.read(read).await?;
            for refused in redriven.readable(page.items) {
                if !dry_run {
                    self.taken_back(&asked, &refused.of, Some(refused.value()))
                        .await?;
                }
                redriven.count += 1;
            }
            after = page.next;
            if after.is_none() {
                return Ok(redriven.reply(dry_run));
            }
        }
    }

    async fn kept_aside(&self, record: RecordId) -> Result<Refused, Refusal> {
        let key = Bytes::from(record.key());
        let read = move |rows: &dyn Rows| {
            let row = rows.get(SET_ASIDE, &key)?;
            row.map(|row| Refused::read(&key, &row)).transpose()
        };
        self.read(read).await?.ok_or_else(missing)
    }

    async fn taken_back(
        &self,
        asked: &Asked,
        record: &RecordId,
        again: Option<Bytes>,
    ) -> Result<(), Refusal> {
        let RecordId { egress, id } = record;
        let is_again = again.is_some();
        if is_again && !self.runtime.has_outbox(egress) {
            let text = format!("the module does not bind the egress {egress}");
            let (status, code) = (StatusCode::CONFLICT, "set_aside.egress_not_bound");
            return Err(refuse(status, code, &text));
        }
        let runtime = &self.runtime;
        let changed = runtime.take_back(egress, *id, again, CHANGE_TIMEOUT).await;
        match self.outcome(changed)? {
            Change::Refused(_) => Err(missing()),
            Change::Made => {
                let (id, actor, reason) = (record.id_text(), &asked.actor, &asked.reason);
                if is_again {
                    info!(%egress, %id, %actor, %reason, "a record that was set aside is sent again");
                } else {
                    info!(%egress, %id, %actor, %reason, "a record that was set aside is deleted");
                }
                Ok(())
            }
        }
    }
}

fn missing() -> Refusal {
    refuse(
        StatusCode::NOT_FOUND,
        "set_aside.not_found",
        "no record with this id is set aside",
    )
}

/// The prefix of the keys that parameters select.
fn prefix(params: &Params) -> Result<Bytes, Refusal> {
    let egress = params.type_name("egress")?;
    Ok(egress.map_or_else(Bytes::new, |egress| {
        egress_prefix(egress.namespace(), egress.name())
    }))
}

fn some(
    rows: &dyn Rows,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Page<Refused>, StorageError> {
    page(rows, SET_ASIDE, prefix, after, limit, |key, row| {
        Refused::read(key, &row?).map(Some)
    })
}

/// The first `limit` refused records.
///
/// # Errors
/// If the store cannot be read.
pub(super) fn list(
    rows: &dyn Rows,
    limit: usize,
) -> Result<Vec<Result<Refused, Damaged>>, StorageError> {
    Ok(some(rows, &[], None, limit)?.items)
}
