//! The admin API for operators. `docs/admin-api.md` is its contract.
//!
//! It has its own listener, which opens and stops with the runtime, and accesses the runtime through its `RuntimeHandle`. There is a file per
//! group of routes. May import every part except the binary.

mod damaged;
mod dead_letters;
mod declarations;
mod deliveries;
mod edit;
pub(crate) mod figures;
#[cfg(feature = "postgres")]
pub(crate) mod hand_out;
mod health;
mod import;
pub(crate) mod jobs;
mod kept;
mod loads;
mod metrics;
mod not_brought;
mod page;
mod params;
mod pipeline_metrics;
mod queues;
mod raw_fields;
pub(crate) mod rearm;
mod redriven;
mod routes;
mod send;
mod set_aside;
mod state;
mod states;
pub(crate) mod trim;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming as Body};
use hyper::service::service_fn;
use tokio::sync::{Semaphore, watch};

use crate::module::Token;
use crate::runtime::core::{AddressKey, AdminChange};
use crate::runtime::handle::{Changed, RuntimeHandle};
use crate::runtime::http_listeners::{Guard, HttpListeners, HttpServer, check_head};
use crate::runtime::listener::stopped;
use crate::runtime::respond::{self, FullResponse, Refusal, refuse};
use crate::runtime::service::Service;
use crate::runtime::{IntakeError, Listener, RuntimeBuilder, StartError};
use crate::sdk::BoxError;
use crate::storage::{Rows, StorageError};
use crate::transport::http::BodyReader;

use damaged::shown;
use page::Page;
use params::{Params, page_json};
use routes::{Route, Routed};

/// Address and token of the admin API.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdminConfig {
    /// `host:port`. Default `127.0.0.1:8191`.
    pub listen: String,
    /// The token that requests must have as `authorization: Bearer …`; without one the API listens on loopback addresses only.
    pub token: Option<Token>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8191".to_owned(),
            token: None,
        }
    }
}

impl RuntimeBuilder {
    /// Serves the admin API. By default there is none.
    pub fn admin(mut self, config: AdminConfig) -> Self {
        self.services.push(Box::new(Api { config, open: None }));
        self
    }
}

/// A reply of the API, complete or streamed.
type Reply = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// The API as a part of a runtime.
#[derive(Debug)]
struct Api {
    config: AdminConfig,
    /// From opening until serving.
    open: Option<(HttpServer, HttpListeners)>,
}

#[async_trait]
impl Service for Api {
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Listener, StartError> {
        let AdminConfig { listen, token } = &self.config;
        let server = listeners.open("admin api", listen, token.clone()).await?;
        let listener = server.listener.clone();
        let address = listener.address;
        if token.is_none() && !address.ip().is_loopback() {
            let what = format!(
                "the admin API on {address} would be open to everyone on the network: set --admin-token or STATEFUN_ADMIN_TOKEN (in the library AdminConfig::token), or listen on a loopback address"
            );
            return Err(StartError::Declared { what });
        }
        self.open = Some((server.reserved(listeners), listeners.clone()));
        Ok(listener)
    }

    async fn run(self: Box<Self>, runtime: RuntimeHandle, stop: watch::Receiver<bool>) {
        let Some((server, listeners)) = self.open else {
            return;
        };
        let admin = Arc::new(Admin {
            guard: server.guard.clone(),
            bodies: server.bodies.clone(),
            listeners,
            runtime,
            reads: Arc::new(Semaphore::new(READS_AT_A_TIME)),
        });
        let service = service_fn(move |request| {
            let admin = Arc::clone(&admin);
            async move {
                let is_head = request.method() == Method::HEAD;
                let reply = admin.answer(request).await;
                let reply = reply.unwrap_or_else(|refusal| whole(*refusal));
                Ok::<_, Infallible>(if is_head { without_body(reply) } else { reply })
            }
        });
        server.serve(service, stopped(stop)).await;
    }
}

/// Shared by all routes.
struct Admin {
    guard: Guard,
    bodies: BodyReader,
    listeners: HttpListeners,
    runtime: RuntimeHandle,
    /// Maximum lists read at the same time; others queue.
    reads: Arc<Semaphore>,
}

/// Health and metrics, for listeners beside the API.
pub(crate) struct Probes(Admin);

impl Probes {
    /// Probes of a runtime whose listeners share `listeners`.
    pub(crate) fn new(
        server: &HttpServer,
        listeners: &HttpListeners,
        runtime: RuntimeHandle,
    ) -> Self {
        Self(Admin {
            guard: server.guard.clone(),
            bodies: server.bodies.clone(),
            listeners: listeners.clone(),
            runtime,
            reads: Arc::new(Semaphore::new(READS_AT_A_TIME)),
        })
    }

    /// As `GET /health`.
    pub(crate) async fn health(&self) -> Result<FullResponse, Refusal> {
        full(self.0.health(&Params::default()).await?).await
    }

    /// As `GET /metrics`.
    pub(crate) async fn metrics(&self) -> Result<FullResponse, Refusal> {
        full(self.0.metrics(&Params::default()).await?).await
    }
}

async fn full(reply: Reply) -> Result<FullResponse, Refusal> {
    let (head, body) = reply.into_parts();
    let body = body.collect().await.map_err(|error| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        refuse(status, "metrics", &error.to_string())
    })?;
    Ok(Response::from_parts(head, Full::new(body.to_bytes())))
}

impl Admin {
    async fn answer(&self, request: Request<Body>) -> Result<Reply, Refusal> {
        check_head(&request)?;
        let Routed { route, allowed } = routes::route(request.uri().path())?;
        if !matches!(route, Route::Health | Route::Ready) {
            self.guard.check(&request)?;
        }
        if !takes(allowed, request.method()) {
            return Err(wrong_method(allowed));
        }
        let params = Params::of(request.uri())?;
        match route {
            Route::Health => self.health(&params).await,
            Route::Ready => self.ready(&params),
            Route::Metrics => self.metrics(&params).await,
            Route::Send(target) => self.send(request, &params, target).await,
            Route::Call(target) => self.call(request, &params, target).await,
            Route::States => self.states(&params).await,
            Route::StateExport => self.export_states(&params),
            Route::StateImport => self.import_states(request, &params).await,
            Route::State(address, name) => self.state(request, &params, address, name).await,
            Route::Declarations => self.declarations(&params).await,
            Route::Declaration(function, name) => {
                self.drop_declaration(&params, function, name).await
            }
            Route::Queues => self.queues(&params).await,
            Route::Resume(address) => self.resume(&params, address).await,
            Route::Deliveries => self.deliveries(&params).await,
            Route::Delivery(address) => self.delivery(&params, address).await,
            Route::Edit(address) => self.edit(request, &params, address).await,
            Route::Act(address, verb) => self.act(request, &params, address, verb).await,
            Route::Events => self.submit_event(request, &params).await,
            Route::Event(id) => self.event(&params, &id).await,
            Route::Jobs => self.jobs(&params).await,
            Route::Job(id) => self.job(&params, &id).await,
            Route::JobTransitions(id) => self.job_transitions(&params, &id).await,
            Route::JobAct(id, verb) => self.act_on_job(request, &params, &id, verb).await,
            Route::RedriveJobs => self.redrive_jobs(request, &params).await,
            Route::JobStats => self.job_stats(&params).await,
            Route::DeadLetters => self.dead_letters(&params).await,
            Route::DeadLetterExport => self.export_dead_letters(&params),
            Route::DeadLetter(address) => self.dead_letter(&params, address).await,
            Route::RedriveAll => self.redrive_all(request, &params).await,
            Route::SetAside => self.set_aside(&params).await,
            Route::OneSetAside(record) => self.one_set_aside(&params, record).await,
            Route::RedriveSetAside => self.redrive_set_aside(request, &params).await,
            Route::TakeBack(record, again) => self.take_back(request, &params, record, again).await,
        }
    }

    /// Makes a change in the partition of `address`; ready when it is on disk.
    async fn change(&self, address: &AddressKey, change: AdminChange) -> Result<Change, Refusal> {
        let changed = self.runtime.change(address, change, CHANGE_TIMEOUT).await;
        self.outcome(changed)
    }

    /// The reply about a change.
    fn outcome(&self, changed: Changed) -> Result<Change, Refusal> {
        match changed {
            Changed::Done => Ok(Change::Made),
            Changed::Refused(reason) => Ok(Change::Refused(reason)),
            Changed::Stopping => Err(Box::new(respond::refused(&IntakeError::Stopping))),
            Changed::TimedOut => {
                let text = format!(
                    "not done within {CHANGE_TIMEOUT:?}; it is made when the address's call has returned"
                );
                Err(refuse(StatusCode::GATEWAY_TIMEOUT, "change.timeout", &text))
            }
        }
    }

    /// Reads the store away from the tasks that must not wait.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Rows) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, Refusal> {
        // A closed semaphore would have the same effect as none.
        let _turn = self.reads.acquire().await;
        self.runtime.read(work).await.map_err(|error| {
            let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "store.not_readable");
            refuse(status, code, &error.to_string())
        })
    }

    /// One page of a list, read and written away from the tasks that must not wait.
    async fn page<T: 'static>(
        &self,
        next: impl FnOnce(&dyn Rows) -> Result<Page<T>, StorageError> + Send + 'static,
        show: fn(&T) -> serde_json::Value,
    ) -> Result<Reply, Refusal> {
        // As all JSON replies do, it ends with a line feed.
        let page = move |rows: &dyn Rows| Ok(format!("{}\n", page_json(&next(rows)?, show)));
        let (json, body) = (HeaderValue::from_static(JSON), self.read(page).await?);
        Ok(whole(respond::with_type(StatusCode::OK, json, body.into())))
    }

    /// A reply of JSON lines that are read, page by page, while they are sent. If the store cannot be read, it is cut off.
    fn json_lines<T: 'static>(
        &self,
        next: impl Fn(&dyn Rows, Option<&[u8]>) -> Result<Page<T>, StorageError> + Send + Sync + 'static,
        show: fn(&T) -> serde_json::Value,
    ) -> Reply {
        let (next, runtime, reads) = (Arc::new(next), self.runtime.clone(), self.reads.clone());
        let pages = stream::unfold(Some(None::<Bytes>), move |after| {
            let (next, runtime, reads) = (Arc::clone(&next), runtime.clone(), reads.clone());
            async move {
                let after = after?;
                let lines = move |rows: &dyn Rows| {
                    let page = next(rows, after.as_deref())?;
                    let lines = page
                        .items
                        .iter()
                        .map(|item| format!("{}\n", shown(item, show)));
                    Ok((Bytes::from(lines.collect::<String>()), page.next))
                };
                let _turn = reads.acquire().await;
                Some(match runtime.read(lines).await {
                    Ok((lines, next)) => (Ok(Frame::data(lines)), next.map(Some)),
                    Err(_) => (Err(BoxError::from("the store cannot be read")), None),
                })
            }
        });
        let mut reply = Response::new(StreamBody::new(pages).boxed_unsync());
        reply
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
        reply
    }
}

const JSON: &str = "application/json";
const READS_AT_A_TIME: usize = 4;

/// The result of a change that was answered in time.
enum Change {
    Made,
    /// The reason why not.
    Refused(String),
}

/// Time limit of a change, which waits for the call of its address: calls may take minutes, but the operator should not wait that long.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a route accepts the method. HEAD is answered like GET, without the body.
fn takes(allowed: &[Method], method: &Method) -> bool {
    allowed.contains(method) || (*method == Method::HEAD && allowed.contains(&Method::GET))
}

fn wrong_method(allowed: &[Method]) -> Refusal {
    let mut names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    if takes(allowed, &Method::HEAD) {
        names.push("HEAD");
    }
    let names = names.join(", ");
    let text = format!("this route takes {names}");
    respond::wrong_method(&names, &text)
}

fn whole(answer: FullResponse) -> Reply {
    answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
}

/// The reply to a HEAD: its head has the length of the omitted body.
fn without_body(reply: Reply) -> Reply {
    let (mut head, body) = reply.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    let nothing = Empty::new().map_err(|never| match never {});
    Response::from_parts(head, nothing.boxed_unsync())
}

fn ok(body: &impl serde::Serialize) -> Reply {
    whole(respond::json(StatusCode::OK, body))
}

fn bad_request(text: &str) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, "bad_request", text)
}
