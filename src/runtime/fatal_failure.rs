//! The failure that ends an application. With [`OnError::Fail`](super::OnError::Fail) it ends when a batch has used up its attempts.

use tokio::sync::watch;

use super::core::Failure;
use crate::sdk::Address;

/// Why an application has stopped: the attempts of a batch were used up. Nothing is lost; the next start tries the same batch.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{address} has failed for good, at attempt {attempt} with a batch of {messages}{}",
    on_statefun(address, *statefun_words)
)]
#[non_exhaustive]
pub struct ApplicationFailure {
    /// Whose batch it is.
    pub address: Address,
    /// Messages in the batch.
    pub messages: usize,
    /// How often it was tried since the last success or start.
    pub attempt: u32,
    /// Why the last attempt failed.
    #[source]
    pub cause: Failure,
    /// Whether the message uses StateFun's wording.
    pub(super) statefun_words: bool,
}

fn on_statefun(address: &Address, is_wanted: bool) -> String {
    if !is_wanted {
        return String::new();
    }
    let function = address.type_name();
    let (namespace, name) = (function.namespace(), function.name());
    format!(
        ": An error occurred when attempting to invoke function FunctionType({namespace}, {name})."
    )
}

/// Tells all parts of a runtime that it has failed. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct FatalFailure {
    failure: watch::Sender<Option<ApplicationFailure>>,
    /// Becomes true when no more input is accepted.
    closing: watch::Sender<bool>,
}

impl FatalFailure {
    /// `closing` is set to true when the runtime fails.
    pub(super) fn new(closing: watch::Sender<bool>) -> Self {
        Self {
            failure: watch::Sender::new(None),
            closing,
        }
    }

    /// Ends the application. The first failure counts.
    pub(super) fn fail(&self, failure: ApplicationFailure) {
        self.failure.send_if_modified(|told| {
            let first = told.is_none();
            if first {
                *told = Some(failure);
            }
            first
        });
        self.closing.send_replace(true);
    }

    /// Why the application has failed, if it has.
    pub(super) fn failure(&self) -> Option<ApplicationFailure> {
        self.failure.borrow().clone()
    }

    /// Ready once the application has failed.
    pub(super) async fn failed(&self) -> ApplicationFailure {
        let mut told = self.failure.subscribe();
        loop {
            if let Some(failure) = told.borrow_and_update().clone() {
                return failure;
            }
            if told.changed().await.is_err() {
                // `self` holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }
}
