//! The environment of the process, for sources and sinks that are configured by it.

use std::collections::BTreeMap;
use std::fmt;

/// Variables of the environment by name. `Debug` shows only the names, because values may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The value of a variable; `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown_and_an_empty_one_is_none() {
        let variables = [("A", "secret"), ("B", "")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Environment::from_iter(variables);
        assert_eq!(environment.get("A"), Some("secret"));
        assert_eq!((environment.get("B"), environment.get("C")), (None, None));
        assert!(!format!("{environment:?}").contains("secret"));
    }
}
