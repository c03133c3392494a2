//! Endpoints: functions are called in this process or over HTTP, as one table says.

mod attempts;
mod in_process;
mod remote;
mod reply;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::core::{AddressKey, Bindings, EgressBinding, FunctionBinding, ValueWatch};
use super::egress::Egresses;
use super::parts::Parts;
use crate::module::FunctionPattern;
use crate::sdk::TypeName;

pub(crate) use self::attempts::Failing;
pub(super) use self::in_process::{InProcess, chain};
pub(super) use self::remote::Remote;
pub use self::remote::TlsFindings;
pub(crate) use self::remote::{FunctionLabels, Invocations};

/// Where a function is called. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Endpoint {
    /// Functions of this process.
    InProcess(Arc<InProcess>),
    /// A function server at a URL.
    Remote(Arc<Remote>),
}

impl Endpoint {
    fn binding(&self, name: &TypeNameParts<'_>) -> FunctionBinding {
        match self {
            Self::InProcess(endpoint) => endpoint.binding(name.0, name.1),
            Self::Remote(endpoint) => endpoint.binding(),
        }
    }
}

/// Makes a record for a pipeline, as an encoded `TypedValue`, of a content type, values and a payload.
pub(crate) type RecordForm = fn(&str, &[(&'static str, String)], Bytes) -> Bytes;

type TypeNameParts<'a> = (&'a str, &'a str);

/// All functions and egresses of a runtime.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// Sorted by (namespace, name): searched several times for each call, and never longer than a module file.
    exact: Vec<(TypeName, Endpoint)>,
    /// By namespace.
    namespaces: HashMap<String, Endpoint>,
    egresses: HashMap<String, HashMap<String, EgressBinding>>,
    /// The outboxes, once they are open.
    outboxes: OnceLock<Egresses>,
    /// The functions that take records, which are few.
    records: Vec<(TypeName, RecordForm)>,
    /// The functions that are parts of a larger whole.
    pub(super) parts: Parts,
    /// Counters of the attempts of all remote endpoints.
    pub(super) invocations: Invocations,
    /// Is notified of changes of some values.
    watch: Option<Arc<dyn ValueWatch>>,
}

impl Directory {
    /// A directory in which nothing is bound yet, of the functions that are parts of a larger whole.
    pub(super) fn of(parts: Parts) -> Self {
        Self {
            parts,
            ..Self::default()
        }
    }

    /// Sets the watch, which is notified of changes from now on.
    pub(super) fn watched_by(&mut self, watch: Option<Arc<dyn ValueWatch>>) {
        self.watch = watch;
    }

    /// Binds an endpoint. `false`: something is bound there already.
    pub(super) fn bind(&mut self, functions: &FunctionPattern, endpoint: Endpoint) -> bool {
        match functions {
            FunctionPattern::Exact(name) => match self.place(name.namespace(), name.name()) {
                Ok(_) => false,
                Err(free) => {
                    self.exact.insert(free, (name.clone(), endpoint));
                    true
                }
            },
            FunctionPattern::Namespace(namespace) => self
                .namespaces
                .insert(namespace.clone(), endpoint)
                .is_none(),
        }
    }

    /// The endpoint that a function type is bound to by its own name.
    pub(super) fn own_endpoint(&self, name: &TypeName) -> Option<&Endpoint> {
        let place = self.place(name.namespace(), name.name()).ok()?;
        self.exact.get(place).map(|(_, endpoint)| endpoint)
    }

    /// Removes what is bound to a function type by its own name, and what is known about it.
    pub(super) fn unbind(&mut self, name: &TypeName) {
        if let Ok(place) = self.place(name.namespace(), name.name()) {
            self.exact.remove(place);
        }
        self.records.retain(|(function, _)| function != name);
        self.parts.remove(name);
    }

    /// Binds an egress. `false`: one of this name exists already.
    pub(super) fn bind_egress(&mut self, name: &TypeName, binding: EgressBinding) -> bool {
        self.egresses
            .entry(name.namespace().to_owned())
            .or_default()
            .insert(name.name().to_owned(), binding)
            .is_none()
    }

    /// Sets the outboxes, whose fill level is known from now on.
    pub(super) fn know_outboxes(&self, outboxes: Egresses) {
        let is_first = self.outboxes.set(outboxes).is_ok();
        debug_assert!(is_first, "outboxes are opened once");
    }

    /// Marks a function as one that takes records.
    pub(super) fn takes_records(&mut self, function: TypeName, form: RecordForm) {
        self.records.push((function, form));
    }

    /// The function that makes a record for `target`, if it takes records.
    pub(super) fn record_of(&self, target: &AddressKey) -> Option<RecordForm> {
        let (namespace, name, _) = target.parts();
        let is_it =
            |function: &TypeName| function.namespace() == namespace && function.name() == name;
        let found = self.records.iter().find(|(function, _)| is_it(function));
        found.map(|(_, form)| *form)
    }

    /// The endpoint of a function type: its own, or that of its namespace.
    pub(super) fn endpoint(&self, namespace: &str, name: &str) -> Option<&Endpoint> {
        match self.place(namespace, name) {
            Ok(place) => self.exact.get(place).map(|(_, endpoint)| endpoint),
            Err(_) => self.namespaces.get(namespace),
        }
    }

    fn place(&self, namespace: &str, name: &str) -> Result<usize, usize> {
        self.exact.binary_search_by(|(known, _)| {
            (known.namespace(), known.name()).cmp(&(namespace, name))
        })
    }

    /// The bound functions, for messages: `<namespace>/<name>` and `<namespace>/*`, sorted. Without parts of a larger whole: messages are sent to
    /// the whole.
    pub(super) fn known(&self) -> Vec<String> {
        let exact = self.exact.iter().map(|(name, _)| name);
        let exact = exact.filter(|name| !self.parts.contains(name));
        let exact = exact.map(ToString::to_string);
        let namespaces = self
            .namespaces
            .keys()
            .map(|namespace| format!("{namespace}/*"));
        let mut known: Vec<String> = exact.chain(namespaces).collect();
        known.sort();
        known
    }
}

impl Bindings for Directory {
    fn function(&self, namespace: &str, name: &str) -> Option<FunctionBinding> {
        self.endpoint(namespace, name)
            .map(|endpoint| endpoint.binding(&(namespace, name)))
    }

    fn egress(&self, namespace: &str, name: &str) -> Option<EgressBinding> {
        self.egresses.get(namespace)?.get(name).cloned()
    }

    fn has_full_egresses(&self) -> bool {
        self.outboxes.get().is_some_and(Egresses::has_full)
    }

    fn full_egress(&self, egress: &[u8], sender: &[u8]) -> Option<String> {
        self.outboxes.get()?.full_for(egress, sender)
    }

    fn watch(&self) -> Option<&dyn ValueWatch> {
        self.watch.as_deref()
    }
}
