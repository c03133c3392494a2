//! Stored data of functions and egresses that are no longer in the module.

use bytes::Bytes;

use super::core::Bindings as _;
use super::core::keys::{OUTBOX, SPECS, STATE, after_prefix, take_text, type_prefix};
use super::core::state::StateSpec;
use super::endpoint::Directory;
use crate::sdk::{FunctionSpec, TypeName};
use crate::storage::{Rows, StorageError, count, stretch};

/// Rows are counted up to this number.
const COUNTED: usize = 1_000;

/// A function or an egress that has stored data and is not bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) kind: &'static str,
    pub(crate) name: TypeName,
    /// The number of values or records, up to a thousand.
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
    for (kind, table) in [("function", STATE), ("egress", OUTBOX)] {
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
                gone.push(Gone {
                    kind,
                    name: TypeName::from_wire(namespace, name),
                    keeps: count(rows, table, &prefix, end.as_deref(), COUNTED)?,
                });
            }
            match end {
                Some(end) => from = end,
                None => break,
            }
        }
    }
    Ok(gone)
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
