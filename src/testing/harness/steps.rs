//! The steps of the core: an input, its effects, and the disk after it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use bytes::Bytes;
use prost::Message as _;

use super::{BatchFailure, Harness, HarnessError};
use crate::clock::Clock as _;
use crate::protocol::reqreply::FromFunction;
use crate::runtime::core::keys::{OUTBOX, take_text};
use crate::runtime::core::{
    AddressKey, Arrival, Bindings, CallId, Core, CoreSettings, EgressBinding, Failure,
    FunctionBinding, GATEWAY, Input, Output, Refusal,
};
use crate::sdk::{Address, EgressMessage, Message, StatefulFunctions, TypeName, TypedBytes};
use crate::storage::{Store, Write};

/// A call in progress.
pub(super) struct Call {
    id: CallId,
    reply: Pin<Box<dyn Future<Output = Result<FromFunction, Failure>> + Send>>,
}

impl Harness {
    pub(super) fn arrive(
        &mut self,
        message: &Message,
        gateway: Option<String>,
    ) -> Result<(), HarnessError> {
        self.step(Input::Arrive(Arrival {
            ticket: 0,
            target: AddressKey::from(message.target()),
            argument: message.typed().raw().clone(),
            gateway,
            key: None,
        }));
        let target = message.target().clone();
        match self.refused.take() {
            None => Ok(()),
            Some(Refusal::UnknownFunction) => Err(HarnessError::UnknownFunction { target }),
            Some(refusal) => Err(HarnessError::Refused {
                reason: format!("{refusal:?}"),
            }),
        }
    }

    pub(super) fn poll_calls(&mut self, task: &mut Task<'_>) -> Poll<()> {
        loop {
            let returned = self.calls.iter_mut().enumerate().find_map(|(place, call)| {
                match call.reply.as_mut().poll(task) {
                    Poll::Ready(result) => Some((place, result)),
                    Poll::Pending => None,
                }
            });
            let Some((place, result)) = returned else {
                return if self.calls.is_empty() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                };
            };
            let call = self.calls.remove(place).id;
            self.step(Input::Answered { call, result });
        }
    }

    /// Handles one input and everything that follows from it; at the end all of it is on disk.
    pub(super) fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.core.handle(input, self.clock.now(), &mut out);
        loop {
            for output in std::mem::take(&mut out) {
                self.act(output);
            }
            let durable = self.syncer.sync().expect("rows in memory are never full");
            if durable == self.durable {
                return;
            }
            self.durable = durable;
            self.core
                .handle(Input::Durable(durable), self.clock.now(), &mut out);
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Call { call, request, .. } => self.begin(call, request),
            Output::Refused(_, refusal) => self.refused = Some(refusal),
            Output::Answer(gateway, value) => self.answered(gateway, value),
            Output::Egress {
                egress, id, record, ..
            } => {
                let row = [&egress[..], &id.encode()].concat();
                self.store.stage(vec![Write::delete(OUTBOX, row)]);
                self.sent(egress, record);
            }
            Output::Failed {
                address,
                failure,
                attempt,
                invocations,
                verdict,
            } => self.failures.push(BatchFailure {
                address: address.to_address(),
                messages: invocations,
                attempt,
                reason: failure.to_string(),
                retry_at: verdict.retry_at(),
            }),
            Output::Changed(_, Err(warning)) | Output::Warning(warning) => {
                self.warnings.push(warning);
            }
            // A single core forwards nothing, there are no keys, and acceptance shows in the effects.
            Output::Forward(..)
            | Output::Accepted(_)
            | Output::Replayed(..)
            | Output::Attached(..)
            | Output::Changed(_, Ok(())) => {}
        }
    }

    fn begin(&mut self, id: CallId, request: Bytes) {
        let handler = self.handler.clone();
        let reply = Box::pin(async move {
            let failed = |reason: String| Failure::new(reason);
            let reply = handler.handle(request).await;
            let reply = reply.map_err(|error| failed(error.to_line()))?;
            FromFunction::decode(reply).map_err(|error| failed(error.to_string()))
        });
        self.calls.push(Call { id, reply });
    }

    /// The first answer counts; later ones have no receiver.
    fn answered(&mut self, gateway: String, value: Bytes) {
        let target = Address::from_wire(GATEWAY.0, GATEWAY.1, &gateway);
        if let Ok(typed) = TypedBytes::parse(value) {
            let answer = Message::new(target, typed);
            self.answers.entry(gateway).or_insert(answer);
        }
    }

    fn sent(&mut self, egress: Bytes, record: Bytes) {
        let mut rest = &egress[..];
        let mut next = || take_text(&mut rest).unwrap_or_default().to_owned();
        let name = TypeName::from_wire(&next(), &next());
        if let Ok(typed) = TypedBytes::parse(record) {
            let message = EgressMessage::new(name, typed);
            self.egress.entry(egress).or_default().push(message);
        }
    }
}

/// A core for these functions, over what is in `store`.
pub(super) fn core(bindings: &Arc<Registered>, store: &Store) -> Core {
    let bindings: Arc<dyn Bindings> = bindings.clone();
    Core::new(CoreSettings::default(), bindings, store.clone())
}

/// Binds the functions of the registry, and every egress.
#[derive(Debug)]
pub(super) struct Registered(pub(super) StatefulFunctions);

impl Bindings for Registered {
    fn function(&self, namespace: &str, name: &str) -> Option<FunctionBinding> {
        let spec = self.0.find(namespace, name)?;
        Some(FunctionBinding {
            after_durable: spec.is_after_durable(),
            max_backlog: 0,
        })
    }

    fn egress(&self, _namespace: &str, _name: &str) -> Option<EgressBinding> {
        Some(EgressBinding::Outbox)
    }
}
