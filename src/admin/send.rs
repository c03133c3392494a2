//! `POST /api/send/…` and `/api/call/…`: a message for a function, and its answer.

use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use serde_json::json;

use super::params::Params;
use super::{Admin, Reply, whole};
use crate::runtime::core::AddressKey;
use crate::runtime::intake::Incoming;
use crate::runtime::request::{self, Terms};
use crate::runtime::respond::{self, Refusal};
use crate::sdk::{TypeName, types};

/// The type of `application/json`.
const JSON_TYPE: TypeName = TypeName::new(types::UNTYPED_JSON);
/// The scope of idempotency keys of the admin API.
const INGRESS: TypeName = TypeName::new("statefun.admin/send");
const KEYS_LIVE: Duration = Duration::from_secs(24 * 3600);
/// The same as the default of the HTTP ingress.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

impl Admin {
    pub(super) async fn send(
        &self,
        request: Request<Body>,
        params: &Params,
        target: AddressKey,
    ) -> Result<Reply, Refusal> {
        let incoming = self.message(request, params, target).await?;
        let address = incoming.target.to_address().to_string();
        let sent = self.runtime.send(incoming).await;
        sent.map_err(|refusal| Box::new(respond::refused(&refusal)))?;
        let body = json!({"accepted": true, "address": address});
        Ok(whole(respond::json(StatusCode::ACCEPTED, &body)))
    }

    pub(super) async fn call(
        &self,
        request: Request<Body>,
        params: &Params,
        target: AddressKey,
    ) -> Result<Reply, Refusal> {
        let incoming = self.message(request, params, target).await?;
        let answer = self.runtime.call(incoming, CALL_TIMEOUT).await;
        let answer = answer.map_err(|refusal| Box::new(respond::refused(&refusal)))?;
        Ok(whole(respond::value(answer, &JSON_TYPE)?))
    }

    async fn message(
        &self,
        request: Request<Body>,
        params: &Params,
        target: AddressKey,
    ) -> Result<Incoming, Refusal> {
        params.only(&[])?;
        let terms = Terms {
            ingress: &INGRESS,
            json_type: &JSON_TYPE,
            bodies: &self.bodies,
            limited_by: None,
            record: self.runtime.record_of(&target),
            keys_until: self.runtime.now() + KEYS_LIVE,
        };
        request::message(request, target, &terms).await
    }
}
