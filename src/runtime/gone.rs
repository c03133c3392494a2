//! Stored data of functions and egresses that are no longer in the module.

use bytes::Bytes;

use super::core::keys::{
    INBOX, OUTBOX, SPECS, STATE, TIMERS, after_prefix, take_text, type_prefix,
};
use super::core::state::StateSpec;
use super::core::timers::Timer;
use super::core::{AddressKey, Bindings as _, GATEWAY};
use super::endpoint::Directory;
use crate::sdk::{FunctionSpec, TypeName};
use crate::storage::{Rows, StorageError, count, stretch};

/// Rows are counted, and delayed messages checked, up to this number.
const COUNTED: usize = 1_000;

/// A function or an egress that has stored data and is not bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) kind: &'static str,
    pub(crate) name: TypeName,
    /// For a function the number of its values and waiting messages; if there are none, of its delayed messages among those that are due next.
    /// For an egress the number of its records. At most a thousand.
    pub(crate) keeps: usize,
}

/// Makes stand-ins for functions that no longer exist, from the type and the names of its values with their
/// typenames.
pub(crate) struct StandIns(pub(crate) MakeStandIn);

type MakeStandIn = Box<dyn Fn(&TypeName, &[(String, String)]) -> Option<FunctionSpec> + Send>;

impl std::fmt::Debug for StandIns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StandIns")
    }
}

/// Finds stored data without a binding. Read once, at the start.
pub(super) fn find(rows: &dyn Rows, directory: &Directory) -> Result<Vec<Gone>, StorageError> {
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
    gone.sort_by(|one, other| {
        let place = |gone: &Gone| (gone.kind == "egress", gone.name.to_string());
        place(one).cmp(&place(other))
    });
    Ok(gone)
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
