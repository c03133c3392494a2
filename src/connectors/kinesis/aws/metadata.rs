//! Credentials that the machine gives: a container's agent, or the instance metadata service, version 2.

use std::net::IpAddr;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode, Uri};
use serde::Deserialize;

use super::Credentials;
use super::chain::Chain;
use crate::module::Secret;
use crate::printable::first_line_of;
use crate::sdk::BoxError;
use crate::time::calendar;
use crate::transport::http::client::{HttpRequest, HttpResponse};

/// They are next to the process, or not there at all.
const PATIENCE: Duration = Duration::from_secs(2);
const AGENT: &str = "http://169.254.170.2";
/// Hosts that may get the token of a container without TLS, beside loopback.
const AGENTS: &[&str] = &["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
const INSTANCE: &str = "http://169.254.169.254";
/// In seconds.
const TOKEN_LIFETIME: &str = "21600";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleCredentials {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

/// The credentials of the container; `None` if it is none.
pub(super) async fn container(chain: &Chain) -> Result<Option<Credentials>, BoxError> {
    let environment = chain.environment();
    let url = match environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        Some(path) => format!("{AGENT}{path}"),
        None => match environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            Some(url) => url.to_owned(),
            None => return Ok(None),
        },
    };
    let url: Uri = url
        .parse()
        .map_err(|why| format!("`{url}`, the address of the container's credentials: {why}"))?;
    if !is_trusted(&url) {
        return Err(format!("AWS_CONTAINER_CREDENTIALS_FULL_URI is `{url}`: only https, loopback and the agents of ECS and EKS are asked for credentials").into());
    }
    let mut request = HttpRequest::new(Method::GET, url);
    let token = match environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => {
            let token = std::fs::read_to_string(path);
            let token = token
                .map_err(|why| format!("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, {path}: {why}"))?;
            Some(token.trim().to_owned())
        }
        None => environment
            .get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
            .map(str::to_owned),
    };
    if let Some(token) = token {
        let mut token: HeaderValue = token
            .parse()
            .map_err(|_| "the container's token has characters that no header can have")?;
        token.set_sensitive(true);
        request.headers.insert(AUTHORIZATION, token);
    }
    let answer = send(chain, request).await?;
    read(&answer).map(Some)
}

/// Whether the token may be sent there.
fn is_trusted(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    url.scheme_str() == Some("https") || is_loopback || AGENTS.contains(&host)
}

/// The credentials of the instance's role; `None` if this is not an instance, or it has no role.
pub(super) async fn instance(chain: &Chain) -> Result<Option<Credentials>, BoxError> {
    let Ok(service) = Instance::reached(chain).await else {
        return Ok(None);
    };
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    let roles = service.get(ROLES).await?;
    if roles.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let roles = String::from_utf8_lossy(&roles.body).into_owned();
    let Some(role) = roles
        .lines()
        .next()
        .map(str::trim)
        .filter(|role| !role.is_empty())
    else {
        return Ok(None);
    };
    let answer = service.get(&format!("{ROLES}{role}")).await?;
    read(&answer).map(Some)
}

/// The region of the instance.
pub(super) async fn region(chain: &Chain) -> Result<String, BoxError> {
    let service = Instance::reached(chain).await?;
    let answer = service.get("/latest/meta-data/placement/region").await?;
    let region = String::from_utf8_lossy(&answer.body).trim().to_owned();
    match answer.status.is_success() && !region.is_empty() {
        true => Ok(region),
        false => Err("the instance metadata service names no region".into()),
    }
}

/// The instance metadata service, with a token for it.
struct Instance<'a> {
    chain: &'a Chain,
    address: String,
    token: HeaderValue,
}

impl<'a> Instance<'a> {
    async fn reached(chain: &'a Chain) -> Result<Self, BoxError> {
        let environment = chain.environment();
        let disabled = environment.get("AWS_EC2_METADATA_DISABLED");
        if disabled.is_some_and(|disabled| disabled.eq_ignore_ascii_case("true")) {
            return Err("AWS_EC2_METADATA_DISABLED is true".into());
        }
        let address = environment
            .get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
            .unwrap_or(INSTANCE);
        let address = address.trim_end_matches('/').to_owned();
        let url = format!("{address}/latest/api/token").parse()?;
        let mut request = HttpRequest::new(Method::PUT, url);
        let lifetime = HeaderValue::from_static(TOKEN_LIFETIME);
        request
            .headers
            .insert("x-aws-ec2-metadata-token-ttl-seconds", lifetime);
        let answer = send(chain, request).await?;
        if !answer.status.is_success() {
            return Err(format!(
                "the instance metadata service gives no token: {}",
                answer.status
            )
            .into());
        }
        let mut token = HeaderValue::from_bytes(answer.body.trim_ascii())?;
        token.set_sensitive(true);
        Ok(Self {
            chain,
            address,
            token,
        })
    }

    async fn get(&self, path: &str) -> Result<HttpResponse, BoxError> {
        let url = format!("{}{path}", self.address).parse()?;
        let mut request = HttpRequest::new(Method::GET, url);
        request
            .headers
            .insert("x-aws-ec2-metadata-token", self.token.clone());
        send(self.chain, request).await
    }
}

/// They are asked directly, without a proxy.
async fn send(chain: &Chain, request: HttpRequest) -> Result<HttpResponse, BoxError> {
    Ok(chain.local().send(request, PATIENCE).await?)
}

fn read(answer: &HttpResponse) -> Result<Credentials, BoxError> {
    if !answer.status.is_success() {
        let text = first_line_of(&answer.body, 200);
        return Err(format!("the machine gives no credentials: {} {text}", answer.status).into());
    }
    let found: RoleCredentials = serde_json::from_slice(&answer.body)
        .map_err(|why| format!("the machine gives no credentials: {why}"))?;
    let expires = match &found.expiration {
        Some(text) => {
            let unreadable = || {
                format!(
                    "the machine's credentials expire at `{text}`, which is not a point in time"
                )
            };
            Some(calendar::from_rfc3339(text).ok_or_else(unreadable)?)
        }
        None => None,
    };
    Ok(Credentials {
        access_key_id: found.access_key_id,
        secret_access_key: Secret::new(found.secret_access_key),
        session_token: found.token.map(Secret::new),
        expires,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_containers_go_to_trusted_hosts_only() {
        for (url, expected) in [
            ("https://example.com/x", true),
            ("http://127.0.0.1:9/x", true),
            ("http://localhost/x", true),
            ("http://[::1]/x", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://example.com/x", false),
            ("http://169.254.169.254/x", false),
        ] {
            assert_eq!(is_trusted(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
