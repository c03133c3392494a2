//! The values that the functions of one type have declared since the start.

use std::collections::{BTreeSet, HashMap};

use super::state::StateSpec;

/// Declarations in the order in which they were made, found by name.
#[derive(Debug, Default)]
pub(super) struct Declared {
    specs: Vec<StateSpec>,
    by_name: HashMap<String, usize>,
    /// Declarations that are not stored yet in this form. They are written with the next applied batch of the type.
    unsaved: BTreeSet<usize>,
}

/// Up to this many are searched one by one, which costs less than a hash.
const FEW: usize = 8;

impl Declared {
    /// The declaration of this name.
    pub(super) fn get(&self, name: &str) -> Option<&StateSpec> {
        if self.specs.len() <= FEW {
            return self.specs.iter().find(|spec| spec.name == name);
        }
        self.specs.get(*self.by_name.get(name)?)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &StateSpec> + Clone {
        self.specs.iter()
    }

    /// Their number.
    pub(super) const fn len(&self) -> usize {
        self.specs.len()
    }

    /// Adds a declaration; one with the same name is replaced.
    pub(super) fn declare(&mut self, spec: StateSpec, is_saved: bool) {
        let next = self.specs.len();
        let place = *self.by_name.entry(spec.name.clone()).or_insert(next);
        match self.specs.get_mut(place) {
            Some(before) => *before = spec,
            None => self.specs.push(spec),
        }
        if is_saved {
            self.unsaved.remove(&place);
        } else {
            self.unsaved.insert(place);
        }
    }

    /// Removes a declaration: the function will be asked again.
    pub(super) fn forget(&mut self, name: &str) {
        let Some(place) = self.by_name.remove(name) else {
            return;
        };
        self.specs.remove(place);
        for later in self.by_name.values_mut().filter(|later| **later > place) {
            *later -= 1;
        }
        let unsaved = std::mem::take(&mut self.unsaved).into_iter();
        let moved = unsaved.filter(|unsaved| *unsaved != place);
        self.unsaved = moved
            .map(|unsaved| unsaved - usize::from(unsaved > place))
            .collect();
    }

    /// Removes declarations with which no batch has been applied.
    pub(super) fn forget_unsaved(&mut self) {
        for spec in self.take_unsaved() {
            self.forget(&spec.name);
        }
    }

    /// Returns the declarations to write; they count as saved from now on.
    pub(super) fn take_unsaved(&mut self) -> Vec<StateSpec> {
        let places = std::mem::take(&mut self.unsaved);
        places
            .into_iter()
            .filter_map(|place| self.specs.get(place).cloned())
            .collect()
    }

    /// Records that the store no longer has these declarations.
    pub(super) fn note_unsaved(&mut self, name: &str) {
        self.unsaved.extend(self.by_name.get(name).copied());
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::TimeToLive;
    use super::*;

    fn spec(name: &str) -> StateSpec {
        StateSpec {
            name: name.into(),
            typename: "a/b".into(),
            ttl: TimeToLive::None,
        }
    }

    #[test]
    fn a_forgotten_declaration_leaves_the_others_in_their_order_and_as_saved_as_they_were() {
        let mut declared = Declared::default();
        for (name, is_saved) in [("a", true), ("b", false), ("c", true), ("d", false)] {
            declared.declare(spec(name), is_saved);
        }
        declared.forget("b");
        let names: Vec<_> = declared.iter().map(|spec| &*spec.name).collect();
        assert_eq!(names, ["a", "c", "d"]);
        assert_eq!(declared.get("d"), Some(&spec("d")));
        assert_eq!(declared.get("b"), None);
        assert_eq!(declared.take_unsaved(), [spec("d")]);
        assert_eq!(declared.take_unsaved(), []);
    }
}
