//! Module files: YAML documents to a checked module.
//!
//! Files are taken as StateFun's runtime takes them, placeholders are replaced, and everything that is wrong is reported at once with file,
//! line, column and remedy. Nothing is opened or started here. May import `sdk`; `kinds` has a file per kind of document, `yaml` is the only
//! file that names the YAML crate.

mod assemble;
mod duration;
mod fields;
mod finding;
mod kinds;
mod nearest;
mod placeholder;
mod yaml;

use std::fmt;

use crate::sdk::TypeName;

pub use finding::{Complaint, Finding, Place};
pub use kinds::{
    AsyncTransport, Endpoint, FileEgress, FunctionPattern, HttpEgress, HttpIngress,
    OkHttpTransport, PipelineSpec, PlaygroundEgress, PlaygroundIngress, TlsFiles, Transport,
};
pub use placeholder::Placeholders;

use fields::Fields;
use finding::Findings;
use kinds::{KINDS, Kind, Portable, Spec, WITHOUT_CONNECTOR};
use nearest::nearest;
use yaml::{Node, Value};

/// What the documents of one or more module files say together, checked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Module {
    /// Where functions are served over HTTP.
    pub endpoints: Vec<Endpoint>,
    /// Where messages come from.
    pub ingresses: Vec<Ingress>,
    /// Where records go.
    pub egresses: Vec<Egress>,
    /// Whether the functions that the binary carries for trials are bound.
    pub samples: bool,
    /// Declared pipelines.
    pub pipelines: Vec<PipelineSpec>,
    /// What does not keep the module from running, but should be looked at.
    pub warnings: Vec<Finding>,
    /// What StateFun on Apache Flink would not take, or take differently.
    pub not_for_flink: Vec<Finding>,
}

/// Where messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ingress {
    /// `statefun.http.v1/ingress`.
    Http(HttpIngress),
    /// `io.statefun.playground.v1/ingress`.
    Playground(PlaygroundIngress),
}

/// Where records go.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Egress {
    /// Where the document's `spec` stands.
    pub place: Place,
    /// The name functions send to.
    pub id: TypeName,
    /// What it does with a record.
    pub target: EgressTarget,
}

/// What an egress does with a record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EgressTarget {
    /// `statefun.stdout.v1/egress`.
    Stdout,
    /// `statefun.file.v1/egress`.
    File(FileEgress),
    /// `statefun.http.v1/egress`.
    Http(HttpEgress),
    /// `io.statefun.playground.v1/egress`.
    Playground(PlaygroundEgress),
}

/// Text that is not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` out of `Debug`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"***\"")
    }
}

/// The text of a module file and the name to report it under.
#[derive(Debug, Clone, Copy)]
pub struct ModuleFile<'a> {
    /// As it was given, such as `module.yaml`.
    pub name: &'a str,
    /// The YAML.
    pub text: &'a str,
}

/// A module that cannot be run: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidModule {
    /// What must be repaired; never empty.
    pub faults: Vec<Finding>,
    /// What should be looked at as well.
    pub warnings: Vec<Finding>,
}

impl fmt::Display for InvalidModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        write!(
            f,
            "the module has {count} fault{}",
            if count == 1 { "" } else { "s" }
        )?;
        self.faults
            .iter()
            .try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

impl std::error::Error for InvalidModule {}

impl Module {
    /// Reads and checks module files; all of them together are one module.
    ///
    /// # Errors
    /// All faults of all files at once.
    pub fn parse(
        files: &[ModuleFile<'_>],
        placeholders: &Placeholders,
    ) -> Result<Self, InvalidModule> {
        let findings = Findings::default();
        let mut draft = Draft::new(&findings);
        for file in files {
            let (documents, faults) = yaml::parse(file.name, file.text);
            faults.into_iter().for_each(|fault| findings.fault(fault));
            for document in documents {
                read_document(document, placeholders, &mut draft);
            }
        }
        let whole = files.first().map_or("module.yaml", |file| file.name);
        if !findings.has_faults() {
            draft.check_whole(&Place::file(whole));
        }
        let mut module = draft.module;
        let (faults, warnings, not_for_flink) = findings.into_parts();
        if !faults.is_empty() {
            return Err(InvalidModule { faults, warnings });
        }
        module.warnings = warnings;
        module.not_for_flink = not_for_flink;
        Ok(module)
    }

    /// Who serves `function`: an exact name wins over its namespace.
    pub fn endpoint_of(&self, function: &TypeName) -> Option<&Endpoint> {
        let exact = |e: &&Endpoint| matches!(&e.functions, FunctionPattern::Exact(name) if name == function);
        let namespace = |e: &&Endpoint| matches!(&e.functions, FunctionPattern::Namespace(name) if name == function.namespace());
        let mut endpoints = self.endpoints.iter();
        endpoints
            .clone()
            .find(exact)
            .or_else(|| endpoints.find(namespace))
    }
}

/// A module while its documents are read.
struct Draft<'a> {
    module: Module,
    findings: &'a Findings,
    bound: Vec<(String, Place)>,
}

impl<'a> Draft<'a> {
    fn new(findings: &'a Findings) -> Self {
        Self {
            module: Module::default(),
            findings,
            bound: Vec::new(),
        }
    }

    /// Takes `key`, StateFun's name of a binding; `at` says where. A second one is a fault.
    fn bind(&mut self, key: String, at: Finding) {
        if let Some((_, first)) = self.bound.iter().find(|(bound, _)| *bound == key) {
            let text = format!("A binding for the key {key} was previously defined.");
            let complaint = Complaint::with_remedy(text, format!("it was at {first}"));
            self.findings
                .fault(Finding::new(at.place, at.path, complaint));
            return;
        }
        self.bound.push((key, at.place));
    }

    fn bind_ingress(&mut self, id: &TypeName, place: &Place) {
        let (namespace, name) = (id.namespace(), id.name());
        let key = format!("IngressIdentifier({namespace}, {name}, class {TYPED_VALUE})");
        self.bind(key, Finding::new(place.clone(), "spec", ""));
    }

    fn bind_egress(&mut self, id: &TypeName, place: &Place) {
        let (namespace, name) = (id.namespace(), id.name());
        let key = format!("EgressKey({namespace}, {name}, class {TYPED_VALUE})");
        self.bind(key, Finding::new(place.clone(), "spec", ""));
    }

    /// What only all documents together show; said when all of them could be read.
    fn check_whole(&self, place: &Place) {
        let note = |text: &str| Finding::new(place.clone(), "", text);
        let module = &self.module;
        if module.ingresses.is_empty() {
            self.findings.warning(note("There are no ingress defined."));
            let text = "There are no ingress defined. There are no source providers defined. There are no routers defined.";
            self.findings.not_for_flink(note(text));
        }
        let out = |egress: &Egress| egress.id.as_str() == kinds::SAMPLES_OUT;
        if module.samples && !module.egresses.iter().any(out) {
            let text = format!(
                "the sample reminder sends to the egress {}, which no document binds",
                kinds::SAMPLES_OUT
            );
            self.findings.warning(note(&text));
        }
        if module.endpoints.is_empty() {
            self.findings
                .not_for_flink(note("There are no function providers defined."));
            if !module.samples && module.pipelines.is_empty() {
                let text = "the module binds no function: only functions registered in the program itself can be reached";
                self.findings.warning(note(text));
            }
        }
    }
}

/// The class of everything that remote functions send and receive.
const TYPED_VALUE: &str = "org.apache.flink.statefun.sdk.reqreply.generated.TypedValue";

/// StateFun's name of the binding of one function type.
fn function_key(name: &TypeName) -> String {
    format!("FunctionType({}, {})", name.namespace(), name.name())
}

fn read_document(mut document: Node, placeholders: &Placeholders, draft: &mut Draft<'_>) {
    let Some(kind) = kind_of(&document, draft.findings) else {
        return;
    };
    if let Value::Map(entries) = &mut document.value {
        for (_, spec) in entries.iter_mut().filter(|(key, _)| key.name == "spec") {
            placeholders.expand(spec, "spec", draft.findings);
        }
    }
    let Some(mut fields) = Fields::of(&document, "", draft.findings) else {
        return;
    };
    let (_, node) = (fields.node("kind"), fields.node("spec"));
    fields.finish();
    let Some(node) = node else { return };
    if let Some(fields) = Fields::of(node, "spec", draft.findings) {
        (kind.read)(Spec { node, fields }, draft);
    }
}

/// The kind of a document, checked as far as StateFun checks it before it looks at the spec.
fn kind_of(document: &Node, findings: &Findings) -> Option<&'static Kind> {
    let present = |key| {
        document
            .get(key)
            .filter(|node| !matches!(node.value, Value::Null))
    };
    let (Some(kind), Some(_)) = (present("kind"), present("spec")) else {
        let complaint = no_component(document);
        findings.fault(Finding::new(document.place.clone(), "", complaint));
        return None;
    };
    let fault = |complaint: Complaint| {
        findings.fault(Finding::new(kind.place.clone(), "kind", complaint));
        None
    };
    let text = match fields::filled_text(kind) {
        Ok(text) => text,
        Err(complaint) => return fault(complaint),
    };
    let name = text.trim_end_matches('/');
    if name.parse::<TypeName>().is_err() {
        let why = fields::invalid_type_name(&text).message;
        return fault(format!("Invalid binder kind format. {why}").into());
    }
    let Some(known) = KINDS.iter().find(|known| known.name == name) else {
        return fault(unknown_kind(name));
    };
    if name.len() < text.len() {
        let warning = format!("the slash at the end of `{text}` is ignored");
        findings.warning(Finding::new(kind.place.clone(), "kind", warning));
    }
    let elsewhere = match known.portable {
        Portable::Everywhere => return Some(known),
        Portable::Playground => "is known to StateFun's playground only",
        Portable::Here => "is known to this runtime only",
    };
    let text = format!("kind `{name}` {elsewhere}");
    findings.not_for_flink(Finding::new(kind.place.clone(), "kind", text));
    Some(known)
}

fn no_component(document: &Node) -> Complaint {
    let text = "Invalid ComponentJsonObject; components should be a JSON object with the required fields [kind] and [spec].";
    match document.get("version") {
        None => text.into(),
        Some(_) => Complaint::with_remedy(
            text,
            "this looks like StateFun's format 3.0, which this version does not read; write each endpoint, ingress and egress as a document of its own",
        ),
    }
}

fn unknown_kind(text: &str) -> Complaint {
    if WITHOUT_CONNECTOR.contains(&text) {
        return Complaint::with_remedy(
            format!(
                "kind `{text}` is right for StateFun, but this version has no connector for it yet"
            ),
            "leave the document out, or run the module on StateFun",
        );
    }
    let known = KINDS.iter().map(|kind| kind.name);
    let remedy = nearest(text, known.clone()).map_or_else(
        || format!("known kinds: {}", known.collect::<Vec<_>>().join(", ")),
        |known| format!("did you mean `{known}`?"),
    );
    let (namespace, name) = text.split_once('/').unwrap_or((text, ""));
    let message = format!("An extension with type TypeName({namespace}, {name}) does not exist.");
    Complaint::with_remedy(message, remedy)
}
