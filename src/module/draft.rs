//! A module while its documents are read: its bindings, and faults that only all documents together show.

use std::fmt;

use crate::document::{Complaint, Finding, Findings, Location};
use crate::pipeline::OwnStages;
use crate::sdk::TypeName;

use super::{Ingress, Module, kinds};

/// A name that a document binds. Each can be bound once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Binding {
    Namespace(String),
    Function(TypeName),
    Ingress(TypeName),
    Egress(TypeName),
}

impl Binding {
    /// StateFun's name of it.
    fn key(&self) -> String {
        match self {
            Self::Namespace(namespace) => namespace.clone(),
            Self::Function(name) => function_key(name),
            Self::Ingress(id) => format!(
                "IngressIdentifier({}, {}, interface com.google.protobuf.Message)",
                id.namespace(),
                id.name()
            ),
            Self::Egress(id) => format!(
                "EgressKey({}, {}, class {TYPED_VALUE})",
                id.namespace(),
                id.name()
            ),
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(namespace) => write!(f, "functions {namespace}/*"),
            Self::Function(name) => write!(f, "function {name}"),
            Self::Ingress(id) => write!(f, "ingress {id}"),
            Self::Egress(id) => write!(f, "egress {id}"),
        }
    }
}

/// A module while its documents are read.
pub(super) struct Draft<'a> {
    pub(super) module: Module,
    pub(super) findings: &'a Findings,
    bound: Vec<(Binding, Location)>,
    /// The functions to which ingresses send, with locations.
    pub(super) targets: Vec<(TypeName, Finding)>,
    /// The egresses to which stages of pipelines send, with locations.
    pub(super) egresses: Vec<(TypeName, Finding)>,
    /// Stages of the application.
    pub(super) own_stages: OwnStages,
}

impl<'a> Draft<'a> {
    pub(super) fn new(findings: &'a Findings) -> Self {
        Self {
            module: Module::default(),
            findings,
            bound: Vec::new(),
            targets: Vec::new(),
            egresses: Vec::new(),
            own_stages: OwnStages::default(),
        }
    }

    /// Binds the name of the document at `at`. A second binding is a fault.
    pub(super) fn bind(&mut self, binding: Binding, at: Finding) {
        let Finding { location, path, .. } = at;
        if let Some((_, first)) = self.bound.iter().find(|(bound, _)| *bound == binding) {
            let complaint = Complaint::with_remedy(
                format!("{binding} is bound a second time"),
                format!("it was at {first}"),
            );
            let key = binding.key();
            let complaint = complaint.upstream(format!(
                "A binding for the key {key} was previously defined."
            ));
            self.findings.fault(Finding::new(location, path, complaint));
            return;
        }
        self.bound.push((binding, location));
    }

    /// Reports faults that only all documents together show, if all of them could be read.
    pub(super) fn check_whole(&self, location: &Location) {
        let note = |text: &str| Finding::new(location.clone(), "", text);
        let module = &self.module;
        if module.ingresses.is_empty() {
            self.findings.warning(note(NO_INGRESS));
        }
        if !module.ingresses.iter().any(Ingress::is_portable) {
            let remedy = "bind a Kafka or Kinesis ingress there";
            let complaint = Complaint::with_remedy(NO_INGRESS, remedy);
            self.findings
                .not_for_flink(Finding::new(location.clone(), "", complaint));
        }
        let out = kinds::SAMPLES_OUT;
        if module.samples
            && !module
                .egresses
                .iter()
                .any(|egress| egress.id.as_str() == out)
        {
            let text =
                format!("the sample reminder sends to the egress {out}, which no document binds");
            self.findings.warning(note(&text));
        }
        if module.endpoints.is_empty() {
            self.findings
                .not_for_flink(note("There are no function providers defined."));
            if !module.samples && module.pipelines.is_empty() && module.jobs.is_empty() {
                let text = "the module binds no function: only functions registered in the program itself can be reached";
                self.findings.warning(note(text));
            }
        }
        self.check_targets();
        self.check_egresses();
    }

    /// StateFun's okhttp takes the connection to one UNIX socket for that to another.
    pub(super) fn check_sockets(&self) {
        let endpoints = self.module.endpoints.iter();
        let mut sockets = endpoints.filter_map(|endpoint| Some((endpoint, endpoint.socket()?)));
        let Some((first, socket)) = sockets.next() else {
            return;
        };
        for (endpoint, _) in sockets.filter(|(_, other)| *other != socket) {
            let complaint = Complaint::with_remedy(
                format!(
                    "calls of {} and of {}, which are behind different UNIX sockets, all go to the one that is called first",
                    first.functions, endpoint.functions
                ),
                "serve both behind one socket",
            );
            let path = "spec.urlPathTemplate";
            self.findings
                .not_for_flink(Finding::new(endpoint.location.clone(), path, complaint));
        }
    }

    /// Reports every egress that a pipeline sends to and no document binds.
    fn check_egresses(&self) {
        for (id, at) in &self.egresses {
            let binding = Binding::Egress(id.clone());
            if self.bound.iter().any(|(bound, _)| *bound == binding) {
                continue;
            }
            let complaint = Complaint::with_remedy(
                format!("no document binds the egress {id}"),
                format!("add a document of an egress kind with `id: {id}`"),
            );
            let (location, path) = (at.location.clone(), at.path.as_str());
            self.findings.fault(Finding::new(location, path, complaint));
        }
    }

    /// Warns of every function that an ingress sends to and no document binds.
    fn check_targets(&self) {
        for (target, at) in &self.targets {
            let serves = |bound: &Binding| match bound {
                Binding::Function(name) => name == target,
                Binding::Namespace(namespace) => namespace == target.namespace(),
                _ => false,
            };
            if self.bound.iter().any(|(bound, _)| serves(bound)) {
                continue;
            }
            let complaint = Complaint::with_remedy(
                format!("no document binds {target}"),
                format!(
                    "add an endpoint for {target} or for {}/*",
                    target.namespace()
                ),
            );
            let complaint = complaint.upstream(format!(
                "Cannot find a provider for type {}: no document binds {target}",
                function_key(target)
            ));
            self.findings.warning(Finding::new(
                at.location.clone(),
                at.path.as_str(),
                complaint,
            ));
        }
    }
}

const NO_INGRESS: &str = "There are no ingress defined.";

/// The class of everything that remote functions send and receive.
const TYPED_VALUE: &str = "org.apache.flink.statefun.sdk.reqreply.generated.TypedValue";

/// StateFun's name of the binding of one function type.
fn function_key(name: &TypeName) -> String {
    format!("FunctionType({}, {})", name.namespace(), name.name())
}
