//! The name and the key under which a function finds its secret.

use std::fmt;

use super::super::secrets::Secrets;
use super::parameters::Parameters;
use crate::delivery::engine::Failure;
use crate::document::Complaint;

/// A secret, and the key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pipeline) struct SecretName {
    name: String,
    key: String,
}

impl SecretName {
    /// The secret that the parameters name; both names must be there.
    pub(super) fn required(parameters: &Parameters<'_>) -> Option<Self> {
        Self::of(parameters, names(parameters))
    }

    /// The secret that the parameters with these names name.
    pub(super) fn of(
        parameters: &Parameters<'_>,
        (name, key): (&'static str, &'static str),
    ) -> Option<Self> {
        let (name, key) = (parameters.filled(name), parameters.filled(key));
        Some(Self {
            name: name?,
            key: key?,
        })
    }

    /// The text of the secret, or the failure with which the record waits for it.
    pub(in crate::pipeline) fn text(&self, secrets: &Secrets) -> Result<String, Box<Failure>> {
        secrets.demand(&self.name, &self.key)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of the secret `{}`", self.key, self.name)
    }
}

/// The parameters with name and key. Until version 2 the name was called a path, and the key a name.
pub(super) fn names(parameters: &Parameters<'_>) -> (&'static str, &'static str) {
    if parameters.has("SecretValueKey") || !parameters.has("SecretPath") {
        return ("SecretName", "SecretValueKey");
    }
    let path = parameters.text("SecretPath").unwrap_or_default();
    if !path.trim().is_empty() {
        parameters.warn_at(
            "SecretPath",
            Complaint::with_remedy(
                "`SecretPath` is taken as the name of the secret, and `SecretName` as the key in it, as in version 2",
                "write `SecretName` and `SecretValueKey`",
            ),
        );
    }
    ("SecretPath", "SecretName")
}
