//! `/api/events`, `/api/jobs` and `/api/stats/jobs`: events are submitted, and their jobs are shown.
//!
//! Jobs are deliveries: what an actor does to one is the same as for a delivery, only that its id is enough.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::deliveries::{Asked, COMMAND_TIMEOUT, done, reason, states};
use super::kept::{self, Item, KeptFilter};
use super::page::{Page, Weigh};
use super::params::Params;
use super::raw_fields::RawFields;
use super::{Admin, Reply, bad_request, ok, whole};
use crate::delivery::Verb;
use crate::delivery::engine::DeliveryState;
use crate::jobs::{ACCEPTED, Accepted, EVENT, Event, JobId, Jobs, NEW_EVENT, NewEvent};
use crate::json_words;
use crate::protocol::reqreply::TypedValue;
use crate::runtime::core::AddressKey;
use crate::runtime::core::keys::{STATE, type_prefix};
use crate::runtime::core::state::StateRow;
use crate::runtime::intake::Incoming;
use crate::runtime::request;
use crate::runtime::respond::{self, Refusal, refuse};
use crate::sdk::{Message, MessageBuilder, TypeName, TypedBytes};
use crate::storage::{Rows, StorageError};
use prost::Message as _;

/// Time limit of a submission.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Jobs read at a time for counting.
const CHUNK: usize = 5_000;

/// The destinations of jobs that a runtime has, one entry for each namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct BoundJobs(pub(crate) Vec<Jobs>);

/// A job and where it belongs.
#[derive(Debug)]
struct Found {
    item: Item,
    destination: Arc<str>,
    action: Arc<str>,
}

/// The functions of jobs: prefix of the keys, type, destination and action.
type Functions = Vec<(Bytes, TypeName, Arc<str>, Arc<str>)>;

impl Weigh for Found {
    fn weight(&self) -> usize {
        self.item.weight()
    }
}

impl Admin {
    pub(super) async fn submit_event(
        &self,
        request: Request<Body>,
        params: &Params,
    ) -> Result<Reply, Refusal> {
        params.only(&["namespace"])?;
        let events = self.namespace(params)?.events().clone();
        let body = request::body(request, &self.bodies).await?;
        let event: NewEvent = serde_json::from_slice(&body).map_err(|err| {
            let form = r#"an event, such as `{"source": "shop", "name": "paid", "data": {}}`"#;
            bad_request(&format!(
                "the body is not {form}: {}",
                json_words::explained(&err)
            ))
        })?;
        let id = match &event.id {
            Some(id) => id
                .parse::<JobId>()
                .map_err(|err| refuse(StatusCode::BAD_REQUEST, "event.bad_id", &err.to_string()))?,
            None => JobId::new(self.runtime.now(), Uuid::new_v4().into_bytes()),
        };
        let target = AddressKey::new(events.namespace(), events.name(), &id.to_string());
        let message = MessageBuilder::to(target.to_address()).value_as(&NEW_EVENT, event);
        let message = message.map_err(|err| bad_request(&err.to_string()))?;
        let incoming = Incoming {
            target: target.clone(),
            argument: message.typed().raw().clone(),
            key: None,
        };
        let answer = self.runtime.call(incoming, SUBMIT_TIMEOUT).await;
        let answer = answer.map_err(|refusal| Box::new(respond::refused(&refusal)))?;
        let accepted = TypedBytes::parse(answer).ok();
        let accepted = accepted.map(|typed| Message::new(target.to_address(), typed));
        let accepted = accepted.and_then(|message| message.require(&ACCEPTED).ok());
        match accepted {
            Some(Accepted {
                refused: Some(refusal),
                ..
            }) => {
                let status = match refusal.code.as_str() {
                    "event.exists" => StatusCode::CONFLICT,
                    "destination.not_found" => StatusCode::NOT_FOUND,
                    "event.bad_id" | "event.bad_key" | "event.invalid" => StatusCode::BAD_REQUEST,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                Err(refuse(status, &refusal.code, &refusal.message))
            }
            Some(accepted) => Ok(whole(respond::json(StatusCode::ACCEPTED, &accepted))),
            None => {
                let text = "the function of events gave no answer that can be read";
                Err(refuse(StatusCode::BAD_GATEWAY, "event.unreadable", text))
            }
        }
    }

    pub(super) async fn event(&self, params: &Params, id: &str) -> Result<Reply, Refusal> {
        params.only(&["namespace"])?;
        let events = self.namespace(params)?.events().clone();
        let address = AddressKey::new(events.namespace(), events.name(), id);
        let functions = self.functions(None, None);
        let found = self.read(move |rows| {
            let Some(event) = stored_event(rows, &address)? else {
                return Ok(None);
            };
            let mut states = Vec::new();
            for job in &event.jobs {
                let found = find(rows, &functions, &job.id)?;
                states.push(found.map(|found| found.item.kept().delivery().state));
            }
            Ok(Some((event, states)))
        });
        let Some((event, states)) = found.await? else {
            let text = "there is no event with this id; events without jobs are not kept";
            return Err(refuse(StatusCode::NOT_FOUND, "event.not_found", text));
        };
        let mut shown = RawFields::of(&event);
        let jobs = event.jobs.iter().zip(states).map(|(job, state)| {
            let mut job = RawFields::of(job);
            job.set("state", &state.flatten());
            job
        });
        shown.set("jobs", &jobs.collect::<Vec<_>>());
        Ok(ok(&shown))
    }

    pub(super) async fn jobs(&self, params: &Params) -> Result<Reply, Refusal> {
        let known = [
            "namespace",
            "destination",
            "state",
            "reason",
            "after",
            "limit",
        ];
        params.only(&known)?;
        let functions = self.named_functions(params)?;
        let filter = KeptFilter {
            states: states(params)?,
            reason: params.get("reason").map(reason).transpose()?,
            among: Some(prefixes(&functions)),
            ..KeptFilter::default()
        };
        let (after, limit) = (params.after(&[])?, params.limit()?);
        let list = move |rows: &dyn Rows| {
            let page = kept::list(rows, &filter, after.as_deref(), limit, false)?;
            let items = page.items.into_iter().map(|item| {
                let item = item?;
                let (destination, action) = place(&functions, &item.address);
                Ok(Found {
                    item,
                    destination,
                    action,
                })
            });
            Ok(Page {
                items: items.collect(),
                next: page.next,
            })
        };
        self.page(list, Found::summary).await
    }

    pub(super) async fn job(&self, params: &Params, id: &str) -> Result<Reply, Refusal> {
        params.only(&[])?;
        Ok(ok(&self.found(id).await?.details()))
    }

    pub(super) async fn job_transitions(
        &self,
        params: &Params,
        id: &str,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let found = self.found(id).await?;
        let mut steps = found.item.kept().transitions();
        if let Some(steps) = steps.as_array_mut() {
            steps.reverse();
        }
        Ok(ok(&json!({"items": steps, "next": null})))
    }

    /// Sends a command to a job, and returns the result.
    pub(super) async fn act_on_job(
        &self,
        request: Request<Body>,
        params: &Params,
        id: &str,
        verb: Verb,
    ) -> Result<Reply, Refusal> {
        params.only(&[])?;
        let asked = Asked::of(request, &self.bodies).await?;
        if asked.dry_run.is_some() {
            let text = "`dry_run` is for many jobs at a time: /api/jobs/redrive";
            return Err(bad_request(text));
        }
        let address = self.found(id).await?.item.address;
        let command = asked.command(verb, &address)?;
        let answer = self.runtime.call(command, COMMAND_TIMEOUT).await;
        let answer = answer.map_err(|refusal| Box::new(respond::refused(&refusal)))?;
        done(&address, answer)
    }

    /// Sends the jobs again that were given up and match a filter, or only counts them.
    pub(super) async fn redrive_jobs(
        &self,
        request: Request<Body>,
        params: &Params,
    ) -> Result<Reply, Refusal> {
        params.only(&["namespace", "destination", "reason"])?;
        let functions = self.named_functions(params)?;
        let filter = KeptFilter {
            states: vec![DeliveryState::Discarded],
            reason: params.get("reason").map(reason).transpose()?,
            among: Some(prefixes(&functions)),
            ..KeptFilter::default()
        };
        let asked = Asked::of(request, &self.bodies).await?;
        let redriven = self.redrive_kept(&filter, &asked).await?;
        Ok(redriven.reply(asked.dry_run.unwrap_or(false)))
    }

    /// Counts all jobs, exactly, which takes a moment if there are many.
    pub(super) async fn job_stats(&self, params: &Params) -> Result<Reply, Refusal> {
        params.only(&["namespace", "destination"])?;
        let functions = self.named_functions(params)?;
        let mut stats = BTreeMap::<Arc<str>, Stats>::new();
        for (_, _, destination, _) in &functions {
            stats.entry(Arc::clone(destination)).or_default();
        }
        let filter = KeptFilter {
            among: Some(prefixes(&functions)),
            ..KeptFilter::default()
        };
        let mut after = None;
        loop {
            let (filter, from) = (filter.clone(), after.take());
            let page =
                self.read(move |rows| kept::list(rows, &filter, from.as_deref(), CHUNK, false));
            let Page { items, next } = page.await?;
            for item in items.into_iter().flatten() {
                let (destination, _) = place(&functions, &item.address);
                stats.entry(destination).or_default().add(&item);
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        let items: Vec<Value> = stats
            .iter()
            .map(|(name, stats)| stats.shown(name))
            .collect();
        Ok(ok(&json!({"items": items})))
    }
}

impl Admin {
    fn bound(&self) -> &[Jobs] {
        let bound = self.runtime.shared::<BoundJobs>();
        bound.map_or(&[], |bound| bound.0.as_slice())
    }

    /// The destinations of the namespace that is asked for; without one, of the only one.
    fn namespace(&self, params: &Params) -> Result<&Jobs, Refusal> {
        let bound = self.bound();
        let named = |name: &str| bound.iter().find(|jobs| jobs.events().namespace() == name);
        let names = || -> Vec<&str> {
            let names = bound.iter().map(|jobs| jobs.events().namespace());
            names.collect()
        };
        let missing = |text: String| refuse(StatusCode::NOT_FOUND, "namespace.not_found", &text);
        match (params.get("namespace"), bound) {
            (_, []) => Err(missing(
                "no destinations are declared: add a document of kind `statefun.jobs.v1/destinations`"
                    .to_owned(),
            )),
            (Some(name), _) => named(name).ok_or_else(|| {
                missing(format!(
                    "there is no namespace `{name}` with destinations; known: {}",
                    names().join(", ")
                ))
            }),
            (None, [jobs]) => Ok(jobs),
            (None, _) => Err(bad_request(&format!(
                "`namespace` is needed, because there are several: {}",
                names().join(", ")
            ))),
        }
    }

    /// The functions of jobs, in a namespace and of a destination.
    fn functions(&self, namespace: Option<&str>, destination: Option<&str>) -> Functions {
        let mut functions = Vec::new();
        for (function, of, action) in self.bound().iter().flat_map(Jobs::actions) {
            let suits = namespace.is_none_or(|name| function.namespace() == name)
                && destination.is_none_or(|name| of == name);
            if suits {
                let prefix = type_prefix(function.namespace(), function.name());
                functions.push((prefix, function.clone(), of.into(), action.into()));
            }
        }
        functions
    }

    fn named_functions(&self, params: &Params) -> Result<Functions, Refusal> {
        if params.get("namespace").is_some() {
            self.namespace(params)?;
        }
        let (namespace, destination) = (params.get("namespace"), params.get("destination"));
        let functions = self.functions(namespace, destination);
        match destination {
            Some(name) if functions.is_empty() => {
                let text = format!("there is no destination `{name}`");
                Err(refuse(
                    StatusCode::NOT_FOUND,
                    "destination.not_found",
                    &text,
                ))
            }
            _ => Ok(functions),
        }
    }

    async fn found(&self, id: &str) -> Result<Found, Refusal> {
        let (functions, id) = (self.functions(None, None), id.to_owned());
        let found = self.read(move |rows| find(rows, &functions, &id)).await?;
        found.ok_or_else(|| {
            let text = "there is no job with this id; succeeded and cancelled ones are removed after some time";
            refuse(StatusCode::NOT_FOUND, "job.not_found", text)
        })
    }
}

fn prefixes(functions: &Functions) -> Arc<[Bytes]> {
    functions
        .iter()
        .map(|(prefix, ..)| prefix.clone())
        .collect()
}

/// The destination and the action of the job at `address`.
fn place(functions: &Functions, address: &AddressKey) -> (Arc<str>, Arc<str>) {
    let prefix = address.type_prefix();
    let mut functions = functions.iter();
    let found = functions.find(|(known, ..)| *known == prefix);
    found.map_or_else(Default::default, |(_, _, destination, action)| {
        (Arc::clone(destination), Arc::clone(action))
    })
}

/// The job with this id, whatever its destination.
fn find(rows: &dyn Rows, functions: &Functions, id: &str) -> Result<Option<Found>, StorageError> {
    for (_, function, destination, action) in functions {
        let address = AddressKey::new(function.namespace(), function.name(), id);
        if let Some(item) = kept::get(rows, &address)? {
            return Ok(Some(Found {
                item,
                destination: Arc::clone(destination),
                action: Arc::clone(action),
            }));
        }
    }
    Ok(None)
}

fn stored_event(rows: &dyn Rows, address: &AddressKey) -> Result<Option<Event>, StorageError> {
    let key = address.row(EVENT.name().as_bytes());
    let Some(row) = rows.get(STATE, &key)? else {
        return Ok(None);
    };
    let typed = StateRow::decode(&row).and_then(|row| TypedValue::decode(row.value).ok());
    let event = typed.and_then(|typed| EVENT.value_type().decode(&typed.value).ok());
    event
        .map(Some)
        .ok_or_else(|| StorageError::senseless(STATE, &key))
}

impl Found {
    /// One line of a list.
    fn summary(&self) -> Value {
        let mut shown = Map::new();
        if let Value::Object(fields) = self.item.summary() {
            shown.extend(fields);
        }
        shown.insert("destination".to_owned(), json!(&*self.destination));
        shown.insert("action".to_owned(), json!(&*self.action));
        Value::Object(shown)
    }

    /// The job with its data and its latest transition.
    fn details(&self) -> RawFields {
        let mut shown = RawFields::of(&self.summary());
        let kept = self.item.kept();
        if let Some(record) = kept.record() {
            shown.extend(RawFields::of(&crate::jobs::described(&record)));
        }
        let latest = match kept.transitions() {
            Value::Array(mut steps) => steps.pop(),
            _ => None,
        };
        shown.set("transitions", &latest.as_slice());
        shown
    }
}

/// The jobs of a destination.
#[derive(Debug, Default)]
struct Stats {
    states: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<&'static str, u64>,
    attempts: u64,
    oldest_due: Option<crate::time::Timestamp>,
}

impl Stats {
    fn add(&mut self, item: &Item) {
        let delivery = item.kept().delivery();
        let state = delivery.state.map_or("none", DeliveryState::as_str);
        *self.states.entry(state).or_default() += 1;
        if delivery.state == Some(DeliveryState::Discarded)
            && let Some(reason) = delivery.reason
        {
            *self.reasons.entry(reason.as_str()).or_default() += 1;
        }
        self.attempts += u64::from(delivery.attempt);
        if let (Some(DeliveryState::Awaiting), Some(due)) = (delivery.state, delivery.due) {
            self.oldest_due = Some(self.oldest_due.map_or(due, |oldest| oldest.min(due)));
        }
    }

    fn shown(&self, destination: &str) -> Value {
        let oldest = self.oldest_due.map(crate::time::calendar::rfc3339);
        json!({
            "destination": destination,
            "states": self.states,
            "discarded_by_reason": self.reasons,
            "attempts": self.attempts,
            "oldest_due": oldest,
        })
    }
}
