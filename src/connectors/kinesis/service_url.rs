//! The URL of a service.

use http::Uri;

use crate::sdk::BoxError;
use crate::transport::http::client::origin::port_of;

/// # Errors
/// If `url` is not the address of a service.
pub(super) fn service_url(url: &str) -> Result<Uri, BoxError> {
    let invalid = |why: &str| format!("`{url}`, the address of Kinesis, is {why}");
    let parsed: Uri = url.parse().map_err(|_| invalid("not a URL"))?;
    let authority = match (parsed.scheme_str(), parsed.authority()) {
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => authority,
        _ => return Err(invalid("not an http or https URL with a host").into()),
    };
    port_of(authority).map_err(|why| format!("`{url}`, the address of Kinesis: {why}"))?;
    Ok(parsed)
}
