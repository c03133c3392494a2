//! `/api/state-specs`: declared values of functions.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use serde_json::{Value, json};

use super::page::{Weigh, page};
use super::params::{Params, page_json};
use super::{Admin, CHANGE_TIMEOUT, Change, Reply, ok};
use crate::runtime::core::AdminChange;
use crate::runtime::core::keys::{SPECS, take_text, type_prefix};
use crate::runtime::core::state::{StateSpec, TimeToLive};
use crate::runtime::respond::{Refusal, refuse};
use crate::sdk::TypeName;
use crate::storage::{Rows, StorageError};

/// A stored declaration.
struct Stored {
    function: String,
    spec: StateSpec,
}

impl Stored {
    fn read(key: &Bytes, row: &Bytes) -> Option<Self> {
        let mut rest = &key[..];
        let (namespace, name) = (take_text(&mut rest)?, take_text(&mut rest)?);
        Some(Self {
            function: format!("{namespace}/{name}"),
            spec: StateSpec::decode(std::str::from_utf8(rest).ok()?, row)?,
        })
    }

    fn to_json(&self) -> Value {
        let expiration = match self.spec.ttl {
            TimeToLive::None => Value::Null,
            TimeToLive::AfterWrite(span) => json!({"after": "write", "ms": span.as_millis()}),
            TimeToLive::AfterInvoke(span) => json!({"after": "call", "ms": span.as_millis()}),
        };
        json!({
            "function": self.function,
            "state": self.spec.name,
            "typename": self.spec.typename,
            "expiration": expiration,
        })
    }
}

impl Weigh for Stored {
    fn weight(&self) -> usize {
        self.function.len() + self.spec.name.len() + self.spec.typename.len()
    }
}

impl Admin {
    /// `GET /api/state-specs`
    pub(super) async fn declarations(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["type", "after", "limit"])?;
        let of = params.type_name("type")?;
        let prefix = of.map_or_else(Bytes::new, |of| type_prefix(of.namespace(), of.name()));
        let (after, limit) = (params.after(&prefix)?, params.limit()?);
        let list = move |rows: &dyn Rows| {
            page(rows, SPECS, &prefix, after.as_deref(), limit, |key, row| {
                let stored = Stored::read(key, &row?);
                stored
                    .map(Some)
                    .ok_or_else(|| StorageError::senseless(SPECS, key))
            })
        };
        let page = self.read(list).await?;
        Ok(ok(&page_json(&page, Stored::to_json)))
    }

    /// `DELETE /api/state-specs/<namespace>/<type>/<name>`: in all partitions, because each may have it in memory.
    pub(super) async fn drop_declaration(
        &self,
        params: &Params,
        function: TypeName,
        name: String,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let key = [
            &type_prefix(function.namespace(), function.name())[..],
            name.as_bytes(),
        ]
        .concat();
        // A damaged declaration exists, and dropping it is the remedy.
        let is_there = move |rows: &dyn Rows| match rows.get(SPECS, &key) {
            Err(error) if error.is_of_one_row() => Ok(true),
            found => Ok(found?.is_some()),
        };
        if !self.read(is_there).await? {
            let text = format!("no value `{name}` of {function} is declared");
            return Err(refuse(StatusCode::NOT_FOUND, "state_spec.not_found", &text));
        }
        let change = AdminChange::ForgetDeclaration {
            namespace: function.namespace().to_owned(),
            name: function.name().to_owned(),
            value: name,
        };
        let changed = self.runtime.change_all(change, CHANGE_TIMEOUT).await;
        match self.outcome(changed)? {
            Change::Refused(text) => Err(refuse(StatusCode::CONFLICT, "conflict", &text)),
            Change::Made => {
                let nothing = Empty::new().map_err(|never| match never {});
                let mut reply = Response::new(nothing.boxed_unsync());
                *reply.status_mut() = StatusCode::NO_CONTENT;
                Ok(reply)
            }
        }
    }
}
