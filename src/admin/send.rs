//! `POST /api/send/…`: a message for a function.

use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use serde_json::json;

use super::params::Params;
use super::{Admin, Reply, whole};
use crate::runtime::core::AddressKey;
use crate::runtime::request::{self, Terms};
use crate::runtime::respond::{self, Refusal};
use crate::sdk::TypeName;

/// The type of `application/json`.
const JSON_TYPE: TypeName = TypeName::new("statefun/json");
/// Idempotency keys of the admin API count within it.
const INGRESS: TypeName = TypeName::new("statefun.admin/send");
const KEYS_LIVE: Duration = Duration::from_secs(24 * 3600);

impl Admin {
    pub(super) async fn send(
        &self,
        request: Request<Body>,
        params: &Params,
        target: AddressKey,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let terms = Terms {
            ingress: &INGRESS,
            json_type: &JSON_TYPE,
            bodies: &self.bodies,
            record: self.runtime.record_of(&target),
            keys_until: self.runtime.now() + KEYS_LIVE,
        };
        let incoming = request::message(request, target, &terms).await?;
        let address = incoming.target.to_address().to_string();
        let sent = self.runtime.send(incoming).await;
        sent.map_err(|refusal| Box::new(respond::refused(&refusal)))?;
        let body = json!({"accepted": true, "address": address});
        Ok(whole(respond::json(StatusCode::ACCEPTED, &body)))
    }
}
