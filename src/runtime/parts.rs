//! Functions that are parts of a larger whole, such as the stages of a pipeline. They understand only their own messages; a message from outside
//! with another value is refused before it is stored.

use super::core::AddressKey;
use super::intake::IntakeError;
use super::values;
use crate::sdk::TypeName;

/// A function that is a part of a whole.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) function: TypeName,
    /// The function that takes messages for the whole.
    pub(super) entry: TypeName,
    /// Whether it takes values of this type from outside.
    pub(super) takes: fn(&str) -> bool,
}

/// All parts, sorted by (namespace, name): searched for each message from outside.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    pub(super) fn new(mut parts: Vec<Part>) -> Self {
        parts.sort_by(|a, b| key(&a.function).cmp(&key(&b.function)));
        Self(parts)
    }

    /// Adds parts.
    pub(super) fn extend(&mut self, parts: Vec<Part>) {
        self.0.extend(parts);
        self.0
            .sort_by(|a, b| key(&a.function).cmp(&key(&b.function)));
    }

    /// Removes a part.
    pub(super) fn remove(&mut self, function: &TypeName) {
        self.0.retain(|part| part.function != *function);
    }

    /// Refuses a value, as an encoded `TypedValue`, that the function of `target` does not take.
    pub(super) fn check(&self, target: &AddressKey, argument: &[u8]) -> Result<(), IntakeError> {
        let Some(part) = self.part(target) else {
            return Ok(());
        };
        let type_name = values::type_name(argument);
        if (part.takes)(&type_name) {
            return Ok(());
        }
        Err(IntakeError::ForeignValue {
            function: part.function.to_string(),
            type_name,
            entry: part.entry.to_string(),
        })
    }

    /// Whether the function of `target` is one of them.
    pub(super) fn has(&self, target: &AddressKey) -> bool {
        self.part(target).is_some()
    }

    /// Whether `function` is one of them.
    pub(super) fn contains(&self, function: &TypeName) -> bool {
        self.find(key(function)).is_some()
    }

    fn part(&self, target: &AddressKey) -> Option<&Part> {
        let (namespace, name, _) = target.parts();
        self.find((namespace, name))
    }

    fn find(&self, function: (&str, &str)) -> Option<&Part> {
        let found = self
            .0
            .binary_search_by(|part| key(&part.function).cmp(&function));
        self.0.get(found.ok()?)
    }
}

fn key(function: &TypeName) -> (&str, &str) {
    (function.namespace(), function.name())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_part_takes_its_own_messages_and_other_functions_all() {
        let part = |name: &str| Part {
            function: name.parse().unwrap(),
            entry: TypeName::new("pipelines/p"),
            takes: |type_name| type_name == "own/type",
        };
        let parts = Parts::new(vec![part("pipelines/p.out"), part("pipelines/p.in")]);
        let checked = |name: &str, type_name: &str| {
            let value = values::parse(type_name, &Bytes::from_static(b"1")).unwrap();
            parts.check(&AddressKey::new("pipelines", name, "x"), &value)
        };
        for name in ["p.in", "p.out"] {
            assert_eq!(checked(name, "own/type"), Ok(()));
            let refused = checked(name, "other/type").unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "pipelines/{name} is an inner part of pipelines/p and does not take messages of type other/type; send to pipelines/p"
                )
            );
        }
        assert_eq!(checked("p", "other/type"), Ok(()));
    }
}
