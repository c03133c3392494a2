//! A client of the admin API; `docs/admin-api.md` is its contract.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stateful_functions::admin::AdminConfig;
use stateful_functions::runtime::{Runtime, Token};
use stateful_functions::storage::{Disk, is_used};
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpRequest, HttpResponse,
};
use stateful_functions::{Address, TypeName, printable};

use crate::args::ADMIN;
use crate::json::{Fields, text_at};
use crate::network;

/// Longer than any time limit of the server.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The largest page of a list.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// The admin API to use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct AdminArgs {
    /// Address of the admin API, as `host:port` or a URL.
    #[arg(
        id = "admin",
        long = "admin",
        value_name = "ADDR",
        env = "STATEFUN_ADMIN",
        default_value = ADMIN,
        value_parser = base_url
    )]
    base: String,
    /// The token the runtime was started with.
    #[arg(
        long,
        value_name = "TEXT",
        env = "STATEFUN_ADMIN_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
}

/// The URL of an admin API given as `host:port` or as a URL.
fn base_url(text: &str) -> Result<String, String> {
    let form = "write it as host:port, such as 127.0.0.1:8191, or as a URL";
    let url = match text.split_once("://") {
        None => {
            host_port(text)?;
            format!("http://{text}")
        }
        Some(("http" | "https", _)) => text.trim_end_matches('/').to_owned(),
        Some((scheme, _)) => {
            return Err(format!(
                "the scheme is `{scheme}`, not http or https; {form}"
            ));
        }
    };
    let parsed: Uri = url.parse().map_err(|err| format!("{err}; {form}"))?;
    let authority = parsed.authority().ok_or(form)?;
    let port = authority.as_str().strip_prefix(authority.host());
    if port.is_some_and(|port| !port.is_empty())
        && authority.port_u16().is_none_or(|port| port == 0)
    {
        return Err("a port is a number from 1 to 65535".to_owned());
    }
    if authority.as_str().contains('@') {
        return Err("it has credentials in it; give the token with --token".to_owned());
    }
    if parsed.query().is_some() {
        return Err(format!("it has a query; {form}"));
    }
    Ok(url)
}

/// Parses `host:port`, with 0 for any port.
pub(crate) fn host_port(text: &str) -> Result<String, String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or("write it as host:port, such as 127.0.0.1:9000")?;
    if host.is_empty() {
        return Err(format!(
            "the host is missing; did you mean 127.0.0.1:{port}?"
        ));
    }
    port.parse::<u16>()
        .map_err(|_| format!("`{port}` is not a port: a number from 0 to 65535"))?;
    Ok(text.to_owned())
}

/// The token of the admin API, from `option` or the environment. It is not repeated in the error.
pub(crate) fn token(given: Option<&str>, option: &str) -> anyhow::Result<Option<Token>> {
    let token = given.map(Token::parse).transpose();
    token.with_context(|| format!("{option} or STATEFUN_ADMIN_TOKEN cannot be used"))
}

/// Refuses a folder that no runtime has written.
pub(crate) fn must_be_data(folder: &Path) -> anyhow::Result<()> {
    if !is_used(folder) {
        bail!("{} is not a data folder of a runtime", folder.display());
    }
    Ok(())
}

/// Opens the data folder of a stopped runtime, and directs `admin` to it. No function is called and no timer fires.
///
/// `disk` may be the folder [untouched](stateful_functions::storage::Untouched).
pub(crate) async fn at_rest(disk: Arc<dyn Disk>, admin: &mut AdminArgs) -> anyhow::Result<Runtime> {
    let mut config = AdminConfig::default();
    config.listen = "127.0.0.1:0".to_owned();
    let runtime = Runtime::builder()
        .disk(disk)
        .admin(config)
        .at_rest()
        .start()
        .await?;
    let listener = runtime
        .listeners()
        .first()
        .context("the folder is not served")?;
    admin.base = format!("http://{}", listener.address);
    admin.token = None;
    Ok(runtime)
}

/// A connection to the admin API.
pub(crate) struct Admin {
    base: String,
    authorization: Option<HeaderValue>,
    http: HttpClient,
}

impl AdminArgs {
    pub(crate) fn connect(&self) -> anyhow::Result<Admin> {
        let token = token(self.token.as_deref(), "--token")?;
        let authorization = token.map(|token| {
            HeaderValue::try_from(format!("Bearer {}", token.expose())).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let mut config = HttpClientConfig::default().network(&network::of_environment()?);
        config.max_response_body_bytes = MAX_RESPONSE_BYTES;
        Ok(Admin {
            base: self.base.clone(),
            authorization: authorization
                .transpose()
                .context("the token cannot be sent as a header")?,
            http: HttpClient::new(config)?,
        })
    }
}

impl Admin {
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        read_json(&self.get_body(path).await?)
    }

    /// An object whose values keep their text.
    pub(crate) async fn get_fields(&self, path: &str) -> anyhow::Result<Fields> {
        read_json(&self.get_body(path).await?)
    }

    async fn get_body(&self, path: &str) -> anyhow::Result<Bytes> {
        Ok(self.send(self.request(Method::GET, path)?).await?.body)
    }

    /// The text of a route that answers with text.
    pub(crate) async fn text(&self, path: &str) -> anyhow::Result<String> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        Ok(String::from_utf8_lossy(&response.body).into_owned())
    }

    /// `/health`, whose body says why it is not 200.
    pub(crate) async fn health(&self) -> anyhow::Result<Value> {
        let response = self.exchange(self.request(Method::GET, "/health")?).await?;
        read_json(&response.body)
    }

    /// Fails as a read of `path` does if there is nothing. Other failures do not count: what cannot be read may still be removed.
    pub(crate) async fn must_be_there(&self, path: &str) -> anyhow::Result<()> {
        let response = self.exchange(self.request(Method::GET, path)?).await?;
        if response.status == StatusCode::NOT_FOUND {
            bail!(refusal(&response));
        }
        Ok(())
    }

    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        let mut request = self.request(Method::POST, path)?;
        let json = HeaderValue::from_static("application/json");
        request.headers.insert("content-type", json);
        request.body = serde_json::to_vec(body)?.into();
        let response = self.send(request).await?;
        read_json(&response.body)
    }

    /// A request for `path`, still without headers and body.
    pub(crate) fn request(&self, method: Method, path: &str) -> anyhow::Result<HttpRequest> {
        let url = format!("{}{path}", self.base);
        let url = Uri::try_from(&url).with_context(|| format!("{} is not a URL", self.base))?;
        let mut request = HttpRequest::new(method, url);
        if let Some(value) = &self.authorization {
            request.headers.insert(AUTHORIZATION, value.clone());
        }
        Ok(request)
    }

    /// The response if it is a success, otherwise an error with the server's message and code.
    pub(crate) async fn send(&self, request: HttpRequest) -> anyhow::Result<HttpResponse> {
        let response = self.exchange(request).await?;
        if !response.status.is_success() {
            bail!(refusal(&response));
        }
        Ok(response)
    }
}

impl Admin {
    /// The response, whatever its status.
    async fn exchange(&self, request: HttpRequest) -> anyhow::Result<HttpResponse> {
        let sent = self.http.send(request, TIMEOUT).await;
        sent.map_err(|err| {
            let base = &self.base;
            let text = if err.is_connect() {
                format!(
                    "no runtime listens at {base}: start one with `statefun run`, or say with --admin where it listens"
                )
            } else {
                format!("no complete answer from {base}")
            };
            anyhow::Error::new(err).context(text)
        })
    }
}

pub(crate) fn read_json<T: DeserializeOwned>(body: &Bytes) -> anyhow::Result<T> {
    serde_json::from_slice(body).context("the answer is not JSON; is this the admin API?")
}

fn refusal(response: &HttpResponse) -> String {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    match (text_at(&body, "/message"), text_at(&body, "/code")) {
        (Some(message), Some(code @ "unauthorised")) => format!(
            "{}; set --token or STATEFUN_ADMIN_TOKEN ({code})",
            printable::text(message)
        ),
        (Some(message), Some(code)) => format!("{} ({code})", printable::text(message)),
        _ => format!(
            "the server answers {}; is this the admin API?",
            response.status
        ),
    }
}

/// An address on the command line: `<namespace>/<type>/<id>`; the id may contain slashes.
#[derive(Debug, Clone)]
pub(crate) struct AddressArg(Address);

impl FromStr for AddressArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '/');
        let (Some(namespace), Some(name), Some(id)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("write it as <namespace>/<type>/<id>".to_owned());
        };
        let type_name = TypeName::from_parts(namespace, name).map_err(|err| err.to_string())?;
        Ok(Self(Address::new(type_name, id)))
    }
}

impl AddressArg {
    /// As a path of the API.
    pub(crate) fn path(&self) -> String {
        let name = self.0.type_name();
        format!(
            "{}/{}/{}",
            encoded(name.namespace()),
            encoded(name.name()),
            encoded(self.0.id())
        )
    }
}

/// A part of a path or the value of a parameter, percent-encoded.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The parameters of a list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    pub(crate) fn with(mut self, key: &'static str, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|value| (key, value.to_string())));
        self
    }

    /// `?a=b&c=d`, or nothing.
    pub(crate) fn text(&self) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| format!("{key}={}", encoded(value)))
            .collect();
        if pairs.is_empty() {
            return String::new();
        }
        format!("?{}", pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_api_must_be_complete() {
        assert_eq!(base_url("127.0.0.1:8191").unwrap(), "http://127.0.0.1:8191");
        assert_eq!(base_url("[::1]:8191").unwrap(), "http://[::1]:8191");
        assert_eq!(
            base_url("https://ops.example/shop/").unwrap(),
            "https://ops.example/shop"
        );
        for wrong in [
            "localhost",
            ":8191",
            "localhost:",
            "localhost:99999",
            "localhost:http",
            "http://h:99999",
            "http://h:0",
            "http://",
            "ftp://h:1",
            "http://me:secret@h:1",
            "http://h:1/?x=1",
            "",
        ] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_encoded_part_by_part() {
        let address: AddressArg = "example/greeter/a/b c".parse().unwrap();
        assert_eq!(address.path(), "example/greeter/a%2Fb%20c");
        let empty: AddressArg = "example/greeter/".parse().unwrap();
        assert_eq!(empty.path(), "example/greeter/");
        assert!("example/greeter".parse::<AddressArg>().is_err());
        assert!("/greeter/x".parse::<AddressArg>().is_err());
    }

    #[test]
    fn absent_parameters_are_left_out() {
        let query = Query::default()
            .with("type", Some("a/b"))
            .with("id", None::<&str>)
            .with("limit", Some(3));
        assert_eq!(query.text(), "?type=a%2Fb&limit=3");
        assert_eq!(Query::default().text(), "");
    }
}
