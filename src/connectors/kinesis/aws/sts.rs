//! The security token service: temporary credentials of a role. It answers in XML.

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::chain::Chain;
use super::{Credentials, endpoint, sign};
use crate::module::Secret;
use crate::sdk::BoxError;
use crate::time::calendar;
use crate::transport::http::client::HttpRequest;

const PATIENCE: Duration = Duration::from_secs(10);
const VERSION: &str = "2011-06-15";

/// A role, and the session in which it is used.
pub(super) struct Role<'a> {
    pub(super) arn: &'a str,
    pub(super) session: &'a str,
    pub(super) external_id: Option<&'a str>,
}

impl Role<'_> {
    /// Credentials of the role, for somebody who has others.
    pub(super) async fn assume(
        &self,
        chain: &Chain,
        by: &Credentials,
        region: &str,
    ) -> Result<Credentials, BoxError> {
        let mut form = self.form("AssumeRole");
        form.extend(self.external_id.map(|id| ("ExternalId", id)));
        self.ask(chain, &form, Some(by), region).await
    }

    /// Credentials of the role, for the bearer of a token.
    pub(super) async fn assume_with(
        &self,
        chain: &Chain,
        token: &str,
        region: &str,
    ) -> Result<Credentials, BoxError> {
        let mut form = self.form("AssumeRoleWithWebIdentity");
        form.push(("WebIdentityToken", token));
        self.ask(chain, &form, None, region).await
    }

    fn form<'a>(&'a self, action: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("Action", action),
            ("Version", VERSION),
            ("RoleArn", self.arn),
            ("RoleSessionName", self.session),
        ]
    }

    async fn ask(
        &self,
        chain: &Chain,
        form: &[(&str, &str)],
        by: Option<&Credentials>,
        region: &str,
    ) -> Result<Credentials, BoxError> {
        let url = endpoint("sts", region, chain.environment());
        let mut request = HttpRequest::post(url.parse()?, encoded(form));
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        request.headers.insert(CONTENT_TYPE, kind);
        if let Some(by) = by {
            sign(&mut request, by, ("sts", region), chain.now())?;
        }
        let answer = chain.http().send(request, PATIENCE).await?;
        let xml = String::from_utf8_lossy(&answer.body);
        let role = self.arn;
        if !answer.status.is_success() {
            let (code, message) = (element(&xml, "Code"), element(&xml, "Message"));
            return Err(format!(
                "the role {role} is not given: {} {} ({})",
                code.unwrap_or_default(),
                message.unwrap_or_default(),
                answer.status
            )
            .into());
        }
        credentials(&xml).ok_or_else(|| {
            format!(
                "the answer of the security token service for the role {role} has no credentials"
            )
            .into()
        })
    }
}

fn credentials(xml: &str) -> Option<Credentials> {
    Some(Credentials {
        access_key_id: element(xml, "AccessKeyId")?,
        secret_access_key: Secret::new(element(xml, "SecretAccessKey")?),
        session_token: Some(Secret::new(element(xml, "SessionToken")?)),
        expires: Some(calendar::from_rfc3339(&element(xml, "Expiration")?)?),
    })
}

/// The text of the first element with this name. The elements that are looked for have neither attributes nor children.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let mut plain = text.trim().to_owned();
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ];
    for (entity, character) in entities {
        plain = plain.replace(entity, character);
    }
    Some(plain)
}

/// A form, percent-encoded.
fn encoded(form: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in form {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                _ => _ = write!(text, "%{byte:02X}"),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_the_answer() {
        let xml = "<AssumeRoleResponse><AssumeRoleResult>\n<AssumedRoleUser><Arn>x</Arn></AssumedRoleUser><Credentials>\n  <AccessKeyId>id</AccessKeyId>\n  <SecretAccessKey>a/b+c</SecretAccessKey>\n  <SessionToken>\n t&amp;k==\n </SessionToken>\n<Expiration>2026-02-03T04:05:06Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let found = credentials(xml).unwrap();
        assert_eq!(found.access_key_id, "id");
        assert_eq!(found.secret_access_key.expose(), "a/b+c");
        assert_eq!(found.session_token.unwrap().expose(), "t&k==");
        assert_eq!(
            found.expires,
            calendar::from_rfc3339("2026-02-03T04:05:06Z")
        );
        assert!(credentials("<a/>").is_none());
    }

    #[test]
    fn a_form_is_percent_encoded() {
        let form = [("Action", "A"), ("RoleArn", "arn:aws:iam::1:role/ä b")];
        assert_eq!(
            encoded(&form),
            "Action=A&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2F%C3%A4%20b"
        );
    }
}
