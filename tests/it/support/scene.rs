//! A runtime in this process with a module that names another system.

use std::path::Path;

use serde_json::Value;
use stateful_functions::StatefulFunctions;
use stateful_functions::admin::AdminConfig;
use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::{Environment, Runtime, RuntimeBuilder, StartError};
use stateful_functions::testing::conformance::MemoryFarSide;
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpRequest, HttpResponse,
};

use super::ledger;
use super::until::until;

/// `builder` with what a module file says.
pub(crate) fn with(builder: RuntimeBuilder, text: &str) -> RuntimeBuilder {
    try_with(builder, text).unwrap()
}

fn try_with(builder: RuntimeBuilder, text: &str) -> Result<RuntimeBuilder, StartError> {
    let file = ModuleFile {
        name: "module.yaml",
        text,
    };
    let module = Module::parse(&[file], &Placeholders::Literal).unwrap();
    builder.module(&module)
}

/// A runtime whose `test/ledger` gets what an ingress brings; the far side hears of every text.
pub(crate) struct Scene {
    pub(crate) runtime: Runtime,
    pub(crate) far_side: MemoryFarSide,
}

impl Scene {
    pub(crate) async fn start(module: &str, data: &Path) -> Self {
        Self::try_start(module, data).await.unwrap()
    }

    pub(crate) async fn try_start(module: &str, data: &Path) -> Result<Self, StartError> {
        let environment = Environment::default();
        Self::try_start_with(ledger::functions(), environment, module, data).await
    }

    pub(crate) async fn start_with(
        functions: StatefulFunctions,
        module: &str,
        data: &Path,
    ) -> Self {
        let started = Self::try_start_with(functions, Environment::default(), module, data);
        started.await.unwrap()
    }

    /// In a process with these variables of the environment.
    pub(crate) async fn start_within(environment: Environment, module: &str, data: &Path) -> Self {
        let started = Self::try_start_with(ledger::functions(), environment, module, data);
        started.await.unwrap()
    }

    async fn try_start_with(
        functions: StatefulFunctions,
        environment: Environment,
        module: &str,
        data: &Path,
    ) -> Result<Self, StartError> {
        let far_side = MemoryFarSide::default();
        let mut admin = AdminConfig::default();
        admin.listen = "127.0.0.1:0".to_owned();
        let builder = Runtime::builder()
            .functions(functions)
            .environment(environment)
            .egress(ledger::OUT, far_side.sink())
            .admin(admin)
            .data(data);
        let runtime = try_with(builder, module)?.start().await?;
        Ok(Self { runtime, far_side })
    }

    /// Waits until these texts have arrived, and no others, in any order.
    pub(crate) async fn arrive(&self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        expected.sort();
        until(&format!("{expected:?} to arrive"), async || {
            (self.far_side.texts().len() >= expected.len()).then_some(())
        })
        .await;
        let mut arrived = self.far_side.texts();
        arrived.sort();
        assert_eq!(arrived, expected);
    }

    /// What the admin API tells at `path`.
    pub(crate) async fn ask(&self, path: &str) -> String {
        let request = HttpRequest::new(http::Method::GET, self.url(path));
        let answer = exchange(request).await;
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    /// What the admin API answers to a command.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut request = HttpRequest::post(self.url(path), body.to_string());
        let json = http::HeaderValue::from_static("application/json");
        request.headers.insert("content-type", json);
        let answer = exchange(request).await;
        let body = serde_json::from_slice(&answer.body).unwrap();
        (answer.status.as_u16(), body)
    }

    fn url(&self, path: &str) -> http::Uri {
        let mut listeners = self.runtime.listeners().iter();
        let admin = listeners
            .find(|listener| listener.name == "admin api")
            .unwrap();
        format!("http://{}{path}", admin.address).parse().unwrap()
    }

    /// Waits until the ingress tells operators something with `words`.
    pub(crate) async fn says(&self, words: &str) {
        until(&format!("`{words}` to be told"), async || {
            let queues: Value = serde_json::from_str(&self.ask("/api/queues").await).unwrap();
            let told = format!("{}{}", queues["ingresses"], queues["egresses"]);
            told.contains(words).then_some(())
        })
        .await;
    }
}

async fn exchange(request: HttpRequest) -> HttpResponse {
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let patience = std::time::Duration::from_secs(10);
    client.send(request, patience).await.unwrap()
}
