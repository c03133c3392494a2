//! Stored data of functions, egresses and ingresses that are no longer in the module.

use std::sync::Arc;

use bytes::Bytes;

use super::core::keys::{
    INBOX, OUTBOX, SOURCES, SPECS, STATE, TIMERS, after_prefix, source_prefix, take_text,
    type_prefix,
};
use super::core::state::StateSpec;
use super::core::timers::Timer;
use super::core::{AddressKey, Bindings as _, GATEWAY};
use super::endpoint::Directory;
use crate::sdk::{FunctionSpec, TypeName};
use crate::storage::{Rows, StorageError, count, stretch};

/// Rows are counted, and delayed messages checked, up to this number.
const COUNTED: usize = 1_000;

/// The kind of an ingress.
pub(super) const INGRESS: &str = "ingress";

/// A function, an egress or an ingress that has stored data and is not bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) kind: &'static str,
    pub(crate) name: TypeName,
    /// For a function the number of its values and waiting messages; if there are none, of its delayed messages among those that are due next.
    /// For an egress the number of its records, for an ingress that of its positions. At most a thousand.
    pub(crate) keeps: usize,
}

/// Makes stand-ins for functions that no longer exist, from the type and the names of its values with their
/// typenames.
pub(crate) struct StandIns(pub(crate) MakeStandIn);

type MakeStandIn =
    Arc<dyn Fn(&TypeName, &[(String, String)]) -> Option<FunctionSpec> + Send + Sync>;

impl std::fmt::Debug for StandIns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StandIns")
    }
}

/// A bound ingress.
#[derive(Debug)]
pub(super) struct BoundSource {
    pub(super) name: TypeName,
    /// Its positions are stored, unlike those of a server that waits for requests.
    pub(super) has_positions: bool,
}

/// Finds stored data without a binding. Read once, at the start.
pub(super) fn find(
    rows: &dyn Rows,
    directory: &Directory,
    sources: &[BoundSource],
) -> Result<Vec<Gone>, StorageError> {
    let mut gone = Vec::new();
    for (kind, table) in [("function", STATE), ("function", INBOX), ("egress", OUTBOX)] {
        let mut from = Vec::new();
        // A damaged row counts like the others, and does not stop the scan.
        while let Some((key, _)) = stretch(rows, table, &from, None, 1)?
            .rows
            .into_iter()
            .next()
        {
            let mut rest = &key[..];
            let (Some(namespace), Some(name)) = (take_text(&mut rest), take_text(&mut rest)) else {
                break;
            };
            let is_bound = match kind {
                "egress" => directory.egress(namespace, name).is_some(),
                _ => directory.function(namespace, name).is_some(),
            };
            let prefix = type_prefix(namespace, name);
            let end = after_prefix(&prefix);
            if !is_bound {
                let keeps = count(rows, table, &prefix, end.as_deref(), COUNTED)?;
                let name = TypeName::from_wire(namespace, name);
                add(&mut gone, Gone { kind, name, keeps });
            }
            match end {
                Some(end) => from = end,
                None => break,
            }
        }
    }
    let (mut timers, kind) = (Vec::new(), "function");
    for target in next_timers(rows)? {
        let (namespace, name, _) = target.parts();
        if (namespace, name) == GATEWAY || directory.function(namespace, name).is_some() {
            continue;
        }
        let (name, keeps) = (TypeName::from_wire(namespace, name), 1);
        if !gone
            .iter()
            .any(|gone| gone.kind == kind && gone.name == name)
        {
            add(&mut timers, Gone { kind, name, keeps });
        }
    }
    gone.extend(timers);
    gone.extend(ingresses(rows, sources)?);
    gone.sort_by(|one, other| {
        let place = |gone: &Gone| (gone.kind != "function", gone.kind, gone.name.to_string());
        place(one).cmp(&place(other))
    });
    Ok(gone)
}

/// Ingresses that have positions and are not bound, if another one begins without a position: it may be the same under another name. One
/// that was only removed is not missed.
fn ingresses(rows: &dyn Rows, sources: &[BoundSource]) -> Result<Vec<Gone>, StorageError> {
    let mut stored = Vec::new();
    let mut from = Vec::new();
    while let Some((key, _)) = stretch(rows, SOURCES, &from, None, 1)?
        .rows
        .into_iter()
        .next()
    {
        let Some(name) = take_text(&mut &key[..]) else {
            break;
        };
        let prefix = source_prefix(name);
        let end = after_prefix(&prefix);
        let keeps = count(rows, SOURCES, &prefix, end.as_deref(), COUNTED)?;
        stored.extend(name.parse::<TypeName>().map(|name| (name, keeps)));
        match end {
            Some(end) => from = end,
            None => break,
        }
    }
    let is_stored = |source: &BoundSource| stored.iter().any(|(name, _)| *name == source.name);
    let mut new = sources
        .iter()
        .filter(|source| source.has_positions && !is_stored(source));
    if new.next().is_none() {
        return Ok(Vec::new());
    }
    let is_bound = |name: &TypeName| sources.iter().any(|source| source.name == *name);
    let gone = stored.iter().filter(|(name, _)| !is_bound(name));
    let kind = INGRESS;
    Ok(gone
        .map(|(name, keeps)| Gone {
            kind,
            name: name.clone(),
            keeps: *keeps,
        })
        .collect())
}

/// Adds to the entry of the same function or egress, if there is one.
fn add(all: &mut Vec<Gone>, gone: Gone) {
    let known = all.iter_mut();
    let mut known = known.filter(|known| known.kind == gone.kind && known.name == gone.name);
    match known.next() {
        Some(known) => known.keeps = (known.keeps + gone.keeps).min(COUNTED),
        None => all.push(gone),
    }
}

/// The targets of the delayed messages that are due next.
fn next_timers(rows: &dyn Rows) -> Result<Vec<AddressKey>, StorageError> {
    let next = stretch(rows, TIMERS, &[], None, COUNTED)?.rows.into_iter();
    // A damaged one is reported when it is due.
    let next = next.filter_map(|(_, row)| Timer::decode(&row.ok()?));
    Ok(next.map(|timer| timer.target).collect())
}

/// The declared values of a function: names and typenames.
pub(super) fn declared(
    rows: &dyn Rows,
    function: &TypeName,
) -> Result<Vec<(String, String)>, StorageError> {
    let prefix = type_prefix(function.namespace(), function.name());
    let end = after_prefix(&prefix);
    let specs = rows.scan(SPECS, &prefix, end.as_deref(), COUNTED)?;
    let read = |(key, row): &(Bytes, Bytes)| {
        let name = std::str::from_utf8(key.get(prefix.len()..)?).ok()?;
        Some((name.to_owned(), StateSpec::decode(name, row)?.typename))
    };
    let read = |row| read(row).ok_or_else(|| StorageError::senseless(SPECS, &row.0));
    specs.iter().map(read).collect()
}
