//! AWS region and credentials: the common settings of the Kinesis kinds.

use crate::document::{Complaint, Fields};

use super::super::uri;
use super::super::{Secret, coerce};

/// Which region of AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AwsRegion {
    /// The one that the environment names.
    #[default]
    Default,
    /// This one.
    Specific(String),
    /// A service of one's own.
    CustomEndpoint {
        /// Its URL, with `https`.
        endpoint: String,
        /// The region that requests are signed for.
        id: String,
    },
}

/// AWS credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AwsCredentials {
    /// Who the environment says.
    #[default]
    Default,
    /// A key and its secret.
    Basic {
        /// The key.
        access_key_id: String,
        /// Its secret.
        secret_access_key: Secret,
    },
    /// A profile of a file.
    Profile {
        /// Its name.
        name: String,
        /// The file; `None`: the usual one.
        path: Option<String>,
    },
}

/// Reads `awsRegion`.
pub(super) fn region(fields: &Fields<'_>) -> AwsRegion {
    typed(fields, "awsRegion", |region, kind| match kind {
        "default" => Some(AwsRegion::Default),
        "specific" => filled(region, "id").map(AwsRegion::Specific),
        "custom-endpoint" => {
            let (endpoint, id) = (
                coerce::text_of_any(region, "endpoint"),
                filled(region, "id"),
            );
            let endpoint = endpoint.filter(|endpoint| match check_endpoint(endpoint) {
                Ok(()) => true,
                Err(complaint) => {
                    region.fault("endpoint", complaint);
                    false
                }
            });
            Some(AwsRegion::CustomEndpoint {
                endpoint: endpoint?,
                id: id?,
            })
        }
        other => {
            let text = format!(
                "Invalid AWS region type: {other}; valid values are [default, specific, custom-endpoint]"
            );
            region.fault("type", text);
            None
        }
    })
}

/// Reads `awsCredentials`.
pub(super) fn credentials(fields: &Fields<'_>) -> AwsCredentials {
    typed(fields, "awsCredentials", |given, kind| match kind {
        "default" => Some(AwsCredentials::Default),
        "basic" => {
            let (key, secret) = (
                filled(given, "accessKeyId"),
                filled(given, "secretAccessKey"),
            );
            Some(AwsCredentials::Basic {
                access_key_id: key?,
                secret_access_key: Secret::new(secret?),
            })
        }
        "profile" => {
            let name = coerce::text_of_any(given, "profileName");
            let path = match given.has("profilePath") {
                true => coerce::text_of_any(given, "profilePath"),
                false => None,
            };
            Some(AwsCredentials::Profile { name: name?, path })
        }
        other => {
            let text = format!(
                "Invalid AWS credential type: {other}; valid values are [default, basic, profile]"
            );
            given.fault("type", text);
            None
        }
    })
}

/// A text that must not be empty: StateFun takes an empty one, and AWS refuses every request then.
fn filled(fields: &Fields<'_>, key: &'static str) -> Option<String> {
    let text = coerce::text_of_any(fields, key)?;
    if text.trim().is_empty() {
        fields.fault(key, "must not be empty");
        return None;
    }
    Some(text)
}

/// The mapping at `key`, read by its `type`.
fn typed<T: Default>(
    fields: &Fields<'_>,
    key: &'static str,
    read: impl FnOnce(&Fields<'_>, &str) -> Option<T>,
) -> T {
    let Some(given) = coerce::mapping_at(fields, key) else {
        return T::default();
    };
    let kind = coerce::text_of_any(&given, "type");
    let value = kind.and_then(|kind| read(&given, &kind));
    given.finish();
    value.unwrap_or_default()
}

fn check_endpoint(endpoint: &str) -> Result<(), Complaint> {
    let uri = uri::parse(endpoint)?;
    match uri.scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Ok(()),
        _ => Err(Complaint::with_remedy(
            format!(
                "Invalid service endpoint url: {endpoint}; Only custom service endpoints using HTTPS are supported"
            ),
            "begin it with https://",
        )),
    }
}
