//! The real loader of module files.

use serde_json::{Value, json};

use super::cause::{Cause, causes};
use super::class_path;
use super::jvm::Jvm;

/// What the real loader says of a module file.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// What the file binds, when it loads: `functions`, `namespaces`, `ingresses`, `routers`, `egresses`, each a sorted list of texts.
    pub(crate) binds: Option<Value>,
    /// Why it does not load; empty when it does.
    pub(crate) load: Vec<Cause>,
    /// Why a function of an endpoint cannot be called, for each such endpoint: what the first message would find.
    pub(crate) calls: Vec<Vec<Cause>>,
    /// Why its job cannot be built, up to where it would run; empty when it can. What fails to load fails here, too.
    pub(crate) build: Vec<Cause>,
}

/// Loads module files with the real loader, without running them; with the driver's ingress bound beside the file's, or exactly as it is.
/// `None`, and a line that says so, where the real runtime cannot run.
pub(crate) async fn parse(texts: &[&str], with_ingress: bool) -> Option<Vec<Verdict>> {
    let jvm = Jvm::shared(class_path()?);
    let mut verdicts = Vec::new();
    for text in texts {
        let answer = jvm
            .ask(json!({"verb": "parse", "text": text, "ingress": with_ingress}))
            .await;
        verdicts.push(Verdict {
            binds: answer.get("binds").cloned(),
            load: causes(&answer["load"]),
            calls: (answer["calls"].as_array().into_iter().flatten())
                .map(causes)
                .collect(),
            build: causes(&answer["build"]),
        });
    }
    Some(verdicts)
}
