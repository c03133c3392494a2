//! Functions with everything that belongs to them: what they take, whose parts they are, and what is done once they run.

use super::endpoint::RecordForm;
use super::entrance::Enter;
use super::handle::Chore;
use super::parts::Part;
use crate::sdk::{StatefulFunctions, TypeName};

/// Functions that are bound together, at the start or in place of others while the runtime runs.
#[derive(Default)]
pub(crate) struct FunctionSet {
    pub(super) functions: Vec<StatefulFunctions>,
    /// Functions that take records.
    pub(super) records: Vec<(TypeName, RecordForm)>,
    /// Functions that are parts of a larger whole.
    pub(super) parts: Vec<Part>,
    /// Functions that only transform messages.
    pub(super) entrances: Vec<(TypeName, Enter)>,
    /// Background work, begun once they are bound.
    pub(super) chores: Vec<Chore>,
}

impl FunctionSet {
    /// Adds the functions of another set.
    pub(crate) fn add(&mut self, other: Self) {
        let Self {
            functions,
            records,
            parts,
            entrances,
            chores,
        } = other;
        self.functions.extend(functions);
        self.records.extend(records);
        self.parts.extend(parts);
        self.entrances.extend(entrances);
        self.chores.extend(chores);
    }

    /// The names of its functions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &TypeName> {
        let specs = self.functions.iter().flat_map(StatefulFunctions::specs);
        specs.map(|spec| spec.type_name())
    }
}

impl std::fmt::Debug for FunctionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
