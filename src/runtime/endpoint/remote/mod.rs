//! A function server over HTTP: one call makes as many attempts as its transport's time budget allows.
//!
//! StateFun's two transports differ in what is in `schedule` (when is tried again), `answer` (what is tried again), `headers`,
//! `url`, and `redirect` (okhttp only). `words` has the texts of failures. `function` makes one attempt. Settings come from `module`.

mod answer;
mod failed;
mod function;
mod headers;
mod invocations;
mod old_key;
mod quiet;
mod redirect;
mod schedule;
mod tls;
mod tls_findings;
mod url;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::warn;

use self::function::Function;
use self::schedule::Schedule;
use crate::module::Endpoint as EndpointSpec;
use crate::protocol::reqreply::FromFunction;
use crate::random::Random;
use crate::runtime::core::{AddressKey, Failure, FunctionBinding};
use crate::sdk::TypeName;
use crate::transport::http::client::Network;

pub(crate) use self::invocations::{FunctionLabels, Invocations};
pub use self::tls_findings::TlsFindings;

/// A function server at a URL.
#[derive(Debug)]
pub(crate) struct Remote {
    spec: EndpointSpec,
    network: Network,
    schedule: Schedule,
    /// By name, from their first call on.
    functions: RwLock<HashMap<String, Arc<Function>>>,
    invocations: Invocations,
    /// Turns true, or closes, when nothing is tried again.
    stopping: watch::Receiver<bool>,
    random: Mutex<Random>,
}

impl Remote {
    /// An endpoint of a module file. If it cannot be called, the reason is logged here, and is the failure of each call.
    pub(crate) fn new(
        spec: EndpointSpec,
        network: Network,
        invocations: Invocations,
        stopping: watch::Receiver<bool>,
        random: Random,
    ) -> Self {
        if let Err(cause) = function::client_config(&spec, &network, 0) {
            warn!(functions = %spec.functions, %cause, "calls will fail");
        }
        Self {
            schedule: Schedule::of(&spec.transport),
            functions: RwLock::default(),
            invocations,
            stopping,
            random: Mutex::new(random),
            network,
            spec,
        }
    }

    pub(crate) fn binding(&self) -> FunctionBinding {
        let max_backlog = self
            .spec
            .max_batch_requests
            .map_or(0, |max| u64::from(max.get()));
        FunctionBinding {
            after_durable: false,
            max_backlog,
        }
    }

    /// Calls until an attempt succeeds, one fails for good, or the budget is used up. `None`: the runtime goes down, and
    /// nothing is tried again.
    pub(crate) async fn call(
        &self,
        target: &AddressKey,
        request: Bytes,
    ) -> Option<Result<FromFunction, Failure>> {
        let function = match self.function(target) {
            Ok(function) => function,
            Err(cause) => return Some(Err(words::never_called(target, &cause))),
        };
        let mut call = self.invocations.failing.follow(target);
        let transport = &self.spec.transport;
        let started = Instant::now();
        let left = || self.schedule.left(started.elapsed());
        let mut before = None;
        for failures in 1.. {
            let limit = self.schedule.attempt_limit(left(), || self.minimum());
            let failed = match function.attempt(request.clone(), limit).await {
                Ok(reply) => return Some(Ok(reply)),
                Err(failed) => failed,
            };
            function.report(target, failures, &failed);
            let failed = schedule::telling(limit, failed, before);
            let failure =
                |exhausted| words::failure(target, transport, &failed, failures, exhausted);
            if !failed.retry {
                return Some(Err(failure(false)));
            }
            let Some(wait) = self.schedule.wait(failures, left()) else {
                return Some(Err(failure(true)));
            };
            // A wait that this call has no time for is that of its address: the call slot is free meanwhile.
            let asked_wait = failed.asked_wait.unwrap_or_default();
            if asked_wait > wait && asked_wait >= left() {
                return Some(Err(failure(false)));
            }
            call.failed(failures, words::told(&failed));
            if self.stops_within(wait.max(asked_wait)).await {
                return None;
            }
            if !self.schedule.goes_on(left()) {
                return Some(Err(failure(true)));
            }
            before = Some(failed);
        }
        None
    }

    /// Waits. `true`: the runtime goes down meanwhile.
    async fn stops_within(&self, wait: Duration) -> bool {
        let mut stopping = self.stopping.clone();
        timeout(wait, stopping.wait_for(|stopping| *stopping))
            .await
            .is_ok()
    }

    /// What an attempt is given at least, however little is left of the budget.
    fn minimum(&self) -> Duration {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        schedule::minimum(&mut random)
    }

    fn function(&self, target: &AddressKey) -> Result<Arc<Function>, String> {
        let (namespace, name, _) = target.parts();
        // The table is whole after every statement, so a panic elsewhere does not spoil it.
        let functions = self
            .functions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(Arc::clone(function));
        }
        drop(functions);
        if let Some(fault) = &self.spec.lazy_fault {
            return Err(fault.clone());
        }
        // Bound by the module as it is, even where an SDK would refuse the name.
        let type_name = TypeName::from_wire(namespace, name);
        let seed = self
            .random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_u64();
        let function = Function::new(
            &self.spec,
            &self.network,
            &type_name,
            &self.invocations,
            seed,
        )?;
        let mut functions = self
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let function = functions
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(function));
        Ok(Arc::clone(function))
    }
}
