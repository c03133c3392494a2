//! The declared form of one stage: its kind, its settings, and its name.

use super::Forwarding;
use super::names::StageNames;
use crate::document::{At, Complaint, nearest};
use crate::pipeline::own_stages::OwnStages;
use crate::pipeline::stages::{self, StageKind};

/// A checked declaration of one stage.
#[derive(Debug, Clone)]
pub(crate) struct StageConfig {
    pub(crate) name: String,
    pub(crate) kind: StageKind,
}

/// The stages declared at `at`; `None` if there are faults, which are reported.
pub(super) fn read_stages(
    at: At<'_>,
    forwarding: &Forwarding,
    own: &OwnStages,
) -> Option<Vec<StageConfig>> {
    let items = at.clone().items()?;
    if items.is_empty() {
        return at.fault("a pipeline needs at least one stage");
    }
    let mut names = StageNames::default();
    let stages: Vec<_> = items
        .into_iter()
        .map(|item| read_stage(&item, &mut names, forwarding, own))
        .collect();
    stages.into_iter().collect()
}

fn read_stage(
    at: &At<'_>,
    names: &mut StageNames,
    forwarding: &Forwarding,
    own: &OwnStages,
) -> Option<StageConfig> {
    let entries = at.entries("a mapping with one stage, such as `filter: {…}`")?;
    let (named, declared): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(key, _)| *key == "name");
    let known = || {
        let mut kinds: Vec<&str> = stages::kinds().collect();
        kinds.extend(own.names());
        kinds.join(", ")
    };
    let mut declared = declared.into_iter();
    let (kind, settings) = match (declared.next(), declared.next()) {
        (Some(entry), None) => entry,
        (None, _) => return at.fault(format_args!("names no stage; known: {}", known())),
        (Some((one, _)), Some((two, _))) => {
            return at.fault(format_args!(
                "names several stages, `{one}` and `{two}`: write each as an item of its own"
            ));
        }
    };
    let name = match named.first() {
        None => Some(names.of_kind(kind)),
        Some((_, place)) => place.text().and_then(|name| match names.given(&name) {
            Ok(()) => Some(name),
            Err(text) => place.fault(text),
        }),
    };
    if let Some(stage) = own.named(kind) {
        let kind = stage.read(&settings);
        return Some(StageConfig {
            name: name?,
            kind: kind?,
        });
    }
    let Some(read) = stages::reader(kind) else {
        let mut all: Vec<&str> = stages::all_kinds().collect();
        all.extend(own.names());
        let remedy = nearest(kind, all).map_or_else(
            || format!("known: {}", known()),
            |meant| format!("did you mean `{meant}`?"),
        );
        return settings.complain(Complaint::with_remedy("unknown stage", remedy));
    };
    let kind = forwarding.read_stage(&settings, |settings| read.read(settings));
    Some(StageConfig {
        name: name?,
        kind: kind?,
    })
}
