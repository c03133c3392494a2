//! What a function answers, written short.

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode;
use stateful_functions::protocol::reqreply::from_function::persisted_value_mutation::MutationType;
use stateful_functions::protocol::reqreply::from_function::{
    DelayedInvocation, EgressMessage, ExpirationSpec, IncompleteInvocationContext, Invocation,
    InvocationResponse, PersistedValueMutation, PersistedValueSpec, Response,
};
use stateful_functions::protocol::reqreply::{Address, TypedValue};

/// What a function answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply(pub(crate) Response);

impl Reply {
    pub(crate) fn new() -> Self {
        Self(Response::InvocationResult(InvocationResponse::default()))
    }

    /// States that are missing: names, and after how long they expire.
    pub(crate) fn missing(states: &[(&str, ExpireMode, i64)]) -> Self {
        let specs = states
            .iter()
            .map(|(name, mode, millis)| PersistedValueSpec {
                state_name: (*name).to_owned(),
                expiration_spec: Some(ExpirationSpec {
                    mode: (*mode).into(),
                    expire_after_millis: *millis,
                }),
                type_typename: "test/text".into(),
            });
        Self(Response::IncompleteInvocationContext(
            IncompleteInvocationContext {
                missing_values: specs.collect(),
            },
        ))
    }

    /// A state that is missing, of this typename.
    pub(crate) fn needs_type(name: &str, typename: &str) -> Self {
        Self(Response::IncompleteInvocationContext(
            IncompleteInvocationContext {
                missing_values: vec![PersistedValueSpec {
                    state_name: name.to_owned(),
                    expiration_spec: None,
                    type_typename: typename.to_owned(),
                }],
            },
        ))
    }

    /// States that are missing and never expire.
    pub(crate) fn needs(names: &[&str]) -> Self {
        let states: Vec<_> = names
            .iter()
            .map(|name| (*name, ExpireMode::None, 0))
            .collect();
        Self::missing(&states)
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut InvocationResponse)) -> Self {
        if let Response::InvocationResult(response) = &mut self.0 {
            change(response);
        }
        self
    }

    pub(crate) fn send(self, target: &str, text: &str) -> Self {
        self.with(|response| {
            response.outgoing_messages.push(Invocation {
                target: Some(address(target)),
                argument: Some(typed(text)),
            });
        })
    }

    /// The argument as it goes over the wire, or none.
    pub(crate) fn send_raw(self, target: &str, argument: Option<&[u8]>) -> Self {
        self.with(|response| {
            response.outgoing_messages.push(Invocation {
                target: Some(address(target)),
                argument: argument.map(Bytes::copy_from_slice),
            });
        })
    }

    /// Changes the declaration of each missing state.
    pub(crate) fn with_missing(mut self, change: impl Fn(&mut PersistedValueSpec)) -> Self {
        if let Response::IncompleteInvocationContext(missing) = &mut self.0 {
            missing.missing_values.iter_mut().for_each(change);
        }
        self
    }

    pub(crate) fn after(self, delay_in_ms: i64, target: &str, text: &str) -> Self {
        self.armed(delay_in_ms, target, text, "")
    }

    pub(crate) fn armed(self, delay_in_ms: i64, target: &str, text: &str, token: &str) -> Self {
        self.with(|response| {
            response.delayed_invocations.push(DelayedInvocation {
                delay_in_ms,
                target: Some(address(target)),
                argument: Some(typed(text)),
                is_cancellation_request: false,
                cancellation_token: token.to_owned(),
            });
        })
    }

    pub(crate) fn cancel(self, token: &str) -> Self {
        self.with(|response| {
            response.delayed_invocations.push(DelayedInvocation {
                is_cancellation_request: true,
                cancellation_token: token.to_owned(),
                ..DelayedInvocation::default()
            });
        })
    }

    pub(crate) fn egress(self, egress: &str, text: &str) -> Self {
        let (namespace, name) = egress.split_once('/').unwrap();
        self.with(|response| {
            response.outgoing_egresses.push(EgressMessage {
                egress_namespace: namespace.to_owned(),
                egress_type: name.to_owned(),
                argument: Some(typed(text)),
            });
        })
    }

    pub(crate) fn set(self, name: &str, text: &str) -> Self {
        self.mutate(MutationType::Modify.into(), name, Some(typed(text)))
    }

    pub(crate) fn remove(self, name: &str) -> Self {
        self.mutate(MutationType::Delete.into(), name, None)
    }

    pub(crate) fn mutate(self, mutation_type: i32, name: &str, state_value: Option<Bytes>) -> Self {
        self.with(|response| {
            response.state_mutations.push(PersistedValueMutation {
                mutation_type,
                state_name: name.to_owned(),
                state_value,
            });
        })
    }
}

/// An encoded value of type `test/text`.
pub(crate) fn typed(text: &str) -> Bytes {
    let value = TypedValue {
        typename: "test/text".into(),
        has_value: true,
        value: text.to_owned().into(),
    };
    value.encode_to_vec().into()
}

/// `<namespace>/<type>/<id>`, or an id of the function `a/f`.
pub(crate) fn parts(text: &str) -> (&str, &str, &str) {
    match text.split('/').collect::<Vec<_>>()[..] {
        [namespace, name, id] => (namespace, name, id),
        _ => ("a", "f", text),
    }
}

pub(crate) fn address(text: &str) -> Address {
    let (namespace, name, id) = parts(text);
    Address {
        namespace: namespace.to_owned(),
        r#type: name.to_owned(),
        id: id.to_owned(),
    }
}
