//! Settings of `statefun run` from its environment: proxies and authorities, for exports and remote functions.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::canned::{Canned, ok};
use crate::support::process::Process;
use crate::support::proxy::Proxy;
use crate::support::tls::{self, DATA};
use crate::support::until::until;

/// A pipeline that exports to `url` behind an ingress, and a remote function at `functions`.
fn module(folder: &Path, url: &str, functions: &str) -> std::path::PathBuf {
    let text = format!(
        "kind: statefun.http.v1/ingress\nspec: {{listen: '127.0.0.1:0'}}\n---\n\
         kind: statefun.pipelines.v1/pipeline\nspec: {{name: p, stages: [{{http-export: {{url: '{url}'}}}}]}}\n---\n\
         kind: io.statefun.endpoints.v2/http\nspec: {{functions: shop/*, urlPathTemplate: '{functions}'}}\n"
    );
    let file = folder.join("module.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

fn run(module: &Path, folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Process::command(module, &folder.join("data"));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.envs(variables.iter().copied());
    command
}

async fn post(process: &Process, path: &str) {
    use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
    let url = format!("{}{path}", process.url("http ingress"));
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let sent = client.send(
        HttpRequest::post(url.parse().unwrap(), "one"),
        std::time::Duration::from_secs(60),
    );
    assert_eq!(sent.await.unwrap().status, 202);
}

#[tokio::test]
async fn exports_and_remote_functions_go_through_the_proxy_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let module = module(
        folder.path(),
        "http://crm.invalid/hook",
        "http://functions.invalid/",
    );
    let proxy = Proxy::start(None).await;
    let address = proxy.address.to_string();
    let process = Process::of(run(
        &module,
        folder.path(),
        &[("http_proxy", &address), ("NO_PROXY", "other.invalid")],
    ));
    post(&process, "/send/pipelines/p/a").await;
    post(&process, "/send/shop/cart/a").await;
    for start in [
        "POST http://crm.invalid/hook ",
        "POST http://functions.invalid/ ",
    ] {
        until(start, async || {
            let received = proxy.received();
            received
                .iter()
                .any(|request| request.head.starts_with(start))
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn authorities_of_the_environment_replace_the_public_ones() {
    let folder = tempfile::tempdir().unwrap();
    let canned = Canned::always([], ok("", b"")).await;
    let port = tls::open_to_all(canned.clone(), "server").await;
    let url = format!("https://localhost:{port}/hook");
    let module = module(folder.path(), &url, &url);
    let authority = format!("{DATA}/authority.crt");
    let process = Process::of(run(
        &module,
        folder.path(),
        &[("SSL_CERT_FILE", &authority)],
    ));
    post(&process, "/send/pipelines/p/a").await;
    post(&process, "/send/shop/cart/a").await;
    until("both requests", async || {
        let received = canned.received();
        let is_call = |request: &crate::support::raw::RawMessage| request.body != b"one";
        let calls = received
            .iter()
            .filter(|(_, request)| is_call(request))
            .count();
        (calls > 0 && calls < received.len()).then_some(())
    })
    .await;
}

#[test]
fn an_invalid_variable_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let module = module(folder.path(), "http://127.0.0.1:9/", "http://127.0.0.1:9/");
    for (name, value, told) in [
        (
            "HTTP_PROXY",
            "socks5://h:1",
            "environment variable HTTP_PROXY: `socks5://h:1` is not an HTTP proxy",
        ),
        (
            "https_proxy",
            "http://me:secret@h:99999",
            "environment variable https_proxy: `h:99999` is not a proxy",
        ),
        (
            "NO_PROXY",
            "10.0.0.0/99",
            "environment variable NO_PROXY: `10.0.0.0/99` is not a network",
        ),
        (
            "SSL_CERT_FILE",
            "no/such.pem",
            "environment variable SSL_CERT_FILE, no/such.pem: No such file",
        ),
        (
            "SSL_CERT_FILE",
            "Cargo.toml",
            "environment variable SSL_CERT_FILE, Cargo.toml: ",
        ),
    ] {
        let Output { status, stderr, .. } = run(&module, folder.path(), &[(name, value)])
            .output()
            .unwrap();
        let told_text = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{told_text}");
        assert!(
            told_text.contains(told) && !told_text.contains("secret"),
            "{told_text}"
        );
    }
}
