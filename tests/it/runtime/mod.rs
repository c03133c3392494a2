//! The embedded runtime with real listeners, a real folder and a real client.

mod edges;
#[cfg(feature = "testing")]
mod faults;
mod http_ingress;
mod partitions;
mod restart;

use std::path::Path;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use stateful_functions::admin::AdminConfig;
use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::{Runtime, RuntimeBuilder, StartError};
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpRequest, HttpResponse,
};

/// A runtime under test, with a client that knows its addresses.
pub(crate) struct Started {
    pub(crate) runtime: Runtime,
    client: HttpClient,
}

/// The HTTP ingress and the sample functions.
pub(crate) const SAMPLES: &str = "
kind: statefun.samples.v1/functions
spec: {}
---
kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0', callTimeout: 5s}
";

/// The admin API on a port of its own, without a token.
pub(crate) fn admin() -> AdminConfig {
    let mut admin = AdminConfig::default();
    admin.listen = "127.0.0.1:0".to_owned();
    admin
}

impl Started {
    /// The sample functions in memory, with a listener of each kind.
    pub(crate) async fn with_all_listeners() -> Self {
        let module = format!(
            "{SAMPLES}---
kind: io.statefun.playground.v1/ingress
spec: {{port: 0, wrapText: true}}
---
kind: io.statefun.playground.v1/egress
spec: {{port: 0, topics: [a]}}
"
        );
        Self::with(Runtime::builder().admin(admin()), &module).await
    }

    /// Starts `builder` with what the module file says.
    pub(crate) async fn with(builder: RuntimeBuilder, module: &str) -> Self {
        Self::try_with(builder, module).await.unwrap()
    }

    /// As [`with`](Self::with), where the start may fail.
    pub(crate) async fn try_with(
        builder: RuntimeBuilder,
        module: &str,
    ) -> Result<Self, StartError> {
        let file = ModuleFile {
            name: "module.yaml",
            text: module,
        };
        let module = Module::parse(&[file], &Placeholders::Literal).unwrap();
        Self::of(builder.module(&module).unwrap()).await
    }

    /// Starts `builder` as it is.
    pub(crate) async fn of(builder: RuntimeBuilder) -> Result<Self, StartError> {
        Ok(Self {
            runtime: builder.start().await?,
            client: HttpClient::new(HttpClientConfig::default()).unwrap(),
        })
    }

    /// Starts a module in memory.
    pub(crate) async fn ephemeral(module: &str) -> Self {
        Self::with(Runtime::builder(), module).await
    }

    /// Starts a module over a folder.
    pub(crate) async fn on_disk(folder: &Path, module: &str) -> Self {
        Self::with(Runtime::builder().data(folder), module).await
    }

    /// Host and port of the listener called `listener`.
    pub(crate) fn address(&self, listener: &str) -> String {
        self.url(listener, "").replace("http://", "")
    }

    /// The URL of `path` at the listener called `listener`.
    pub(crate) fn url(&self, listener: &str, path: &str) -> String {
        let found = self
            .runtime
            .listeners()
            .iter()
            .find(|found| found.name == listener)
            .unwrap();
        format!("http://{}{path}", found.address)
    }

    /// One request to a listener.
    pub(crate) async fn request(
        &self,
        method: Method,
        listener: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> HttpResponse {
        let mut request = HttpRequest::new(method, self.url(listener, path).parse().unwrap());
        request.body = body.to_owned().into();
        request.headers = HeaderMap::from_iter(headers.iter().map(|(name, value)| {
            (
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        }));
        self.client
            .send(request, Duration::from_secs(20))
            .await
            .unwrap()
    }

    /// `POST` to the HTTP ingress.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> HttpResponse {
        self.request(Method::POST, "http ingress", path, headers, body)
            .await
    }
}

/// The body as text.
pub(crate) fn text(response: &HttpResponse) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}
