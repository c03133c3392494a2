//! `/api/dead-letters/…/edit`: another content for a dead letter, which is then sent again.

use http::Request;
use hyper::body::Incoming as Body;
use serde::Deserialize as _;
use serde_json::Value;

use super::deliveries::{COMMAND_TIMEOUT, check_actor, done, not_found};
use super::params::Params;
use super::{Admin, Reply, bad_request};
use crate::delivery::{EDIT, Edit};
use crate::json_words;
use crate::runtime::core::AddressKey;
use crate::runtime::intake::Incoming;
use crate::runtime::request;
use crate::runtime::respond::{self, Refusal};
use crate::sdk::MessageBuilder;

/// The expected body.
const EDIT_FORM: &str = r#"a JSON object `{"actor": "…", "reason": "…", "payload": {"text": "…"}, "content_type": "…", "values": {}}`"#;

impl Admin {
    /// Changes a dead letter and sends it again.
    pub(super) async fn edit(
        &self,
        request: Request<Body>,
        params: &Params,
        address: AddressKey,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let body = request::body(request, &self.bodies).await?;
        let edit = read(&body)?;
        check_actor(&edit.actor, &edit.reason)?;
        if edit.payload.is_none() && edit.content_type.is_none() && edit.values.is_empty() {
            let text = "nothing is to be changed: give `payload`, `content_type` or `values`";
            return Err(bad_request(text));
        }
        // Only functions of stages accept edits.
        if self.kept(address.clone()).await?.is_none() {
            return Err(not_found());
        }
        let message = MessageBuilder::to(address.to_address()).value_as(&EDIT, edit);
        let message = message.map_err(|err| bad_request(&err.to_string()))?;
        let incoming = Incoming {
            target: address.clone(),
            argument: message.typed().raw().clone(),
            key: None,
        };
        let answer = self.runtime.call(incoming, COMMAND_TIMEOUT).await;
        let answer = answer.map_err(|refusal| Box::new(respond::refused(&refusal)))?;
        done(&address, answer)
    }
}

fn read(body: &[u8]) -> Result<Edit, Refusal> {
    let wrong = |why: String| bad_request(&format!("the body is not {EDIT_FORM}: {why}"));
    let value: Value =
        serde_json::from_slice(body).map_err(|err| wrong(json_words::explained(&err)))?;
    Edit::deserialize(value).map_err(|err| wrong(json_words::explained(&err)))
}
