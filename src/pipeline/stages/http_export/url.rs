//! Where requests go: the URL, its placeholders, and what of it may be shown.

use std::borrow::Cow;
use std::sync::Arc;

use http::Uri;

use super::super::super::template::Template;
use crate::transport::http::client::origin::port_of;

/// Where requests go.
#[derive(Clone)]
pub(super) enum Target {
    Fixed(Uri, Arc<str>),
    Filled(Template),
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let template = Template::parse(text).map_err(|err| err.to_string())?;
        if template.as_constant().is_some() {
            let (url, destination) = absolute(text)?;
            return Ok(Self::Fixed(url, destination));
        }
        // The value of a placeholder is not known yet; a digit shows whether the rest is a URL.
        absolute(&template.sample()).map(|_| Self::Filled(template))
    }
}

impl Target {
    /// Like [`Target::parse`], but text that is not a URL fails only with each record. A URL whose port is impossible is a fault.
    pub(super) fn any(text: &str) -> Result<Self, String> {
        Self::parse(text).or_else(|_| {
            let template = Template::parse(text).map_err(|err| err.to_string())?;
            match impossible_port(&template.sample()) {
                Some(fault) => Err(fault),
                None => Ok(Self::Filled(template)),
            }
        })
    }
}

/// The fault of a URL's port, if that is all that is wrong.
fn impossible_port(text: &str) -> Option<String> {
    let url: Uri = text.parse().ok()?;
    let why = port_of(url.authority()?).err()?;
    Some(format!("`{}`: {why}", redacted(text)))
}

/// The URL, and its destination: scheme, host and port.
pub(super) fn absolute(text: &str) -> Result<(Uri, Arc<str>), String> {
    let shown = redacted(text);
    let url: Uri = text
        .parse()
        .map_err(|err| format!("`{shown}` is not a URL: {err}"))?;
    let wrong = |what: &str| Err(format!("`{shown}` {what}"));
    match (url.scheme_str(), url.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => {
            if authority.as_str().contains('@') {
                return wrong("carries credentials; send them in an `authorization` header");
            }
            let default = if scheme == "http" { 80 } else { 443 };
            let port = port_of(authority).map_err(|why| format!("`{shown}`: {why}"))?;
            let port = port.unwrap_or(default);
            let destination = format!("{scheme}://{}:{port}", authority.host());
            Ok((url, destination.into()))
        }
        _ => wrong("is not an absolute http or https URL"),
    }
}

/// As [`absolute`], of a URL whose placeholders have been filled in.
pub(super) fn filled(text: &str) -> Result<(Uri, Arc<str>), String> {
    let host = text.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    absolute(text).map_err(|fault| match host.contains('%') {
        false => fault,
        true => format!(
            "`{}` has `{host}` as its host: the value of a placeholder is percent-encoded, so it cannot contain a port; use one placeholder for each, `http://{{host}}:{{port}}/`",
            redacted(text)
        ),
    })
}

/// The URL without credentials, query and fragment.
pub(super) fn redacted(url: &str) -> Cow<'_, str> {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (shown, _) = url.split_at(end);
    match (shown.split_once("://"), shown.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => Cow::Owned(format!("{scheme}://***@{rest}")),
        _ => Cow::Borrowed(shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_scheme_host_and_port() {
        for (url, destination) in [
            ("http://h/a", "http://h:80"),
            ("https://h", "https://h:443"),
            ("http://[::1]:8080/x?y", "http://[::1]:8080"),
        ] {
            assert_eq!(&*absolute(url).unwrap().1, destination);
        }
    }

    #[test]
    fn a_host_that_was_filled_in_with_its_port_is_reported_as_such() {
        let fault = filled("http://127.0.0.1%3A9000/x").unwrap_err();
        assert!(fault.contains("`127.0.0.1%3A9000` as its host"), "{fault}");
        assert!(fault.contains("http://{host}:{port}/"), "{fault}");
        assert!(filled("http://h/a%2Fb").is_ok());
    }

    #[test]
    fn faults_show_neither_credentials_nor_query() {
        for url in [
            "http://me:secret@h/p?token=secret",
            "nope?token=secret",
            "ftp://h/?secret",
        ] {
            let fault = absolute(url).unwrap_err();
            assert!(!fault.contains("secret"), "{fault}");
        }
        for url in [
            "http://h:99999/x",
            "https://h:65536",
            "http://h:0/",
            "http://{h}:99999/",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
        assert!(Target::parse("http://{host}/{path}").is_ok());
        assert!(Target::parse("{url}").is_err(), "the scheme must be known");
    }
}
