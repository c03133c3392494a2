//! Binds the functions and egresses of a builder to their names.

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use super::builder::RuntimeBuilder;
use super::config::RuntimeConfig;
use super::core::{Bindings as _, EgressBinding};
use super::endpoint::{Directory, Endpoint, InProcess, Remote};
use super::error::StartError;
use super::parts::Parts;
use crate::handler::RequestReplyHandler;
use crate::module::FunctionPattern;
use crate::random::Random;
use crate::sdk::{StatefulFunctions, TypeName};

impl RuntimeBuilder {
    /// All functions and egresses by name. Calls are not retried once `closed` becomes true.
    pub(super) fn directory(
        &self,
        closed: &watch::Receiver<bool>,
    ) -> Result<Directory, StartError> {
        let mut directory = Directory::of(Parts::new(self.parts.clone()));
        for (function, form) in &self.records {
            directory.takes_records(function.clone(), *form);
        }
        for functions in &self.functions {
            bind_all(&mut directory, functions, &self.config)?;
        }
        for spec in &self.endpoints {
            let functions = spec.functions.clone();
            let random = Random::seeded(Uuid::new_v4().as_u64_pair().0);
            let invocations = directory.invocations.clone();
            let remote = Remote::new(
                spec.clone(),
                self.network.clone(),
                invocations,
                closed.clone(),
                random,
            );
            let endpoint = Endpoint::Remote(Arc::new(remote));
            bind(&mut directory, &functions, &endpoint)?;
        }
        let sinks = self.sinks.iter();
        let sinks = sinks.map(|(name, _)| (name, EgressBinding::Outbox));
        let functions = self.egress_functions.iter();
        let functions = functions.map(|(name, f)| (name, EgressBinding::Function(f.clone())));
        for (name, binding) in sinks.chain(functions) {
            if !directory.bind_egress(name, binding) {
                return Err(bound_twice("egress", name));
            }
        }
        for (name, function) in &self.egress_functions {
            if directory
                .function(function.namespace(), function.name())
                .is_none()
            {
                return Err(StartError::Declared {
                    what: format!("egress {name}: function {function} is not bound"),
                });
            }
        }
        Ok(directory)
    }
}

/// Binds functions in this process.
pub(super) fn bind_all(
    directory: &mut Directory,
    functions: &StatefulFunctions,
    config: &RuntimeConfig,
) -> Result<(), StartError> {
    let names: Vec<_> = functions
        .specs()
        .iter()
        .map(|spec| spec.type_name().clone())
        .collect();
    let handler = RequestReplyHandler::new(functions.clone());
    let in_process = InProcess::new(handler, config.max_backlog_per_address);
    let endpoint = Endpoint::InProcess(Arc::new(in_process));
    for name in names {
        bind(directory, &FunctionPattern::Exact(name), &endpoint)?;
    }
    Ok(())
}

fn bind(
    directory: &mut Directory,
    functions: &FunctionPattern,
    endpoint: &Endpoint,
) -> Result<(), StartError> {
    if directory.bind(functions, endpoint.clone()) {
        return Ok(());
    }
    Err(StartError::BoundTwice {
        what: format!("function {functions}"),
    })
}

/// Two parts have the same name.
pub(super) fn bound_twice(what: &str, name: &TypeName) -> StartError {
    StartError::BoundTwice {
        what: format!("{what} {name}"),
    }
}
