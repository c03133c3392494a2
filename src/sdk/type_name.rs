//! Names of functions, types and egresses.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use super::is_same;

/// A name `<namespace>/<name>`: exactly one slash, both halves not empty.
///
/// It names function types, egresses and value types. Cloning is cheap.
///
/// ```
/// use stateful_functions::TypeName;
///
/// const GREETER: TypeName = TypeName::new("example/greeter"); // a bad name fails to compile
/// assert_eq!(GREETER.namespace(), "example");
/// assert_eq!(GREETER.name(), "greeter");
/// assert!("greeter".parse::<TypeName>().is_err());
/// ```
#[derive(Clone)]
pub struct TypeName {
    text: Text,
    slash: usize,
}

#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

/// The text is not a type name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid type name `{text}`: must be of format <namespace>/<name>, with one slash and no empty half"
)]
pub struct InvalidTypeName {
    text: String,
}

impl TypeName {
    /// The name written in the program.
    ///
    /// # Panics
    /// If `text` is not a type name; in a `const` this is a compile error. [`str::parse`] checks at run time.
    pub const fn new(text: &'static str) -> Self {
        match only_slash(text.as_bytes()) {
            Some(slash) => Self {
                text: Text::Static(text),
                slash,
            },
            None => panic!(
                "a type name has the form <namespace>/<name>, with one slash and no empty half"
            ),
        }
    }

    /// The name made of a namespace and a name.
    ///
    /// # Errors
    /// If a half is empty or contains a slash.
    pub fn from_parts(namespace: &str, name: &str) -> Result<Self, InvalidTypeName> {
        format!("{namespace}/{name}").parse()
    }

    /// The name as it is on the wire: two texts, unchecked. Upstream allows empty halves and more slashes.
    pub(crate) fn from_wire(namespace: &str, name: &str) -> Self {
        Self {
            text: Text::Shared([namespace, "/", name].concat().into()),
            slash: namespace.len(),
        }
    }

    /// The half before the slash.
    pub fn namespace(&self) -> &str {
        self.as_str().split_at(self.slash).0
    }

    /// The half after the slash.
    pub fn name(&self) -> &str {
        self.as_str().get(self.slash + 1..).unwrap_or_default()
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        match &self.text {
            Text::Static(text) => text,
            Text::Shared(text) => text,
        }
    }
}

/// The position of the slash, if there is exactly one with text on both sides.
const fn only_slash(text: &[u8]) -> Option<usize> {
    let mut found = None;
    let mut at = 0;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        if *byte == b'/' {
            if found.is_some() || at == 0 || tail.is_empty() {
                return None;
            }
            found = Some(at);
        }
        at += 1;
        rest = tail;
    }
    found
}

impl FromStr for TypeName {
    type Err = InvalidTypeName;

    fn from_str(text: &str) -> Result<Self, InvalidTypeName> {
        match only_slash(text.as_bytes()) {
            Some(slash) => Ok(Self {
                text: Text::Shared(text.into()),
                slash,
            }),
            None => Err(InvalidTypeName {
                text: text.chars().take(200).collect(),
            }),
        }
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeName({self})")
    }
}

impl PartialEq for TypeName {
    fn eq(&self, other: &Self) -> bool {
        self.slash == other.slash && is_same(self.as_str().as_bytes(), other.as_str().as_bytes())
    }
}

impl Eq for TypeName {}

impl PartialOrd for TypeName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TypeName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let text = self.as_str().cmp(other.as_str());
        text.then(self.slash.cmp(&other.slash))
    }
}

impl Hash for TypeName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// Maps keyed by `TypeName` can be searched by `&str`. (Names from the wire with several slashes differ in more than
/// their text, but none of them can be registered, so no such map holds one.)
impl Borrow<str> for TypeName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_08_a_name_without_exactly_one_slash_and_two_halves_cannot_be_built() {
        for bad in [
            "", "/", "greeter", "/greeter", "example/", "a/b/c", "a//b", "a/b/",
        ] {
            let err = bad.parse::<TypeName>().unwrap_err();
            assert!(
                err.to_string().contains("<namespace>/<name>"),
                "{bad}: {err}"
            );
        }
        assert!(TypeName::from_parts("a/b", "c").is_err());
        assert!(std::panic::catch_unwind(|| TypeName::new("nope")).is_err());
    }

    #[test]
    fn names_from_the_wire_are_equal_only_when_both_halves_are() {
        let name = |namespace, name| TypeName::from_wire(namespace, name);
        assert_eq!(name("a", "b"), TypeName::new("a/b"));
        assert_ne!(name("a", "b/c"), name("a/b", "c"));
        assert_eq!(
            (name("a/b", "c").namespace(), name("a/b", "").name()),
            ("a/b", "")
        );
        assert_eq!(name("", "").to_string(), "/");
    }

    #[test]
    fn halves_are_what_stands_on_both_sides_of_the_slash() {
        let name: TypeName = "com.example/greeter".parse().unwrap();
        assert_eq!((name.namespace(), name.name()), ("com.example", "greeter"));
        assert_eq!(name, TypeName::new("com.example/greeter"));
    }
}
