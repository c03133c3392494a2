//! The same two hops by hand, without storage: an HTTP call in, one call of the remote function, its answer out. The state
//! of each id is in a map.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message;

use crate::by_hand::{
    Address, Batch, FromFunction, Int64, Invocation, PersistedValue, ToFunction, TypedValue, text,
};

/// The value of one id. Its calls follow one another.
type Cell = Arc<tokio::sync::Mutex<Option<TypedValue>>>;

#[derive(Clone)]
pub(crate) struct Relay {
    functions: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    ids: Arc<Mutex<HashMap<String, Cell>>>,
}

impl Relay {
    /// To the functions served at `functions`.
    pub(crate) fn new(functions: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            functions,
            client: Client::builder(TokioExecutor::new()).build(connector),
            ids: Arc::default(),
        }
    }

    /// `POST /call/<namespace>/<type>/<id>` with a text.
    pub(crate) async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await?.to_bytes();
        let mut segments = path.strip_prefix("/call/").context("no call")?.split('/');
        let mut segment = || segments.next().map(str::to_owned).context("a short path");
        let target = Address {
            namespace: segment()?,
            r#type: segment()?,
            id: segment()?,
        };
        let cell = self.cell(&target.id);
        let mut value = cell.lock().await;
        let batch = Batch {
            target: Some(target),
            state: vec![PersistedValue {
                state_name: "total".to_owned(),
                state_value: value.take(),
            }],
            invocations: vec![Invocation {
                caller: Some(gateway()),
                argument: Some(text(std::str::from_utf8(&body)?)),
            }],
        };
        let reply = self.call(ToFunction { batch: Some(batch) }).await?;
        let result = reply.result.context("the function asks for more values")?;
        *value = result
            .state_mutations
            .into_iter()
            .find_map(|it| it.state_value);
        let outgoing = result.outgoing_messages.into_iter().next();
        let total = outgoing.and_then(|it| it.argument).context("no answer")?;
        let total = Int64::decode(&*total.value)?.value;
        Ok(Response::new(Full::new(total.to_string().into())))
    }

    fn cell(&self, id: &str) -> Cell {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        match ids.get(id) {
            Some(cell) => Arc::clone(cell),
            None => Arc::clone(ids.entry(id.to_owned()).or_default()),
        }
    }

    async fn call(&self, request: ToFunction) -> Result<FromFunction> {
        let request = Request::post(format!("http://{}/", self.functions))
            .header("content-type", "application/octet-stream")
            .body(Full::new(request.encode_to_vec().into()))?;
        let reply = self.client.request(request).await?;
        Ok(FromFunction::decode(
            reply.into_body().collect().await?.to_bytes(),
        )?)
    }
}

/// The receiver of the total.
fn gateway() -> Address {
    Address {
        namespace: "bench".to_owned(),
        r#type: "gateway".to_owned(),
        id: "caller".to_owned(),
    }
}
