//! `/api/state`: what functions remember.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming as Body;

use super::params::{Params, page_json};
use super::send::{JSON_TYPE, MAX_BODY_BYTES};
use super::state::{self, StateFilter, StoredState};
use super::{Admin, Reply, bad_request, json_lines, ok, read};
use crate::runtime::core::{AddressKey, AdminChange};
use crate::runtime::request;
use crate::runtime::respond::{Refusal, refuse};

/// Values that are read at a time for an export.
const EXPORT_PAGE: usize = 200;

impl Admin {
    pub(super) async fn states(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["type", "id", "name", "after", "limit"])?;
        let (filter, after, limit) = (filter(params)?, params.after()?, params.limit()?);
        let (store, now) = (self.intake.store.clone(), self.intake.now());
        let page = read(move || state::list(&store, &filter, after.as_deref(), limit, now)).await?;
        Ok(ok(&page_json(&page, StoredState::to_json)))
    }

    /// All values as JSON lines, read while they are sent.
    pub(super) fn export_states(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["type", "id", "name"])?;
        let filter = filter(params)?;
        let (store, now) = (self.intake.store.clone(), self.intake.now());
        Ok(json_lines(
            move |after| state::list(&store, &filter, after, EXPORT_PAGE, now),
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
        let (store, now) = (self.intake.store.clone(), self.intake.now());
        let found = read(move || state::get(&store, &address, &name, now)).await?;
        match found {
            Some(state) => Ok(ok(&state.to_json())),
            None => Err(refuse(
                StatusCode::NOT_FOUND,
                "state.not_found",
                "there is no such value",
            )),
        }
    }

    /// The encoded `TypedValue` that the body of a PUT is: of the type it names, else of the declared one.
    async fn new_value(
        &self,
        request: Request<Body>,
        address: &AddressKey,
        name: &str,
    ) -> Result<Bytes, Refusal> {
        let (store, key, state) = (self.intake.store.clone(), address.clone(), name.to_owned());
        let declared = read(move || state::declared(&store, &key, &state)).await?;
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
            (None, None) => request::type_of_content(request.headers(), &JSON_TYPE)?,
        };
        let body = request::body(request, MAX_BODY_BYTES).await?;
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
        self.change(address, change)
            .await?
            .map_err(|text| bad_request(&text))
    }
}

fn filter(params: &Params) -> Result<StateFilter, Refusal> {
    let filter = StateFilter {
        type_name: params.type_name("type")?,
        id: params.text("id").map(str::to_owned),
        name: params.get("name").map(str::to_owned),
    };
    if filter.id.is_some() && filter.type_name.is_none() {
        return Err(bad_request("`id` counts together with `type`"));
    }
    Ok(filter)
}
