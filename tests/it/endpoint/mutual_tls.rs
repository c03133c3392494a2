//! Certificates on both sides.

use std::path::Path;

use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::{Runtime, RuntimeConfig};

use super::{ASYNC, Caller, fine, functions_at, warnings};
use crate::runtime::{Started, admin};
use crate::support::canned::Canned;
use crate::support::tls::{self, DATA};

/// A server that wants a certificate of the authority; its URL.
pub(super) async fn start(canned: Canned) -> String {
    format!("https://localhost:{}/", tls::mutual(canned).await)
}

fn files(authority: &str, rest: &[(&str, &str)]) -> String {
    let mut transport = format!("{ASYNC}, call: 1500ms, trust_cacerts: {DATA}/{authority}");
    for (key, file) in rest {
        transport.push_str(&format!(", {key}: {DATA}/{file}"));
    }
    transport
}

#[tokio::test]
async fn sf_29_mutual_tls_works_with_plain_and_encrypted_keys() {
    let certificate = ("client_cert", "client.crt");
    for key in [
        &[("client_key", "client.key")][..],
        &[
            ("client_key", "client.encrypted.key"),
            ("client_key_password", "client.password"),
        ],
        // The only encrypted ones that the real runtime reads.
        &[
            ("client_key", "client.old.key"),
            ("client_key_password", "client.password"),
        ],
        // An unneeded password does no harm.
        &[
            ("client_key", "client.key"),
            ("client_key_password", "client.password"),
        ],
    ] {
        let canned = Canned::always([], fine()).await;
        let url = start(canned.clone()).await;
        let transport = files("authority.crt", &[&[certificate][..], key].concat());
        let transport = transport.replace("call: 1500ms", "call: 1min");
        let caller = Caller::new(&url, &transport).await;
        caller.send("a").await;
        caller.succeeds(1).await;
        assert_eq!(canned.received().len(), 1, "{key:?}");
    }
}

#[tokio::test]
async fn sf_29_strangers_are_refused_on_both_sides() {
    // The client does not know the server.
    let url = start(Canned::always([], fine()).await).await;
    let caller = Caller::new(&url, &files("localhost.crt", &[])).await;
    caller.send("a").await;
    let cause = caller.failure().await;
    assert!(
        cause.starts_with("RequestTimeoutException") && cause.contains("UnknownIssuer"),
        "{cause}"
    );
    // If authorities are named, public ones are not trusted.
    let caller = Caller::new(&url, &format!("{ASYNC}, call: 1500ms")).await;
    caller.send("a").await;
    assert!(caller.failure().await.contains("UnknownIssuer"));
    // The server requires a client certificate.
    let caller = Caller::new(&url, &files("authority.crt", &[])).await;
    caller.send("a").await;
    let cause = caller.failure().await;
    assert!(
        cause.contains("CertificateRequired") || cause.contains("the exchange broke off"),
        "{cause}"
    );
}

#[tokio::test]
async fn sf_29_faults_of_the_files_are_reported() {
    let certificate = ("client_cert", "client.crt");
    for (rest, text) in [
        (
            vec![certificate],
            "You need to provide both the cert and they key if you want to use mutual TLS."
                .to_owned(),
        ),
        (
            vec![certificate, ("client_key", "client.encrypted.key")],
            format!(
                "`client_key` {DATA}/client.encrypted.key: the key is encrypted; name a file with its password in `client_key_password`"
            ),
        ),
        (
            vec![
                certificate,
                ("client_key", "client.encrypted.key"),
                ("client_key_password", "README.md"),
            ],
            format!(
                "`client_key` {DATA}/client.encrypted.key: the password in `client_key_password` does not open it"
            ),
        ),
        (
            vec![
                certificate,
                ("client_key", "client.old.key"),
                ("client_key_password", "README.md"),
            ],
            format!(
                "`client_key` {DATA}/client.old.key: the password in `client_key_password` does not open it"
            ),
        ),
        (
            vec![certificate, ("client_key", "server.key")],
            "the client's certificate and its private key can't be used together: ".to_owned(),
        ),
        (
            vec![certificate, ("client_key", "missing.key")],
            format!("`client_key` {DATA}/missing.key: No such file"),
        ),
        (
            vec![certificate, ("client_key", "client.crt")],
            "the client's private key is not PEM: ".to_owned(),
        ),
    ] {
        let transport = files("authority.crt", &rest);
        let caller = Caller::new("https://localhost:1/", &transport).await;
        caller.send("a").await;
        let cause = caller.failure().await;
        assert!(cause.starts_with(&text), "{cause}");
        assert!(!cause.contains("open sesame"), "{cause}");
    }
}

#[test]
fn sf_29_half_a_key_pair_is_reported_at_load() {
    for half in ["client_cert: a.crt", "client_key: a.key"] {
        let warnings = warnings("https://localhost:1/", &format!("{ASYNC}, {half}"));
        let text = "You need to provide both the cert and they key if you want to use mutual TLS.";
        assert!(
            warnings.iter().any(|warning| warning.contains(text)),
            "{warnings:?}"
        );
    }
}

#[tokio::test]
async fn sf_29_classpath_files_are_next_to_the_module_file_and_may_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let canned = Canned::always([], fine()).await;
    let url = start(canned.clone()).await;
    let transport = format!(
        "{ASYNC}, trust_cacerts: 'classpath:authority.crt', client_cert: 'classpath:/client.crt', client_key: 'classpath:client.key'"
    );
    let ingress = "kind: statefun.http.v1/ingress\nspec: {listen: '127.0.0.1:0'}\n---\n";
    let text = format!("{ingress}{}", functions_at(&url, &transport));
    let name = folder.path().join("module.yaml");
    let file = ModuleFile {
        name: name.to_str().unwrap(),
        text: &text,
    };
    let module = Module::parse(&[file], &Placeholders::Literal).unwrap();
    let mut config = RuntimeConfig::default();
    config.failure.backoff.first = std::time::Duration::from_millis(5);
    let builder = Runtime::builder().config(config).admin(admin());
    let started = Started::of(builder.module(&module).unwrap()).await.unwrap();
    let caller = Caller { started };
    caller.send("a").await;
    crate::support::until::until("a failure", async || {
        (caller.metric("statefun_functions_failures_total").await > 0).then_some(())
    })
    .await;
    for file in ["authority.crt", "client.crt", "client.key"] {
        std::fs::copy(Path::new(DATA).join(file), folder.path().join(file)).unwrap();
    }
    crate::support::until::until("a good answer", async || {
        (caller.metric("statefun_functions_invocations_total").await == 1).then_some(())
    })
    .await;
    assert_eq!(canned.received().len(), 1);
}
