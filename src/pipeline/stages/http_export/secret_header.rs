//! A header whose value is a secret: it is looked up for each request and is never part of the settings.

use std::fmt;

use http::HeaderName;
use http::header::HeaderValue;

use super::super::super::secrets::Secrets;
use super::{header_name, header_value};
use crate::delivery::engine::Failure;
use crate::document::At;

/// A header whose value is a secret, see [`Secrets`](crate::pipeline::Secrets).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHeader {
    /// The name of the header.
    pub header: String,
    /// The name of the secret.
    pub secret: String,
    /// The key in the secret.
    pub key: String,
}

/// [`SecretHeader`] after its check.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    pub(super) header: HeaderName,
    name: String,
    key: String,
}

impl SecretHeader {
    /// `header` with the text under `key` of `secret`.
    pub fn new(
        header: impl Into<String>,
        secret: impl Into<String>,
        key: impl Into<String>,
    ) -> Self {
        Self {
            header: header.into(),
            secret: secret.into(),
            key: key.into(),
        }
    }

    pub(super) fn check(&self, fault: &impl Fn(&str, &dyn fmt::Display)) -> Option<Secret> {
        let header = header_name(&self.header).map_err(|text| fault("secretHeader.header", &text));
        for (field, text) in [
            ("secretHeader.secret", &self.secret),
            ("secretHeader.key", &self.key),
        ] {
            if text.trim().is_empty() {
                fault(field, &"must not be empty");
            }
        }
        Some(Secret {
            header: header.ok()?,
            name: self.secret.clone(),
            key: self.key.clone(),
        })
    }
}

impl Secret {
    /// The value of the header, or the failure with which the record waits for it.
    pub(super) fn value(&self, secrets: &Secrets) -> Result<HeaderValue, Box<Failure>> {
        let text = secrets.demand(&self.name, &self.key)?;
        let mut value = header_value(&text).map_err(|text| {
            let text = format!(
                "`{}` of the secret `{}` can't be sent: {text}",
                self.key, self.name
            );
            Box::new(Failure::permanent("secret", text))
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// `secretHeader: {header, secret, key}`.
#[expect(
    clippy::option_option,
    reason = "the inner one is the value of a setting that has a default"
)]
pub(super) fn read(at: &At<'_>) -> Option<Option<SecretHeader>> {
    let fields = at.clone().fields()?;
    let text = |key| fields.required(key).and_then(|at| at.text());
    let (header, secret, key) = (text("header"), text("secret"), text("key"));
    fields.finish();
    Some(Some(SecretHeader::new(header?, secret?, key?)))
}
