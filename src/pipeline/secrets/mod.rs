//! Secrets by name and key: keys of encryption, values of headers. They are looked up when they are needed, and are never part of a record,
//! of state or of a message.

mod sources;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use sources::{Directory, Environment, Fixed, SecretsFile};

use crate::delivery::engine::Failure;

/// A source of secrets.
///
/// Implementers guarantee that a lookup is quick, because it is made for each record; and that a text is never logged.
pub trait SecretProvider: fmt::Debug + Send + Sync + 'static {
    /// The text under `key` of the secret `name`; `None` if there is none.
    ///
    /// # Errors
    /// If the source cannot be read now. The record then waits and is tried again.
    fn secret(&self, name: &str, key: &str) -> Result<Option<String>, SecretError>;
}

/// A source of secrets could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(String);

impl SecretError {
    /// An error with this text, which must not contain a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Sources of secrets, in the order in which they are asked; the first one that has a secret gives it.
///
/// The environment always comes first: the variable `SECRET_<NAME>_<KEY>`, in upper case, with `_` for everything that is neither a letter nor
/// a digit.
///
/// ```
/// use stateful_functions::pipeline::Secrets;
///
/// let secrets = Secrets::default().insecure("crm", [("token", "abc")]);
/// assert_eq!(secrets.find("crm", "token").unwrap().as_deref(), Some("abc"));
/// assert_eq!(secrets.find("crm", "nope").unwrap(), None);
/// ```
#[derive(Debug, Clone)]
pub struct Secrets(Vec<Arc<dyn SecretProvider>>);

impl Default for Secrets {
    fn default() -> Self {
        Self(vec![Arc::new(Environment)])
    }
}

impl Secrets {
    /// Adds a source, which is asked after those before it.
    #[must_use]
    pub fn with(mut self, source: impl SecretProvider) -> Self {
        self.0.push(Arc::new(source));
        self
    }

    /// Adds a file: a JSON mapping of names, each with a mapping of keys and texts. It is read again when it has changed.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        self.with(SecretsFile::new(path.into()))
    }

    /// Adds a directory, with a file `<name>/<key>` per secret; a line end at the end of the file does not count.
    #[must_use]
    pub fn directory(self, path: impl Into<PathBuf>) -> Self {
        self.with(Directory(path.into()))
    }

    /// Adds secrets that are part of the settings. Everyone who can read the settings can read them.
    #[must_use]
    pub fn insecure<K: Into<String>, V: Into<String>>(
        self,
        name: impl Into<String>,
        texts: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let texts = texts.into_iter();
        let texts: BTreeMap<_, _> = texts.map(|(key, text)| (key.into(), text.into())).collect();
        self.with(Fixed {
            name: name.into(),
            texts,
        })
    }

    /// The text under `key` of the secret `name`; `None` if no source has it.
    ///
    /// # Errors
    /// If a source before it cannot be read.
    pub fn find(&self, name: &str, key: &str) -> Result<Option<String>, SecretError> {
        for source in &self.0 {
            if let Some(text) = source.secret(name, key)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The text, or the failure with which the record waits for it.
    pub(crate) fn demand(&self, name: &str, key: &str) -> Result<String, Box<Failure>> {
        let text = match self.find(name, key) {
            Ok(Some(text)) if text.is_empty() => {
                format!("`{key}` of the secret `{name}` is empty; give it its text")
            }
            Ok(Some(text)) => return Ok(text),
            Ok(None) => format!(
                "no source of secrets has `{key}` of `{name}`: set {}, or add it to a secrets file",
                Environment::variable(name, key)
            ),
            Err(err) => format!("`{key}` of the secret `{name}` cannot be read: {err}"),
        };
        Err(Box::new(Failure::retry("secret", text)))
    }
}
