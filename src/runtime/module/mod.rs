//! Module files: YAML documents to a checked module.
//!
//! Files are taken as StateFun's runtime takes them, placeholders are replaced, and everything that is wrong is reported at once with file,
//! line, column and remedy. Nothing is opened or started here. May import `sdk`; `kinds` has a file per kind of document, `yaml` is the only
//! file that names the YAML crate.

mod assemble;
mod coerce;
mod duration;
mod fields;
mod finding;
mod kinds;
mod legacy;
mod listeners;
mod nearest;
mod placeholder;
mod scalars;
mod uri;
mod yaml;

use std::fmt;

use crate::sdk::TypeName;

pub use finding::{Complaint, Finding, Place};
pub use kinds::{
    AsyncTransport, AwsCredentials, AwsRegion, DeliverySemantic, Endpoint, FileEgress,
    FunctionPattern, HttpEgress, HttpIngress, KafkaEgress, KafkaIngress, KafkaStart, KinesisEgress,
    KinesisIngress, KinesisStart, OffsetReset, OkHttpTransport, PipelineSpec, PlaygroundEgress,
    PlaygroundIngress, Properties, Route, TlsFiles, TopicPartition, Transport,
};
pub use placeholder::Placeholders;

use fields::Fields;
use finding::Findings;
use kinds::{KINDS, Kind, Portable, Spec};
use listeners::Listening;
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
    /// What is right, and needs a connector that this build does not have: the module can be checked and not run.
    pub without_connector: Vec<Finding>,
    listeners: Vec<Listening>,
}

/// Where messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ingress {
    /// `statefun.http.v1/ingress`.
    Http(HttpIngress),
    /// `io.statefun.playground.v1/ingress`.
    Playground(PlaygroundIngress),
    /// `io.statefun.kafka.v1/ingress`.
    Kafka(KafkaIngress),
    /// `io.statefun.kinesis.v1/ingress`.
    Kinesis(KinesisIngress),
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
    /// `io.statefun.kafka.v1/egress`.
    Kafka(KafkaEgress),
    /// `io.statefun.kinesis.v1/egress`.
    Kinesis(KinesisEgress),
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

impl Ingress {
    /// Whether StateFun has it, too.
    const fn is_portable(&self) -> bool {
        matches!(self, Self::Kafka(_) | Self::Kinesis(_))
    }
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
        let (module, faults) = Self::read(files, placeholders);
        if !faults.is_empty() {
            let warnings = module.warnings;
            return Err(InvalidModule { faults, warnings });
        }
        Ok(module)
    }

    /// Reads module files with faults as well: what could be read, and everything that must be repaired before it runs.
    pub fn read(files: &[ModuleFile<'_>], placeholders: &Placeholders) -> (Self, Vec<Finding>) {
        let findings = Findings::default();
        let mut draft = Draft::new(&findings);
        for file in files {
            let documents = yaml::parse(file.name, file.text, &findings);
            let is_alone = yaml::count(file.text) == 1;
            for document in documents {
                not_followed(&document, "", &findings);
                if is_alone && legacy::is_legacy(&document) {
                    legacy::read(document, placeholders, &mut draft);
                } else {
                    read_document(document, placeholders, &mut draft);
                }
            }
        }
        listeners::check(&draft);
        let whole = files.first().map_or("module.yaml", |file| file.name);
        // What is missing may stand in a document that could not be read.
        if !findings.has_faults() {
            draft.check_whole(&Place::file(whole));
        }
        draft.check_sockets();
        let mut module = draft.module;
        let faults;
        (faults, module.warnings, module.not_for_flink) = findings.into_parts();
        (module, faults)
    }

    /// What keeps the admin API from listening on `admin`, written `host:port`: a listener of the module at the same address.
    pub fn collisions_with_admin(&self, admin: &str) -> Vec<Finding> {
        listeners::with_admin(&self.listeners, admin)
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
    /// The functions that ingresses send to, and where they say so.
    targets: Vec<(TypeName, Finding)>,
}

impl<'a> Draft<'a> {
    fn new(findings: &'a Findings) -> Self {
        Self {
            module: Module::default(),
            findings,
            bound: Vec::new(),
            targets: Vec::new(),
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

    fn bind_ingress(&mut self, id: &TypeName, at: Finding) {
        let (namespace, name) = (id.namespace(), id.name());
        let key = format!(
            "IngressIdentifier({namespace}, {name}, interface com.google.protobuf.Message)"
        );
        self.bind(key, at);
    }

    fn bind_egress(&mut self, id: &TypeName, at: Finding) {
        let (namespace, name) = (id.namespace(), id.name());
        let key = format!("EgressKey({namespace}, {name}, class {TYPED_VALUE})");
        self.bind(key, at);
    }

    /// What only all documents together show; said when all of them could be read.
    fn check_whole(&self, place: &Place) {
        let note = |text: &str| Finding::new(place.clone(), "", text);
        let module = &self.module;
        if module.ingresses.is_empty() {
            self.findings.warning(note(NO_INGRESS));
        }
        if !module.ingresses.iter().any(Ingress::is_portable) {
            let remedy = "bind a Kafka or Kinesis ingress there";
            let complaint = Complaint::with_remedy(NO_INGRESS, remedy);
            self.findings
                .not_for_flink(Finding::new(place.clone(), "", complaint));
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
        self.check_targets();
    }

    /// StateFun's okhttp takes the connection to one UNIX socket for that to another.
    fn check_sockets(&self) {
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
                .not_for_flink(Finding::new(endpoint.place.clone(), path, complaint));
        }
    }

    /// Warns of every function that an ingress sends to and no document binds.
    fn check_targets(&self) {
        let is_bound = |key: &str| self.bound.iter().any(|(bound, _)| bound == key);
        for (target, at) in &self.targets {
            let key = function_key(target);
            if is_bound(&key) || is_bound(target.namespace()) {
                continue;
            }
            let complaint = Complaint::with_remedy(
                format!("Cannot find a provider for type {key}: no document binds {target}"),
                format!(
                    "add an endpoint for {target} or for {}/*",
                    target.namespace()
                ),
            );
            self.findings
                .warning(Finding::new(at.place.clone(), at.path.as_str(), complaint));
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

fn read_document(mut document: Node, placeholders: &Placeholders, draft: &mut Draft<'_>) {
    let kind = kind_of(&mut document, draft.findings);
    if kind.is_none_or(|kind| kind.portable == Portable::Everywhere) {
        scalars::as_statefun(&mut document, "", draft.findings);
    }
    let Some(kind) = kind else { return };
    if let Some(mut fields) = Fields::of(&document, "", draft.findings) {
        let _ = (fields.given("kind"), fields.given("spec"));
        fields.finish();
    }
    if let Some(spec) = document.take("spec") {
        read_spec(kind, spec, "spec", placeholders, draft);
    }
}

/// Reads the `spec` of one ingress, egress or whatever `kind` is.
fn read_spec(
    kind: &Kind,
    mut spec: Node,
    path: &str,
    placeholders: &Placeholders,
    draft: &mut Draft<'_>,
) {
    placeholders.expand(&mut spec, path, draft.findings);
    if !matches!(spec.value, Value::Map(_) | Value::Null) {
        let text = format!(
            "{}expected a mapping, found {}",
            kind.no_mapping,
            spec.kind()
        );
        draft
            .findings
            .fault(Finding::new(spec.place.clone(), path, text));
        return;
    }
    if let Some(fields) = Fields::of(&spec, path, draft.findings) {
        let fields = fields.parsing(kind.parsing);
        (kind.read)(
            Spec {
                node: &spec,
                fields,
            },
            draft,
        );
    }
}

/// Reports each alias and merge key of `node`.
fn not_followed(node: &Node, path: &str, findings: &Findings) {
    if node.is_alias {
        let complaint = Complaint::with_remedy(
            "StateFun follows no YAML aliases and merge keys: it takes `*name` for the text `name`, and `<<` for a key",
            "write out what the alias stands for",
        );
        findings.not_for_flink(Finding::new(node.place.clone(), path, complaint));
        return;
    }
    match &node.value {
        Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                not_followed(item, &format!("{path}[{n}]"), findings);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                not_followed(value, &yaml::join(path, &key.name), findings);
            }
        }
        _ => {}
    }
}

/// The kind of a document, checked as far as StateFun checks it before it looks at the spec.
fn kind_of(document: &mut Node, findings: &Findings) -> Option<&'static Kind> {
    let kind = document.get_mut("kind").and_then(|kind| {
        scalars::as_statefun(kind, "kind", findings);
        known_kind(kind, "kind", "Invalid binder kind format. ", findings)
    });
    if document.get("kind").is_none() || document.get("spec").is_none() {
        let complaint = no_component(document);
        findings.fault(Finding::new(document.place.clone(), "", complaint));
        return None;
    }
    kind
}

/// The kind that `node` names. `malformed` stands before what is wrong with its form.
fn known_kind(
    node: &Node,
    path: &str,
    malformed: &str,
    findings: &Findings,
) -> Option<&'static Kind> {
    let fault = |complaint: Complaint| {
        findings.fault(Finding::new(node.place.clone(), path, complaint));
        None
    };
    let (name, remark) = match coerce::type_name(node) {
        Ok(name) => name,
        Err(complaint) => return fault(format!("{malformed}{}", complaint.message).into()),
    };
    let Some(known) = KINDS.iter().find(|known| known.name == name.as_str()) else {
        return fault(unknown_kind(&name));
    };
    if let Some(remark) = remark {
        findings.warning(Finding::new(node.place.clone(), path, remark));
    }
    let elsewhere = match known.portable {
        Portable::Everywhere => return Some(known),
        Portable::Playground => "StateFun's playground alone knows this kind",
        Portable::Here => "this runtime alone knows this kind",
    };
    let complaint = Complaint::with_remedy(kinds::unknown_extension(&name), elsewhere);
    findings.not_for_flink(Finding::new(node.place.clone(), path, complaint));
    Some(known)
}

fn no_component(document: &Node) -> Complaint {
    let text = "Invalid ComponentJsonObject; components should be a JSON object with the required fields [kind] and [spec].";
    match document.get("version") {
        None => text.into(),
        Some(_) => Complaint::with_remedy(
            text,
            "this looks like format 3.0, in which a file has one document and nothing else",
        ),
    }
}

fn unknown_kind(name: &TypeName) -> Complaint {
    let known = KINDS.iter().map(|kind| kind.name);
    let remedy = nearest(name.as_str(), known.clone()).map_or_else(
        || format!("known kinds: {}", known.collect::<Vec<_>>().join(", ")),
        |known| format!("did you mean `{known}`?"),
    );
    Complaint::with_remedy(kinds::unknown_extension(name), remedy)
}
