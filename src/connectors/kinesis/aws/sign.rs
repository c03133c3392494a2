//! Signatures of requests: AWS Signature Version 4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::Credentials;
use crate::sdk::BoxError;
use crate::time::{Timestamp, calendar};
use crate::transport::http::client::HttpRequest;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Signs a request for a service in a region, with all headers that it has: adds `host`, `x-amz-date`, `x-amz-security-token` and `authorization`.
///
/// # Errors
/// If the URL has no host, or the credentials have characters that no header can have.
pub(in super::super) fn sign(
    request: &mut HttpRequest,
    credentials: &Credentials,
    (service, region): (&str, &str),
    now: Timestamp,
) -> Result<(), BoxError> {
    let time = basic(now);
    let day = time.get(..8).unwrap_or_default();
    let host = host(request).ok_or("the URL has no host")?;
    request.headers.insert(HOST, host.parse()?);
    request.headers.insert("x-amz-date", time.parse()?);
    if let Some(token) = &credentials.session_token {
        let invalid = "the session token has characters that no header can have";
        let mut token: HeaderValue = token.expose().parse().map_err(|_| invalid)?;
        token.set_sensitive(true);
        request.headers.insert("x-amz-security-token", token);
    }
    let (canonical, signed) = canonical(request);
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let to_sign = format!(
        "{ALGORITHM}\n{time}\n{scope}\n{}",
        digest(canonical.as_bytes())
    );
    let mut key = format!("AWS4{}", credentials.secret_access_key.expose()).into_bytes();
    for part in [day, region, service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    let signature = hex(&mac(&key, to_sign.as_bytes()));
    let id = &credentials.access_key_id;
    let value = format!(
        "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}"
    );
    let invalid = "the access key id has characters that no header can have";
    let mut value: HeaderValue = value.parse().map_err(|_| invalid)?;
    value.set_sensitive(true);
    request.headers.insert(AUTHORIZATION, value);
    Ok(())
}

/// `20150830T123600Z`
fn basic(time: Timestamp) -> String {
    let text = calendar::rfc3339(time);
    let mut basic: String = text.chars().take(19).collect();
    basic.retain(|c| c != '-' && c != ':');
    basic.push('Z');
    basic
}

/// As the client sends it: without the port that the scheme implies.
fn host(request: &HttpRequest) -> Option<String> {
    let host = request.url.host()?;
    let implied = match request.url.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    match request.url.port_u16() {
        Some(port) if port != implied => Some(format!("{host}:{port}")),
        _ => Some(host.to_owned()),
    }
}

/// The canonical form of the request, and the names of its headers.
fn canonical(request: &HttpRequest) -> (String, String) {
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &request.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        headers
            .entry(name.as_str())
            .or_default()
            .push(words.join(" "));
    }
    let names: Vec<&str> = headers.keys().copied().collect();
    let names = names.join(";");
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method,
        request.url.path(),
        query(request.url.query().unwrap_or_default())
    );
    for (name, values) in &headers {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}:{}", values.join(","));
    }
    let _ = write!(text, "\n{names}\n{}", digest(&request.body));
    (text, names)
}

/// The parameters, which are percent-encoded already, in order.
fn query(query: &str) -> String {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let mut parts: Vec<(&str, &str)> = parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .collect();
    parts.sort_unstable();
    let parts: Vec<String> = parts
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parts.join("&")
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::module::Secret;

    const NOW: Timestamp = Timestamp::from_millis(1_440_938_160_000);
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn credentials(token: Option<&str>) -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(Secret::new),
            expires: None,
        }
    }

    fn signature(
        method: Method,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: &'static str,
        token: Option<&str>,
    ) -> String {
        let url = format!("https://example.amazonaws.com{path}");
        let mut request = HttpRequest::new(method, url.parse().unwrap());
        request.body = body.into();
        for (name, value) in headers {
            request
                .headers
                .append(*name, HeaderValue::from_static(value));
        }
        sign(
            &mut request,
            &credentials(token),
            ("service", "us-east-1"),
            NOW,
        )
        .unwrap();
        let value = request
            .headers
            .get(AUTHORIZATION)
            .unwrap()
            .to_str()
            .unwrap();
        let (_, signature) = value.split_once("Signature=").unwrap();
        signature.to_owned()
    }

    /// The names are those of the vectors that AWS has published.
    #[test]
    fn the_published_vectors_are_signed() {
        let get = |path| signature(Method::GET, path, &[], "", None);
        let post = |headers, body, token| signature(Method::POST, "/", headers, body, token);
        let form = &[("content-type", "application/x-www-form-urlencoded")][..];
        for (name, found, expected) in [
            (
                "get-vanilla",
                get("/"),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                get("/?Param2=value2&Param1=value1"),
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                post(&[], "", None),
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-header-key-sort",
                post(&[("my-header1", "value1")], "", None),
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
            (
                "post-x-www-form-urlencoded",
                post(form, "Param1=value1", None),
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-sts-header-before",
                post(&[], "", Some(TOKEN)),
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_port_that_the_scheme_does_not_imply_is_part_of_the_host() {
        let host = |url: &str| {
            let request = HttpRequest::new(Method::POST, url.parse().unwrap());
            host(&request).unwrap()
        };
        assert_eq!(host("http://localhost:4567/"), "localhost:4567");
        assert_eq!(host("https://localhost:443/"), "localhost");
    }
}
