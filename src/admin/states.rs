//! `/api/state`: values of functions.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming as Body;

use super::params::Params;
use super::state::{self, StateFilter, StoredState};
use super::{Admin, Change, Reply, bad_request, ok};
use crate::runtime::core::{AddressKey, AdminChange};
use crate::runtime::respond::{Refusal, refuse};
use crate::runtime::{request, values};
use crate::storage::Rows;

/// Values read at a time for an export.
const EXPORT_PAGE: usize = 200;

impl Admin {
    pub(super) async fn states(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["type", "id", "name", "after", "limit"])?;
        let (filter, limit) = (filter(params)?, params.limit()?);
        let after = params.after(&filter.prefix())?;
        let now = self.runtime.now();
        let list = move |rows: &dyn Rows| state::list(rows, &filter, after.as_deref(), limit, now);
        self.page(list, StoredState::to_json).await
    }

    /// All values as JSON lines, read while they are sent.
    pub(super) fn export_states(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["type", "id", "name"])?;
        let filter = filter(params)?;
        let now = self.runtime.now();
        Ok(self.json_lines(
            move |rows, after| state::list(rows, &filter, after, EXPORT_PAGE, now),
            StoredState::to_json,
        ))
    }

    pub(super) async fn state(
        &self,
        request: Request<Body>,
        params: &Params,
        address: AddressKey,
        name: String,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        match *request.method() {
            Method::PUT => {
                let value = self.new_value(request, &address, &name).await?;
                self.set_state(&address, &name, Some(value)).await?;
            }
            Method::DELETE => {
                self.set_state(&address, &name, None).await?;
                let nothing = Empty::new().map_err(|never| match never {});
                let mut reply = Response::new(nothing.boxed_unsync());
                *reply.status_mut() = StatusCode::NO_CONTENT;
                return Ok(reply);
            }
            _ => {}
        }
        let now = self.runtime.now();
        let get = move |rows: &dyn Rows| state::get(rows, &address, &name, now);
        let found = self.read(get).await?;
        match found {
            Some(state) => Ok(ok(&state.to_json())),
            None => Err(refuse(
                StatusCode::NOT_FOUND,
                "state.not_found",
                "there is no such value",
            )),
        }
    }

    /// The encoded `TypedValue` of a PUT body, with the given or else the declared type.
    async fn new_value(
        &self,
        request: Request<Body>,
        address: &AddressKey,
        name: &str,
    ) -> Result<Bytes, Refusal> {
        let (key, state) = (address.clone(), name.to_owned());
        let declared = move |rows: &dyn Rows| state::declared(rows, &key, &state);
        let declared = self.read(declared).await?;
        let named = request::named_type(request.headers())?;
        let type_name = match (named, declared) {
            (Some(named), Some(declared)) if named != declared.typename => {
                let text = format!(
                    "`{name}` was declared as {}, not as {named}",
                    declared.typename
                );
                return Err(refuse(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "state.type_conflict",
                    &text,
                ));
            }
            (Some(named), _) => named,
            (None, Some(declared)) => declared.typename,
            // A guessed type would be refused later, when the function declares another one.
            (None, None) => {
                let text = format!(
                    "no function has declared `{name}` of {} yet: name the value's type in `statefun-type` (on the command line: --type)",
                    address.to_address().type_name()
                );
                let (status, code) = (StatusCode::UNPROCESSABLE_ENTITY, "state.type_unknown");
                return Err(refuse(status, code, &text));
            }
        };
        if values::is_text(&type_name) {
            request::check_charset(request.headers())?;
        }
        let body = request::body(request, &self.bodies).await?;
        request::parsed(&type_name, &body)
    }

    async fn set_state(
        &self,
        address: &AddressKey,
        name: &str,
        value: Option<Bytes>,
    ) -> Result<(), Refusal> {
        let change = AdminChange::SetState {
            address: address.clone(),
            name: name.to_owned(),
            value,
        };
        match self.change(address, change).await? {
            Change::Made => Ok(()),
            Change::Refused(text) => Err(bad_request(&text)),
        }
    }
}

fn filter(params: &Params) -> Result<StateFilter, Refusal> {
    let filter = StateFilter {
        type_name: params.type_name("type")?,
        id: params.get("id").map(str::to_owned),
        name: params.get("name").map(str::to_owned),
    };
    if filter.id.is_some() && filter.type_name.is_none() {
        return Err(bad_request("`id` needs `type`"));
    }
    Ok(filter)
}
